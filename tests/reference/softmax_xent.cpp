#include "tests/reference/softmax_xent.h"

#include <algorithm>
#include <cmath>

namespace nat::reference {

SoftmaxXent softmax_xent(std::size_t n, std::size_t classes, double scale,
                         const std::vector<double>& logits, const std::vector<double>& labels) {
  SoftmaxXent out{std::vector<double>(n), std::vector<double>(n * classes)};
  for (std::size_t i = 0; i < n; ++i) {
    const double* row = logits.data() + i * classes;
    const auto label = static_cast<std::size_t>(labels[i]);
    const double top = *std::max_element(row, row + classes);
    double total = 0;
    for (std::size_t j = 0; j < classes; ++j) total += std::exp(row[j] - top);
    out.loss[i] = std::log(total) + top - row[label];
    for (std::size_t j = 0; j < classes; ++j) {
      const double p = std::exp(row[j] - top) / total;
      out.dlogits[i * classes + j] = scale * (p - (j == label ? 1 : 0));
    }
  }
  return out;
}

}  // namespace nat::reference
