#include "tests/reference/sigmoid_xent.h"

#include <cmath>

namespace nat::reference {

SigmoidXent sigmoid_xent(std::size_t n, std::size_t classes, double scale,
                         const std::vector<double>& logits, const std::vector<double>& flags) {
  SigmoidXent out{std::vector<double>(n), std::vector<double>(n * classes)};
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t c = 0; c < classes; ++c) {
      const std::size_t at = i * classes + c;
      const double y = flags[at];
      if (y == 0) continue;
      out.loss[i] += std::log1p(std::exp(-y * logits[at]));
      out.dlogits[at] = -scale * y / (1 + std::exp(y * logits[at]));
    }
  }
  return out;
}

}  // namespace nat::reference
