// Teams of threads that work on one row each, and their sums.
#pragma once

#include "kernels/cuda/launch.cuh"

namespace nat::gpu {

// kThreads = 32: the warps of a block, one row each; warps without a row may leave.
// Otherwise the block: every thread of it makes every call.
template <int kThreads>
class Team {
 public:
  static constexpr int kBlockThreads = kThreads == 32 ? 128 : kThreads;

  static LaunchShape shape(std::int64_t rows) {
    return {.grid = blocks_for(rows, kBlockThreads / kThreads), .block = kBlockThreads};
  }

  __device__ int rank() const { return static_cast<int>(threadIdx.x) % kThreads; }
  __device__ std::int64_t row() const {
    return std::int64_t{blockIdx.x} * (kBlockThreads / kThreads) + threadIdx.x / kThreads;
  }

  // Over the team, in a fixed order; every thread gets the same bits.
  template <class T>
  __device__ T sum(T value) const {
    return combine(
        value, [](T a) { return warp_sum(a); }, [](T a, T b) { return a + b; });
  }
  template <class T>
  __device__ T max(T value) const {
    return combine(
        value, [](T a) { return warp_max(a); }, [](T a, T b) { return b > a ? b : a; });
  }

 private:
  template <class T, class OfWarp, class OfTwo>
  __device__ static T combine(T value, OfWarp&& of_warp, OfTwo&& of_two) {
    value = of_warp(value);
    if constexpr (kThreads > 32) {
      constexpr int kWarps = kThreads / 32;
      __shared__ T of_warps[kWarps];
      __syncthreads();  // of_warps may still be read from the call before
      if (threadIdx.x % kWarp == 0) of_warps[threadIdx.x / kWarp] = value;
      __syncthreads();
      value = of_warps[0];
      for (int warp = 1; warp < kWarps; ++warp) value = of_two(value, of_warps[warp]);
    }
    return value;
  }
};

}  // namespace nat::gpu
