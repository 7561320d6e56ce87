#include "kernels/check.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/state.h"

namespace nat::gpu {

namespace {

std::size_t free_bytes() {
  std::size_t free = 0, total = 0;
  return cudaMemGetInfo(&free, &total) == cudaSuccess ? free : 0;
}

[[noreturn]] void out_of_memory(const char* where, std::size_t bytes, const char* what) {
  throw Error(
      ErrorKind::memory,
      str(what, ": cannot get ", bytes >> 20, " MiB of ", where, " memory, ", free_bytes() >> 20,
          " MiB are free on the device; ask for a smaller batch, pool or network (nat "
          "inspect --plan shows what fits)"));
}

}  // namespace

void* allocate(std::size_t bytes, const char* what) {
  void* data = nullptr;
  const cudaError_t result = cudaMalloc(&data, bytes == 0 ? 1 : bytes);
  if (result == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // this one is not sticky: the device is still usable
    out_of_memory("device", bytes, what);
  }
  check_cuda(result, what);
  return data;
}

void deallocate(void* data) noexcept { cudaFree(data); }

void* allocate_host(std::size_t bytes, const char* what) {
  void* data = nullptr;
  const cudaError_t result = cudaMallocHost(&data, bytes == 0 ? 1 : bytes);
  if (result == cudaErrorMemoryAllocation) {
    cudaGetLastError();
    out_of_memory("page-locked host", bytes, what);
  }
  check_cuda(result, what);
  return data;
}

void deallocate_host(void* data) noexcept { cudaFreeHost(data); }

void copy_to_device(Context& ctx, const void* host, void* device, std::size_t bytes) {
  check_cuda(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_of(ctx)),
             "copy to the device");
}
void copy_to_host(Context& ctx, const void* device, void* host, std::size_t bytes) {
  check_cuda(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_of(ctx)),
             "copy to the host");
}
void copy(Context& ctx, const void* from, void* to, std::size_t bytes) {
  check_cuda(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, stream_of(ctx)),
             "copy on the device");
}
void fill_zero(Context& ctx, void* data, std::size_t bytes) {
  check_cuda(cudaMemsetAsync(data, 0, bytes, stream_of(ctx)), "clearing memory");
}
// The default stream waits for nothing that a context enqueues: fresh memory is in nobody's use.
void zero_now(void* data, std::size_t bytes) {
  check_cuda(cudaMemset(data, 0, bytes), "clearing memory");
  check_cuda(cudaDeviceSynchronize(), "clearing memory");
}
void synchronize(Context& ctx) {
  check_cuda(cudaStreamSynchronize(stream_of(ctx)), "waiting for the device");
}

struct TransferState {
  cudaStream_t stream = nullptr;
};

TransferState* make_transfer() {
  auto state = std::make_unique<TransferState>();
  check_cuda(cudaStreamCreateWithFlags(&state->stream, cudaStreamNonBlocking), "copy stream");
  return state.release();
}

void destroy_transfer(TransferState* state) {
  if (state == nullptr) return;
  cudaStreamDestroy(state->stream);
  delete state;
}

void transfer_copy(TransferState& state, const void* host, void* device, std::size_t bytes) {
  check_cuda(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, state.stream),
             "copy to the device");
}

void transfer_wait(TransferState& state) {
  check_cuda(cudaStreamSynchronize(state.stream), "waiting for a copy");
}

}  // namespace nat::gpu
