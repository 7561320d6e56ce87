// What the CUDA backend keeps with a context: its stream, and the handles and plan caches of the
// libraries.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <optional>

#include "kernels/context.h"

namespace nat::gpu {

struct Libraries;  // kernels/cuda/libraries: cuDNN and cuBLASLt handles, cached plans
void destroy_libraries(Libraries* libraries);

// Throws Error with the kind that the failure deserves (memory for cudaErrorMemoryAllocation,
// device otherwise) and one line saying what failed, why, and what to do.
void check_cuda(cudaError_t result, const char* what);

}  // namespace nat::gpu

namespace nat {

struct CudaState {
  int device = 0;
  int multiprocessors = 0;             // of the device
  int compute_capability = 0;          // 90 for 9.0
  bool clusters = false;               // the device launches thread-block clusters, from 9.0 on
  std::size_t shared_bytes_block = 0;  // most dynamic shared memory of one block
  std::optional<unsigned> lap_cluster_blocks;  // what the assignment has found out about clusters
  cudaStream_t stream = nullptr;
  // Started by the first product that needs them.
  std::unique_ptr<gpu::Libraries, void (*)(gpu::Libraries*)> libraries{nullptr,
                                                                       gpu::destroy_libraries};
};

namespace gpu {
inline cudaStream_t stream_of(const Context& ctx) { return ctx.cuda->stream; }
}  // namespace gpu

}  // namespace nat
