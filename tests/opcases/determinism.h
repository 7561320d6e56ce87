// Helpers of the tests that compare bits.
#pragma once

#include <cstring>

#include "tests/opcases/tensor.h"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace nat::test {

// Calls f with the given number of compute threads. Without OpenMP every call is serial.
template <class F>
void with_threads(int count, F&& f) {
#if defined(_OPENMP)
  const int before = omp_get_max_threads();
  omp_set_num_threads(count);
  f();
  omp_set_num_threads(before);
#else
  (void)count;
  f();
#endif
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() && a.view().block == b.view().block &&
         std::memcmp(a.view().data, b.view().data, a.view().bytes()) == 0;
}

}  // namespace nat::test
