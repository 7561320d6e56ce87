// Plain double reference of kernels/softmax_xent.h.
#pragma once

#include <cstddef>
#include <vector>

namespace nat::reference {

struct SoftmaxXent {
  std::vector<double> loss, dlogits;
};

SoftmaxXent softmax_xent(std::size_t n, std::size_t classes, double scale,
                         const std::vector<double>& logits, const std::vector<double>& labels);

}  // namespace nat::reference
