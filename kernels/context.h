// Context: the first argument of every operation. It says where the operation runs and lends it
// scratch memory. There are no globals and no default stream. On CUDA every operation is enqueued
// on the context's stream and runs in order; synchronize() (kernels/memory.h) waits for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/device.h"

namespace nat {

// A stack of temporary memory that operations borrow from. It grows while the first step runs, and
// later only for an operation that needs more than any before it: once the stack is empty, what
// overflowed is merged into one block.
//
//   Scratch::Frame frame(ctx.scratch);          // given back at the end of the scope
//   float* partial = frame.take<float>(chunks * channels);
class Scratch {
 public:
  explicit Scratch(Device device) : device_(device) {}
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  std::size_t high_water() const { return high_water_; }  // bytes
  // Changes when the memory moves: a recorded sequence must then be recorded again.
  std::uint64_t generation() const { return generation_; }

  class Frame {
   public:
    explicit Frame(Scratch& scratch);
    ~Frame();
    Frame(const Frame&) = delete;
    Frame& operator=(const Frame&) = delete;
    template <class T>
    T* take(std::size_t count) {
      return static_cast<T*>(scratch_.take(count * sizeof(T)));
    }

   private:
    Scratch& scratch_;
    std::size_t used_, overflows_;
  };

 private:
  void* take(std::size_t bytes);
  void release(std::size_t used, std::size_t overflows);

  struct Overflow {
    void* data;
    std::size_t bytes;
  };
  Device device_;
  void* block_ = nullptr;
  std::size_t capacity_ = 0, used_ = 0, high_water_ = 0, overflow_bytes_ = 0;
  std::uint64_t generation_ = 0;
  std::vector<Overflow> overflows_;
};

struct CpuState;   // kernels/cpu/state.h: cached oneDNN primitives
struct CudaState;  // kernels/cuda/state.h: stream, library handles, plan cache

struct Context {
  // Error(device) when there is no such device, with the reason.
  explicit Context(Device device = Device::cpu, Math math = Math::f32);
  // A context that only says where and how: sizes can be planned for a device that is not there.
  static Context for_planning(Device device, Math math) { return {device, math, PlanningOnly{}}; }
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const Device device;
  const Math math;
  std::unique_ptr<CpuState, void (*)(CpuState*)> cpu;
  std::unique_ptr<CudaState, void (*)(CudaState*)> cuda;  // null on the CPU
  Scratch scratch;

 private:
  struct PlanningOnly {};
  Context(Device device, Math math, PlanningOnly);
};

// Whether this build and this machine can compute on CUDA, and with what.
struct CudaDevice {
  std::string name;             // empty when there is none
  std::string reason;           // why there is none
  int compute_capability = 0;   // 90 for 9.0
  int driver = 0, runtime = 0;  // CUDA versions, 13000 for 13.0
  std::size_t memory_bytes = 0, free_bytes = 0;
  bool usable() const { return !name.empty(); }
};
CudaDevice cuda_device();

}  // namespace nat
