// What kernels/*.cpp asks of the CUDA runtime: devices, memory, copies, recorded sequences. No CUDA
// type appears here, so that no file outside kernels/cuda sees a CUDA header.
#pragma once

#include <cstddef>
#include <string>

#include "kernels/context.h"

namespace nat::gpu {

// The device that a context would use.
struct DeviceInfo {
  std::string name;
  int compute_capability = 0;  // 90 for 9.0
  int multiprocessors = 0;
  std::size_t memory_bytes = 0, free_bytes = 0;
  int driver = 0, runtime = 0;  // CUDA versions, 13000 for 13.0
};

// Why there is no usable device, in a few words; empty when there is one.
std::string unavailable_reason();
DeviceInfo device_info();  // Error(device) when there is none

CudaState* make_state();
void destroy_state(CudaState* state);

// Error(memory) says what was asked for and what is free.
void* allocate(std::size_t bytes, const char* what);
void deallocate(void* data) noexcept;
void* allocate_host(std::size_t bytes, const char* what);  // page-locked
void deallocate_host(void* data) noexcept;

// All enqueued on the context's stream; host memory must stay as it is until synchronize().
void copy_to_device(Context& ctx, const void* host, void* device, std::size_t bytes);
void copy_to_host(Context& ctx, const void* device, void* host, std::size_t bytes);
void copy(Context& ctx, const void* from, void* to, std::size_t bytes);
void fill_zero(Context& ctx, void* data, std::size_t bytes);
void zero_now(void* data, std::size_t bytes);  // not enqueued: done on return
void synchronize(Context& ctx);

// Copies on a stream of their own (kernels/memory.h, Transfer).
struct TransferState;
TransferState* make_transfer();
void destroy_transfer(TransferState* state);
void transfer_copy(TransferState& state, const void* host, void* device, std::size_t bytes);
void transfer_wait(TransferState& state);

// Recorded sequences (kernels/recording.h).
struct Graph;
void begin_recording(Context& ctx);
Graph* end_recording(Context& ctx);
void abandon_recording(Context& ctx) noexcept;
void replay(Graph& graph, Context& ctx);
void destroy_graph(Graph* graph);

}  // namespace nat::gpu
