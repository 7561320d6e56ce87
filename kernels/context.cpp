#include "kernels/context.h"

#include <algorithm>

#include "kernels/check.h"
#include "kernels/cpu/state.h"
#include "kernels/cuda/runtime.h"
#include "kernels/memory.h"
#include "nat_config.h"

namespace nat {

namespace {
constexpr std::size_t kAlignment = 256;
}

Scratch::~Scratch() {
  for (const Overflow& overflow : overflows_) deallocate(device_, overflow.data);
  if (block_ != nullptr) deallocate(device_, block_);
}

void* Scratch::take(std::size_t bytes) {
  bytes = (bytes + kAlignment - 1) / kAlignment * kAlignment;
  high_water_ = std::max(high_water_, used_ + overflow_bytes_ + bytes);
  if (overflows_.empty() && used_ + bytes <= capacity_) {
    void* data = static_cast<char*>(block_) + used_;
    used_ += bytes;
    return data;
  }
  overflows_.push_back({allocate(device_, bytes, "scratch memory"), bytes});
  overflow_bytes_ += bytes;
  return overflows_.back().data;
}

void Scratch::release(std::size_t used, std::size_t overflows) {
  while (overflows_.size() > overflows) {
    overflow_bytes_ -= overflows_.back().bytes;
    deallocate(device_, overflows_.back().data);
    overflows_.pop_back();
  }
  used_ = used;
  if (used_ == 0 && overflows_.empty() && high_water_ > capacity_) {
    if (block_ != nullptr) deallocate(device_, block_);
    block_ = nullptr;
    capacity_ = 0;
    ++generation_;
    block_ = allocate(device_, high_water_, "scratch memory");
    capacity_ = high_water_;
  }
}

Scratch::Frame::Frame(Scratch& scratch)
    : scratch_(scratch), used_(scratch.used_), overflows_(scratch.overflows_.size()) {}
// Where there is no memory to merge into one block, the next operation asks for it again and fails
// with a line that says so; an exception from here would end the program without one.
Scratch::Frame::~Frame() {
  try {
    scratch_.release(used_, overflows_);
  } catch (const Error&) {
  }
}

namespace {
using CudaStatePointer = std::unique_ptr<CudaState, void (*)(CudaState*)>;

constexpr const char* kNotBuilt = "this build has no CUDA kernels";

CudaStatePointer make_cuda_state(Device device) {
  if constexpr (kHasCudaKernels) {
    if (device == Device::cuda) return {gpu::make_state(), gpu::destroy_state};
  }
  NAT_CHECK(device == Device::cpu, ErrorKind::device, "device cuda: ", kNotBuilt,
            "; use --device cpu");
  return {nullptr, [](CudaState*) {}};
}
}  // namespace

Context::Context(Device device_, Math math_)
    : device(device_),
      math(math_),
      cpu(cpu::make_state(), cpu::destroy_state),
      cuda(make_cuda_state(device_)),
      scratch(device_) {
  NAT_CHECK(device == Device::cuda || math != Math::tf32, ErrorKind::device,
            "tf32 exists on CUDA only; use --dtype f32 or bf16");
}
Context::Context(Device device_, Math math_, PlanningOnly)
    : device(device_),
      math(math_),
      cpu(nullptr, cpu::destroy_state),
      cuda(nullptr, [](CudaState*) {}),
      scratch(device_) {}
Context::~Context() = default;

CudaDevice cuda_device() {
  CudaDevice device;
  device.reason = kNotBuilt;
  if constexpr (kHasCudaKernels) {
    device.reason = gpu::unavailable_reason();
    if (!device.reason.empty()) return device;
    const gpu::DeviceInfo info = gpu::device_info();
    device.name = info.name;
    device.compute_capability = info.compute_capability;
    device.driver = info.driver;
    device.runtime = info.runtime;
    device.memory_bytes = info.memory_bytes;
    device.free_bytes = info.free_bytes;
  }
  return device;
}

}  // namespace nat
