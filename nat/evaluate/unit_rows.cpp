#include "nat/evaluate/unit_rows.h"

#include <cmath>
#include <functional>
#include <numeric>

#include "kernels/check.h"
#include "kernels/parallel.h"

namespace nat {

namespace {
constexpr double kShortest = 0x1p-126, kLongest = 0x1p126;
}

std::vector<float> inverse_norms(const char* who, const char* role, const FeatureMatrix& features) {
  std::vector<double> square(static_cast<std::size_t>(features.rows));
  cpu::parallel_for(features.rows, features.rows * features.columns, [&](std::int64_t i) {
    const float* row = features.row(i);
    square[static_cast<std::size_t>(i)] =
        std::inner_product(row, row + features.columns, row, 0.0, std::plus<>(),
                           [](double a, double b) { return a * b; });
  });
  std::vector<float> inverse(square.size());
  for (std::size_t i = 0; i < square.size(); ++i) {
    const double norm = std::sqrt(square[i]);
    NAT_CHECK(std::isfinite(norm), ErrorKind::not_finite, who, ": ", role, " row ", i,
              " holds a NaN or an infinity; the network has diverged");
    NAT_CHECK(norm <= kLongest, ErrorKind::not_finite, who, ": ", role, " row ", i, " is ", norm,
              " long, too long to compare; the network has diverged");
    inverse[i] = norm >= kShortest ? static_cast<float>(1 / norm) : 0.0f;
  }
  return inverse;
}

void unit_rows(const FeatureMatrix& features, std::span<const float> inverse, std::int64_t begin,
               std::int64_t end, float* unit) {
  cpu::parallel_for(end - begin, (end - begin) * features.columns, [&](std::int64_t i) {
    const float* row = features.row(begin + i);
    const float scale = inverse[static_cast<std::size_t>(begin + i)];
    float* to = unit + i * features.columns;
    for (std::int64_t j = 0; j < features.columns; ++j) to[j] = row[j] * scale;
  });
}

}  // namespace nat
