// Memory and the only way across the bus. Copies are explicit; no operation copies behind the
// caller's back.
#pragma once

#include <cstddef>

#include "kernels/context.h"
#include "kernels/view.h"

namespace nat {

// Owns `bytes` bytes on a device, aligned to 256 and zeroed. Running out is an Error that names
// `what`.
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

// Same shape, dtype and block on both sides. A plain memcpy when the device is the CPU.
void copy_to_device(Context& ctx, ConstView host, View device);
void copy_to_host(Context& ctx, ConstView device, View host);
void copy(Context& ctx, ConstView from, View to);  // within the device
void fill_zero(Context& ctx, View view);
void synchronize(Context& ctx);  // waits for everything enqueued on the context

// Uninitialised memory aligned to 256 bytes; prefer Buffer.
void* allocate(Device device, std::size_t bytes, const char* what);
void deallocate(Device device, void* data) noexcept;

}  // namespace nat
