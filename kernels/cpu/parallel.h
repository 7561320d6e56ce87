// Parallel loops of the CPU backend, on OpenMP, which is also oneDNN's thread pool. Without OpenMP
// (ThreadSanitizer builds) the loops are serial.
#pragma once

#include <algorithm>
#include <cstdint>

#if defined(_OPENMP)
#include <omp.h>
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

// Calls body(i) for i in [0, count), in parallel when `work` (total flops or bytes, roughly) is
// large enough to pay for waking the team.
template <class Body>
void parallel_for(std::int64_t count, std::int64_t work, Body&& body) {
#if defined(_OPENMP)
  constexpr std::int64_t kSerialBelow = 1 << 14;
  if (work >= kSerialBelow && count > 1) {
#pragma omp parallel for schedule(static)
    for (std::int64_t i = 0; i < count; ++i) body(i);
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
