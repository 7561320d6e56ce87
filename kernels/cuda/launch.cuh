// How kernels are launched, and the few device helpers they share.
//
// A kernel file includes this header, the op header it implements, and CUDA's headers for bf16 or
// cooperative groups where it needs them; nothing else of CUDA. It allocates nothing: temporaries
// come from ctx.scratch, and every launch goes to the stream of the context. The same files run on
// the CPU under tests/simt.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <utility>

#include "kernels/cuda/state.h"

namespace nat::gpu {

inline constexpr unsigned kWarp = 32;
inline constexpr unsigned kFullWarp = 0xffffffffu;  // the mask of warp intrinsics

struct LaunchShape {
  dim3 grid, block;
  std::size_t shared_bytes = 0;  // dynamic shared memory, see dynamic_shared()
  bool cooperative = false;      // every block resident, so that grid.sync() may be used
  unsigned cluster = 1;          // blocks, neighbours in x, that are resident together and may use
                                 // cluster.sync(); up to 8 where CudaState::clusters says so, more
                                 // where takes_cluster() does
};

// The launch of a shape, and the permissions that its kernel needs for it.
class PreparedLaunch {
 public:
  PreparedLaunch(const void* kernel, const LaunchShape& shape) {
    // Without asking, a block gets 48 KiB together with its static arrays, unknown here.
    constexpr std::size_t kSurelyGranted = 32 << 10;
    constexpr unsigned kPortableCluster = 8;
    if (shape.shared_bytes > kSurelyGranted) {
      permit(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
             static_cast<int>(shape.shared_bytes));
    }
    if (shape.cluster > kPortableCluster) {
      permit(kernel, cudaFuncAttributeNonPortableClusterSizeAllowed, 1);
    }
    if (shape.cooperative) {
      cudaLaunchAttribute& attribute = attributes_[config_.numAttrs++];
      attribute.id = cudaLaunchAttributeCooperative;
      attribute.val.cooperative = 1;
    }
    if (shape.cluster > 1) {
      cudaLaunchAttribute& attribute = attributes_[config_.numAttrs++];
      attribute.id = cudaLaunchAttributeClusterDimension;
      attribute.val.clusterDim = {shape.cluster, 1, 1};
    }
    config_.gridDim = shape.grid;
    config_.blockDim = shape.block;
    config_.dynamicSmemBytes = shape.shared_bytes;
    config_.attrs = attributes_;
  }
  PreparedLaunch(const PreparedLaunch&) = delete;
  PreparedLaunch& operator=(const PreparedLaunch&) = delete;

  cudaError_t error() const { return error_; }  // of the permissions
  const cudaLaunchConfig_t& on(cudaStream_t stream) {
    config_.stream = stream;
    return config_;
  }

 private:
  void permit(const void* kernel, cudaFuncAttribute what, int value) {
    const cudaError_t error = cudaFuncSetAttribute(kernel, what, value);
    if (error_ == cudaSuccess) error_ = error;
  }

  cudaError_t error_ = cudaSuccess;
  cudaLaunchAttribute attributes_[2]{};
  cudaLaunchConfig_t config_{};
};

// Throws Error(device) when the kernel cannot start. An empty grid launches nothing.
template <class... Parameters, class... Arguments>
void launch(Context& ctx, const LaunchShape& shape, void (*kernel)(Parameters...),
            Arguments&&... arguments) {
  if (shape.grid.x == 0 || shape.grid.y == 0 || shape.grid.z == 0) return;
  PreparedLaunch prepared(reinterpret_cast<const void*>(kernel), shape);
  check_cuda(prepared.error(), "permissions of a kernel");
  check_cuda(cudaLaunchKernelEx(&prepared.on(stream_of(ctx)), kernel,
                                static_cast<Parameters>(std::forward<Arguments>(arguments))...),
             "kernel launch");
}

// Whether the device has room for a cluster of this shape. Whatever is wrong with it means no.
template <class... Parameters>
bool takes_cluster(void (*kernel)(Parameters...), const LaunchShape& shape) {
  const void* const code = reinterpret_cast<const void*>(kernel);
  PreparedLaunch prepared(code, shape);
  int clusters = 0;
  cudaError_t error = prepared.error();
  if (error == cudaSuccess) {
    error = cudaOccupancyMaxActiveClusters(&clusters, code, &prepared.on(nullptr));
  }
  if (error != cudaSuccess) cudaGetLastError();  // so that no later call is blamed for it
  return error == cudaSuccess && clusters > 0;
}

// Blocks of a grid that covers `count` elements, `per_block` each.
constexpr unsigned blocks_for(std::int64_t count, std::int64_t per_block) {
  return static_cast<unsigned>((count + per_block - 1) / per_block);
}

extern __shared__ __align__(16) unsigned char nat_dynamic_shared[];

// The dynamic shared memory of the block, uninitialised, aligned to 16 bytes.
template <class T>
__device__ T* dynamic_shared() {
  return reinterpret_cast<T*>(nat_dynamic_shared);
}

// Sum and maximum over a full warp; every lane gets the result. The order of additions is fixed.
template <class T>
__device__ T warp_sum(T value) {
  for (unsigned offset = kWarp / 2; offset > 0; offset /= 2) {
    value += __shfl_xor_sync(kFullWarp, value, static_cast<int>(offset));
  }
  return value;
}
template <class T>
__device__ T warp_max(T value) {
  for (unsigned offset = kWarp / 2; offset > 0; offset /= 2) {
    const T other = __shfl_xor_sync(kFullWarp, value, static_cast<int>(offset));
    value = other > value ? other : value;
  }
  return value;
}

}  // namespace nat::gpu
