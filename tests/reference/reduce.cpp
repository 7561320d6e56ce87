#include "tests/reference/reduce.h"

namespace nat::reference {

std::vector<double> column_mean(std::size_t n, std::size_t d, const std::vector<double>& x) {
  std::vector<double> mean(d);
  for (std::size_t i = 0; i < n * d; ++i) mean[i % d] += x[i] / static_cast<double>(n);
  return mean;
}

std::vector<double> row_dot(std::size_t n, std::size_t d, const std::vector<double>& a,
                            const std::vector<double>& b) {
  std::vector<double> out(n);
  for (std::size_t i = 0; i < n * d; ++i) out[i / d] += a[i] * b[i];
  return out;
}

}  // namespace nat::reference
