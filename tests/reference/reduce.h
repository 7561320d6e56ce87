// Plain double references of kernels/reduce.h.
#pragma once

#include <cstddef>
#include <vector>

namespace nat::reference {

std::vector<double> column_mean(std::size_t n, std::size_t d, const std::vector<double>& x);
std::vector<double> row_dot(std::size_t n, std::size_t d, const std::vector<double>& a,
                            const std::vector<double>& b);

}  // namespace nat::reference
