#include "kernels/memory.h"

#include <cstdlib>
#include <cstring>
#include <utility>

namespace nat {

namespace {
constexpr std::size_t kAlignment = 256;

std::size_t round_up(std::size_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

void require_cpu(Device device) {
  NAT_CHECK(device == Device::cpu, ErrorKind::device, "device ", name(device),
            " is not in this build; use --device cpu");
}

void check_copy(const ConstView& from, const View& to) {
  NAT_CHECK(from.shape == to.shape && from.dtype == to.dtype && from.block == to.block,
            ErrorKind::unexpected, "copy: ", to_string(from.shape), " ", name(from.dtype),
            " does not fit into ", to_string(to.shape), " ", name(to.dtype));
}
}  // namespace

void* allocate(Device device, std::size_t bytes, const char* what) {
  require_cpu(device);
  void* data = std::aligned_alloc(kAlignment, round_up(bytes == 0 ? 1 : bytes));
  NAT_CHECK(data != nullptr, ErrorKind::memory, what, ": cannot get ", bytes >> 20,
            " MiB of memory; use a smaller --batch");
  return data;
}

void deallocate(Device, void* data) noexcept { std::free(data); }

Buffer::Buffer(Device device, std::size_t bytes, const char* what)
    : data_(allocate(device, bytes, what)), bytes_(bytes), device_(device) {
  std::memset(data_, 0, bytes);
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

void copy(Context& ctx, ConstView from, View to) {
  require_cpu(ctx.device);
  check_copy(from, to);
  if (from.bytes() > 0) std::memcpy(to.data, from.data, from.bytes());
}
void copy_to_device(Context& ctx, ConstView host, View device) { copy(ctx, host, device); }
void copy_to_host(Context& ctx, ConstView device, View host) { copy(ctx, device, host); }
void fill_zero(Context& ctx, View view) {
  require_cpu(ctx.device);
  if (view.bytes() > 0) std::memset(view.data, 0, view.bytes());
}
void synchronize(Context& ctx) { require_cpu(ctx.device); }

}  // namespace nat
