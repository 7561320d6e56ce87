#include "nat/evaluate/standardize.h"

#include <cmath>

#include "kernels/check.h"
#include "kernels/parallel.h"

namespace nat {
namespace {

// Per column: sums of the differences to the first training row. Subtracting it (exactly, in
// double) keeps the variance accurate when the mean is large, and exactly 0 for a constant column.
struct ColumnSums {
  std::vector<double> difference, square;
  explicit ColumnSums(std::int64_t columns)
      : difference(static_cast<std::size_t>(columns)), square(difference.size()) {}

  void add_row(const float* row, const float* origin) {
    for (std::size_t j = 0; j < difference.size(); ++j) {
      const double d = static_cast<double>(row[j]) - static_cast<double>(origin[j]);
      difference[j] += d;
      square[j] += d * d;
    }
  }
  void add(const ColumnSums& other) {
    for (std::size_t j = 0; j < difference.size(); ++j) {
      difference[j] += other.difference[j];
      square[j] += other.square[j];
    }
  }
};

ColumnSums column_sums(const FeatureMatrix& x) {
  const cpu::Chunks chunks(x.rows);
  std::vector<ColumnSums> partial(static_cast<std::size_t>(chunks.count), ColumnSums(x.columns));
  cpu::parallel_for(chunks.count, x.rows * x.columns, [&](std::int64_t chunk) {
    ColumnSums& sums = partial[static_cast<std::size_t>(chunk)];
    for (std::int64_t i = chunks.begin(chunk); i < chunks.end(chunk); ++i) {
      sums.add_row(x.row(i), x.row(0));
    }
  });
  ColumnSums total(x.columns);
  for (const ColumnSums& sums : partial) total.add(sums);
  return total;
}

}  // namespace

Standardizer::Standardizer(const FeatureMatrix& training)
    : mean_(static_cast<std::size_t>(training.columns)), inverse_deviation_(mean_.size()) {
  check_features("standardize", "training", training);
  const ColumnSums sums = column_sums(training);
  const auto n = static_cast<double>(training.rows);
  for (std::size_t j = 0; j < mean_.size(); ++j) {
    const double shift = sums.difference[j] / n;
    const double variance = sums.square[j] / n - shift * shift;
    NAT_CHECK(std::isfinite(variance), ErrorKind::not_finite, "standardize: feature column ", j,
              " holds a NaN or an infinity; the network has diverged");
    mean_[j] = static_cast<double>(training.row(0)[j]) + shift;
    inverse_deviation_[j] = variance > 0 ? 1 / std::sqrt(variance) : 0;
  }
}

void Standardizer::apply(FeatureMatrix& features) const {
  NAT_CHECK(features.columns == std::ssize(mean_), ErrorKind::usage, "standardize: features have ",
            features.columns, " columns, the training features ", mean_.size(),
            "; both must come from the same layer");
  cpu::parallel_for(features.rows, features.rows * features.columns, [&](std::int64_t i) {
    float* row = features.row(i);
    for (std::size_t j = 0; j < mean_.size(); ++j) {
      row[j] = static_cast<float>((static_cast<double>(row[j]) - mean_[j]) * inverse_deviation_[j]);
    }
  });
}

void standardize(FeatureMatrix& training, FeatureMatrix& test) {
  const Standardizer standardizer(training);
  standardizer.apply(training);
  standardizer.apply(test);
}

}  // namespace nat
