// Dot product of two rows, accumulated in double: products of floats are exact there, so nothing
// overflows, underflows or cancels. The order of summation depends on n alone.
#pragma once

#include <cstdint>

namespace nat::cpu {

template <class T>
double dot(std::int64_t n, const T* a, const T* b) {
  double total = 0;
#pragma omp simd reduction(+ : total)
  for (std::int64_t j = 0; j < n; ++j) {
    total += static_cast<double>(a[j]) * static_cast<double>(b[j]);
  }
  return total;
}

}  // namespace nat::cpu
