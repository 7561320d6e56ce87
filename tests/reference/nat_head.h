// Plain double reference of kernels/nat_head.h.
#pragma once

#include <cstddef>
#include <vector>

namespace nat::reference {

struct NatHead {
  std::vector<double> z, inv_norm, loss, dx;
};

NatHead nat_head(std::size_t n, std::size_t d, double scale, const std::vector<double>& x,
                 const std::vector<double>& targets);

}  // namespace nat::reference
