// The part of cooperative groups that kernels use: the grid of a cooperative launch, and clusters.
#pragma once

#include <cuda_runtime.h>

#include <type_traits>

namespace cooperative_groups {

class grid_group {
 public:
  void sync(simt::Where where = simt::Where::current()) const {
    simt::running_block().barrier(simt::BarrierOp::grid, 0, where);
  }
  unsigned long long num_blocks() const { return 1ull * gridDim.x * gridDim.y * gridDim.z; }
  unsigned long long block_rank() const {
    return (1ull * blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  }
  unsigned long long num_threads() const {
    return num_blocks() * blockDim.x * blockDim.y * blockDim.z;
  }
  unsigned long long thread_rank() const {
    return block_rank() * (blockDim.x * blockDim.y * blockDim.z) +
           (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  }
};

inline grid_group this_grid() { return {}; }

class cluster_group {
 public:
  static void sync(simt::Where where = simt::Where::current()) {
    simt::running_block().barrier(simt::BarrierOp::cluster, 0, where);
  }
  static unsigned num_blocks() { return simt::running_block().cluster_blocks(); }
  static unsigned block_rank() { return blockIdx.x % num_blocks(); }
  template <class T>
  static T* map_shared_rank(T* own, unsigned rank, simt::Where where = simt::Where::current()) {
    void* const address = const_cast<std::remove_const_t<T>*>(own);
    return static_cast<T*>(simt::running_block().in_block(address, rank, where));
  }
  static unsigned num_threads() { return num_blocks() * blockDim.x * blockDim.y * blockDim.z; }
  static unsigned thread_rank() {
    return block_rank() * (blockDim.x * blockDim.y * blockDim.z) +
           (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  }
};

inline cluster_group this_cluster() { return {}; }

}  // namespace cooperative_groups
