// Plain double reference of kernels/sgd.h.
#pragma once

#include <vector>

#include "kernels/sgd.h"

namespace nat::reference {

void sgd_update(const Sgd& sgd, double rate, const std::vector<double>& g, std::vector<double>& w,
                std::vector<double>& v);

}  // namespace nat::reference
