// Parallel loops on the host, for the CPU backend and the judges, on OpenMP, which is also oneDNN's
// thread pool. Without OpenMP (ThreadSanitizer builds) the loops are serial.
#pragma once

#include <algorithm>
#include <cstdint>

#if defined(_OPENMP)
#include <omp.h>

#include <exception>
#endif

namespace nat::cpu {

// How many threads parallel_for may use: for the size of buffers only, since results must not
// depend on it.
inline int thread_count() {
#if defined(_OPENMP)
  return omp_get_max_threads();
#else
  return 1;
#endif
}

#if defined(_OPENMP)
// The loop in equal shares, one a thread. No exception may leave a parallel region: the first one
// ends the share it came from and is thrown again here.
template <class Body>
void share_among_team(std::int64_t count, Body& body) {
  std::exception_ptr failure;
#pragma omp parallel
  {
    const std::int64_t threads = omp_get_num_threads(), thread = omp_get_thread_num();
    const std::int64_t end = count * (thread + 1) / threads;
    try {
      for (std::int64_t i = count * thread / threads; i < end; ++i) body(i);
    } catch (...) {
#pragma omp critical(nat_first_failure)
      if (!failure) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}
#endif

// Calls body(i) for i in [0, count), in parallel when `work` (total flops or bytes, roughly) is
// large enough to pay for waking the team. What a body throws is thrown here.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t work, Body&& body) {
#if defined(_OPENMP)
  constexpr std::int64_t kSerialBelow = 1 << 14;
  if (work >= kSerialBelow && count > 1) {
    share_among_team(count, body);
    return;
  }
#endif
  (void)work;
  for (std::int64_t i = 0; i < count; ++i) body(i);
}

// Splits [0, total) into a number of chunks that depends on `total` alone, never on the number of
// threads, so that reductions combined in chunk order give the same bits with any thread count.
struct Chunks {
  std::int64_t total, count, size;
  explicit Chunks(std::int64_t total_, std::int64_t at_most = 64)
      : total(total_), count(0), size(std::max<std::int64_t>(1, (total_ + at_most - 1) / at_most)) {
    count = (total + size - 1) / size;
  }
  std::int64_t begin(std::int64_t chunk) const { return chunk * size; }
  std::int64_t end(std::int64_t chunk) const { return std::min(total, (chunk + 1) * size); }
};

}  // namespace nat::cpu
