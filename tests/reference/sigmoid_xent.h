// Plain double reference of kernels/sigmoid_xent.h.
#pragma once

#include <cstddef>
#include <vector>

namespace nat::reference {

struct SigmoidXent {
  std::vector<double> loss, dlogits;
};

// For logits whose exponentials are finite.
SigmoidXent sigmoid_xent(std::size_t n, std::size_t classes, double scale,
                         const std::vector<double>& logits, const std::vector<double>& flags);

}  // namespace nat::reference
