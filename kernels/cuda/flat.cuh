// How elementwise kernels walk a tensor, seen as one flat array.
#pragma once

#include <type_traits>

#include "kernels/cuda/launch.cuh"

namespace nat::gpu {

inline constexpr int kFlatThreads = 256;

// The shape in which for_each_pack visits n elements, `pack` at a time: at most as many blocks as
// the device holds at once.
inline LaunchShape flat_shape(const Context& ctx, std::int64_t n, int pack) {
  constexpr unsigned kBlocksOfMultiprocessor = 2048 / kFlatThreads;
  const unsigned wanted = blocks_for(n, std::int64_t{kFlatThreads} * pack);
  const unsigned resident =
      kBlocksOfMultiprocessor * static_cast<unsigned>(ctx.cuda->multiprocessors);
  return {.grid = wanted < resident ? wanted : resident, .block = kFlatThreads};
}

// Calls body(first element, integral_constant<int, N>) for n elements; those that do not fill the
// last pack come one by one, with integral_constant<int, 1>.
template <int N, class Body>
__device__ void for_each_pack(std::int64_t n, const Body& body) {
  const std::int64_t threads = std::int64_t{gridDim.x} * blockDim.x;
  std::int64_t at = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * N;
  for (; at + N <= n; at += threads * N) body(at, std::integral_constant<int, N>{});
  for (; at < n; ++at) body(at, std::integral_constant<int, 1>{});
}

}  // namespace nat::gpu
