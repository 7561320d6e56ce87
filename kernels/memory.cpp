#include "kernels/memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "kernels/cuda/runtime.h"
#include "nat_config.h"

namespace nat {

namespace {
constexpr std::size_t kAlignment = 256;

std::size_t round_up(std::size_t bytes, std::size_t alignment) {
  return (bytes + alignment - 1) / alignment * alignment;
}

// Calls on_cuda() or on_cpu(); a build without CUDA compiles only the latter.
template <class OnCuda, class OnCpu>
decltype(auto) on_device(Device device, OnCuda&& on_cuda, OnCpu&& on_cpu) {
  if constexpr (kHasCudaKernels) {
    if (device == Device::cuda) return on_cuda();
  }
  NAT_CHECK(device == Device::cpu, ErrorKind::device, "device ", name(device),
            " is not in this build; use --device cpu");
  return on_cpu();
}

void check_copy(const ConstView& from, const View& to) {
  NAT_CHECK(from.shape == to.shape && from.dtype == to.dtype, ErrorKind::unexpected,
            "copy: ", to_string(from.shape), " ", name(from.dtype), " does not fit into ",
            to_string(to.shape), " ", name(to.dtype));
}

// Large blocks begin at a huge page and ask for them: rows that are read here and there in tens of
// megabytes would otherwise miss the translation cache at every page of 4 KiB.
void* allocate_plain(std::size_t bytes, const char* what) {
  constexpr std::size_t kHugePage = 2 << 20;
  const bool huge = bytes >= 2 * kHugePage;
  const std::size_t alignment = huge ? kHugePage : kAlignment;
  void* data = nullptr;
  if (bytes <= PTRDIFF_MAX) {  // more is the size of a mistake, and would wrap around
    data = std::aligned_alloc(alignment, round_up(bytes == 0 ? 1 : bytes, alignment));
  }
  NAT_CHECK(data != nullptr, ErrorKind::memory, what, ": cannot get ", bytes >> 20,
            " MiB of memory; free some, or ask for a smaller batch, pool or network");
#if defined(MADV_HUGEPAGE)
  if (huge) (void)madvise(data, bytes, MADV_HUGEPAGE);  // a wish: not every kernel knows it
#endif
  return data;
}
}  // namespace

void* allocate(Device device, std::size_t bytes, const char* what) {
  return on_device(
      device, [&] { return gpu::allocate(bytes, what); },
      [&] { return allocate_plain(bytes, what); });
}

void deallocate(Device device, void* data) noexcept {
  on_device(
      device, [&] { gpu::deallocate(data); }, [&] { std::free(data); });
}

Buffer::Buffer(Device device, std::size_t bytes, const char* what) : Buffer() {
  data_ = allocate(device, bytes, what);
  bytes_ = bytes;
  device_ = device;
  on_device(
      device, [&] { gpu::zero_now(data_, bytes); }, [&] { std::memset(data_, 0, bytes); });
}
Buffer::~Buffer() {
  if (data_ != nullptr) deallocate(device_, data_);
}
Buffer::Buffer(Buffer&& other) noexcept { *this = std::move(other); }
Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(device_, other.device_);
  return *this;
}

HostBuffer::HostBuffer(Device device, std::size_t bytes, const char* what)
    : data_(on_device(
          device, [&] { return gpu::allocate_host(bytes, what); },
          [&] { return allocate_plain(bytes, what); })),
      device_(device) {}
HostBuffer::~HostBuffer() {
  if (data_ == nullptr) return;
  on_device(
      device_, [&] { gpu::deallocate_host(data_); }, [&] { std::free(data_); });
}
HostBuffer::HostBuffer(HostBuffer&& other) noexcept { *this = std::move(other); }
HostBuffer& HostBuffer::operator=(HostBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(device_, other.device_);
  return *this;
}

void copy_to_device(Context& ctx, ConstView host, View device) {
  check_copy(host, device);
  if (host.bytes() == 0) return;
  on_device(
      ctx.device, [&] { gpu::copy_to_device(ctx, host.data, device.data, host.bytes()); },
      [&] { std::memcpy(device.data, host.data, host.bytes()); });
}
void copy_to_host(Context& ctx, ConstView device, View host) {
  check_copy(device, host);
  if (host.bytes() == 0) return;
  on_device(
      ctx.device, [&] { gpu::copy_to_host(ctx, device.data, host.data, host.bytes()); },
      [&] { std::memcpy(host.data, device.data, host.bytes()); });
}
void copy(Context& ctx, ConstView from, View to) {
  check_copy(from, to);
  if (from.bytes() == 0) return;
  on_device(
      ctx.device, [&] { gpu::copy(ctx, from.data, to.data, from.bytes()); },
      [&] { std::memcpy(to.data, from.data, from.bytes()); });
}
void fill_zero(Context& ctx, View view) {
  if (view.bytes() == 0) return;
  on_device(
      ctx.device, [&] { gpu::fill_zero(ctx, view.data, view.bytes()); },
      [&] { std::memset(view.data, 0, view.bytes()); });
}
void synchronize(Context& ctx) {
  on_device(
      ctx.device, [&] { gpu::synchronize(ctx); }, [] {});
}

namespace {
using TransferPointer = std::unique_ptr<gpu::TransferState, void (*)(gpu::TransferState*)>;

TransferPointer make_transfer(Device device) {
  if constexpr (kHasCudaKernels) {
    if (device == Device::cuda) return {gpu::make_transfer(), gpu::destroy_transfer};
  }
  return {nullptr, [](gpu::TransferState*) {}};
}
}  // namespace

Transfer::Transfer(Device device) : cuda_(make_transfer(device)) {}

void Transfer::copy(Context& ctx, ConstView host, View device) {
  if constexpr (kHasCudaKernels) {
    if (cuda_ != nullptr) {
      check_copy(host, device);
      if (host.bytes() == 0) return;
      return gpu::transfer_copy(*cuda_, host.data, device.data, host.bytes());
    }
  }
  copy_to_device(ctx, host, device);
}
void Transfer::wait() {
  if constexpr (kHasCudaKernels) {
    if (cuda_ != nullptr) gpu::transfer_wait(*cuda_);
  }
}

}  // namespace nat
