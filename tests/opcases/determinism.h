// Helpers of the tests that compare bits.
#pragma once

#include <cstring>

#include "tests/opcases/tensor.h"

#if defined(_OPENMP)
#include <omp.h>
#endif
#if defined(NAT_TEST_SIMT)
#include "tests/simt/options.h"
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

// Calls f under different schedules: with several numbers of threads on the CPU, with several
// orders of threads and blocks where tests/simt executes the kernels, and again and again on a GPU,
// where no two runs have the same.
template <class F>
void for_each_schedule(F&& f) {
#if defined(NAT_TEST_SIMT)
  const simt::Options before = simt::options();
  for (const simt::Order order :
       {simt::Order::forward, simt::Order::reverse, simt::Order::shuffle}) {
    simt::options().order = order;
    f();
  }
  simt::options() = before;
#else
  for (const int threads : {1, 2, 3}) with_threads(threads, f);
#endif
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && a.dtype() == b.dtype() &&
         std::memcmp(a.view().data, b.view().data, a.view().bytes()) == 0;
}

// The bytes of a tensor at an address that is a multiple of its element size and of nothing more:
// what kernels may not move in wide pieces.
class Misaligned {
 public:
  explicit Misaligned(const Tensor& values)
      : storage_(Shape(values.size() + 1), values.dtype()), shape_(values.shape()) {
    std::memcpy(view().data, values.view().data, values.view().bytes());
  }
  View view() {
    char* data = storage_.view().as<char>() + size_of(storage_.dtype());
    return {data, storage_.dtype(), shape_};
  }
  Tensor aligned() {
    Tensor tensor(shape_, storage_.dtype());
    std::memcpy(tensor.view().data, view().data, view().bytes());
    return tensor;
  }
  bool canaries_intact() const { return storage_.canaries_intact(); }

 private:
  Tensor storage_;
  Shape shape_;
};

}  // namespace nat::test
