// What the functions of the CUDA runtime share here: submitting work, and the error of the thread.
#pragma once

#include <cuda_runtime_api.h>

#include <functional>

namespace simt {

// Work of the device. It runs at once, with device memory accessible, unless the stream is being
// captured: then it becomes a node of the graph, to be run at every launch of it.
using Work = std::function<cudaError_t()>;
cudaError_t submit(cudaStream_t stream, Work work);

// For stand-ins of library calls (convolutions, matrix products), which take part in captures like
// kernels.
cudaError_t enqueue(cudaStream_t stream, std::function<void()> work);

// Refuses what must not happen while any stream is captured, and spoils that capture, as CUDA does.
cudaError_t forbid_in_capture(cudaError_t error = cudaErrorStreamCaptureUnsupported);

// Remembers an error for cudaGetLastError and returns it.
cudaError_t remember(cudaError_t error);

bool is_page_locked(const void* address);  // memory of cudaMallocHost, which kernels may touch

}  // namespace simt
