#include "kernels/targets.h"

#include <cassert>
#include <cmath>

#include "kernels/cuda/launch.cuh"
#include "kernels/dispatch.h"
#include "kernels/random.h"

namespace nat::gpu {
namespace {

constexpr int kThreads = 256;                   // a block per row
constexpr std::int64_t kSharedColumns = 12288;  // normals that wait in shared memory, 48 KiB

// Sum of squares in the order that kernels/targets.h prescribes; one warp calls it, lane 0 gets it.
template <class G>
__device__ double squared_norm(std::int64_t d, const G* g) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  double partial = 0;
  for (std::int64_t j = lane; j < d; j += kWarp) {
    const double value = static_cast<double>(g[j]);
    partial += value * value;
  }
  double total = 0;
  for (int from = 0; from < static_cast<int>(kWarp); ++from) {
    total += __shfl_sync(kFullWarp, partial, from);
  }
  return total;
}

// The normals wait for their norm as floats in shared memory where the row fits, else in the row
// itself, which holds them exactly whatever T.
template <bool kShared, class T>
__global__ void sphere_kernel(std::int64_t d, std::uint64_t seed, const std::int32_t* ids,
                              T* targets) {
  using G = std::conditional_t<kShared, float, T>;
  __shared__ double norm_squared;
  T* target = targets + blockIdx.x * d;
  G* g;
  if constexpr (kShared) {
    g = dynamic_shared<float>();
  } else {
    g = target;
  }
  const std::uint64_t first = static_cast<std::uint64_t>(ids[blockIdx.x]) << 16;
  for (std::int64_t column = 4 * threadIdx.x; column < d; column += 4 * kThreads) {
    const Random4 words =
        philox(seed, RandomStream::targets, 0, first + static_cast<std::uint64_t>(column / 2));
    const Normal2 even = normal_pair(words.value[0], words.value[1]);
    const Normal2 odd = normal_pair(words.value[2], words.value[3]);
    const float normals[4] = {even.a, even.b, odd.a, odd.b};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (column + i < d) g[column + i] = static_cast<G>(normals[i]);
    }
  }
  __syncthreads();
  if (threadIdx.x < kWarp) {
    const double total = squared_norm(d, g);
    if (threadIdx.x == 0) norm_squared = total;
  }
  __syncthreads();
  const auto scale = static_cast<float>(1 / std::sqrt(norm_squared));
  for (std::int64_t j = threadIdx.x; j < d; j += kThreads) {
    const float unit = j == 0 ? 1.0f : 0.0f;
    const float value = static_cast<float>(g[j]) * scale;
    target[j] = static_cast<T>(norm_squared == 0 ? unit : value);
  }
}

template <class T>
__global__ void basis_kernel(std::int32_t d, const std::int32_t* ids, T* targets) {
  T* target = targets + std::int64_t{blockIdx.x} * d;
  const std::int32_t one = ids[blockIdx.x] % d;
  for (std::int32_t j = static_cast<std::int32_t>(threadIdx.x); j < d; j += kThreads) {
    target[j] = static_cast<T>(j == one ? 1 : 0);
  }
}

}  // namespace

void target_rows(Context& ctx, TargetKind kind, std::uint64_t seed, ConstView ids, View targets) {
  assert(targets.shape.rank == 2 && ids.shape == Shape(targets.shape[0]));
  assert(ids.dtype == DType::i32);
  const std::int64_t n = targets.shape[0], d = targets.shape[1];
  NAT_CHECK(d > 0 && d <= kMaxTargetColumns, ErrorKind::usage, "target_rows: dimension ", d,
            " is outside 1..", kMaxTargetColumns);
  const auto* id = ids.as<std::int32_t>();
  LaunchShape shape{.grid = blocks_for(n, 1), .block = kThreads};
  dispatch_real(targets.dtype, "target_rows", [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (kind == TargetKind::basis) {
      return launch(ctx, shape, basis_kernel<T>, static_cast<std::int32_t>(d), id, targets.as<T>());
    }
    if (d > kSharedColumns) {
      return launch(ctx, shape, sphere_kernel<false, T>, d, seed, id, targets.as<T>());
    }
    shape.shared_bytes = static_cast<std::size_t>(d) * sizeof(float);
    launch(ctx, shape, sphere_kernel<true, T>, d, seed, id, targets.as<T>());
  });
}

}  // namespace nat::gpu
