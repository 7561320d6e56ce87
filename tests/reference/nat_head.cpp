#include "tests/reference/nat_head.h"

#include <algorithm>
#include <cmath>

namespace nat::reference {

NatHead nat_head(std::size_t n, std::size_t d, double scale, const std::vector<double>& x,
                 const std::vector<double>& targets) {
  NatHead out{std::vector<double>(n * d), std::vector<double>(n), std::vector<double>(n),
              std::vector<double>(n * d)};
  for (std::size_t i = 0; i < n; ++i) {
    double squared = 0, cosine = 0;
    for (std::size_t j = i * d; j < (i + 1) * d; ++j) squared += x[j] * x[j];
    out.inv_norm[i] = 1 / std::max(std::sqrt(squared), 1e-10);
    for (std::size_t j = i * d; j < (i + 1) * d; ++j) {
      out.z[j] = x[j] * out.inv_norm[i];
      out.loss[i] += (out.z[j] - targets[j]) * (out.z[j] - targets[j]);
      cosine += out.z[j] * targets[j];
    }
    for (std::size_t j = i * d; j < (i + 1) * d; ++j) {
      out.dx[j] = -2 * scale * out.inv_norm[i] * (targets[j] - cosine * out.z[j]);
    }
  }
  return out;
}

}  // namespace nat::reference
