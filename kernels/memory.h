// Memory and the only way across the bus. Copies are explicit; no operation copies behind the
// caller's back.
#pragma once

#include <cstddef>

#include "kernels/context.h"
#include "kernels/view.h"

namespace nat {

namespace gpu {
struct TransferState;  // kernels/cuda/memory.cpp
}

// Owns `bytes` bytes on a device, aligned to 256 and zeroed. Running out is an Error(memory) that
// names `what`.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Device device, std::size_t bytes, const char* what);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  Device device_ = Device::cpu;
};

// Owns host memory for traffic with a device: page-locked for CUDA, which copies twice as fast and
// beside running kernels; ordinary memory for the CPU. Not zeroed.
class HostBuffer {
 public:
  HostBuffer() = default;
  HostBuffer(Device device, std::size_t bytes, const char* what);
  ~HostBuffer();
  HostBuffer(HostBuffer&& other) noexcept;
  HostBuffer& operator=(HostBuffer&& other) noexcept;

  void* data() const { return data_; }
  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }

 private:
  void* data_ = nullptr;
  Device device_ = Device::cpu;
};

// Same shape and dtype on both sides. A plain memcpy when the device is the CPU; on CUDA
// they are enqueued, and host memory must stay as it is until synchronize().
void copy_to_device(Context& ctx, ConstView host, View device);
void copy_to_host(Context& ctx, ConstView device, View host);
void copy(Context& ctx, ConstView from, View to);  // within the device
void fill_zero(Context& ctx, View view);
void synchronize(Context& ctx);  // waits for everything enqueued on the context

// Copies to the device that run beside the operations of a context, on CUDA on a stream of their
// own:
//
//   transfer.copy(ctx, host, device);  // begins; nobody may be using `device`
//   transfer.wait();                   // operations enqueued from now on see the copies, and the
//                                      // host memory is free again
class Transfer {
 public:
  explicit Transfer(Device device);
  void copy(Context& ctx, ConstView host, View device);
  void wait();

 private:
  std::unique_ptr<gpu::TransferState, void (*)(gpu::TransferState*)> cuda_;
};

// Uninitialised memory aligned to 256 bytes; prefer Buffer.
void* allocate(Device device, std::size_t bytes, const char* what);
void deallocate(Device device, void* data) noexcept;

}  // namespace nat
