// One declaration per operation, two backends, one dispatch rule.
//
//   using ReluForward = void(Context&, ConstView x, View y);
//   namespace cpu { ReluForward relu_forward; }
//   namespace gpu { ReluForward relu_forward; }
//   inline constexpr Op<ReluForward> relu_forward{
//       cpu::relu_forward, gpu_or_null<gpu::relu_forward>()};
//
// Callers write relu_forward(ctx, x, y). A build without CUDA needs no stubs, because the address
// of gpu::relu_forward is never taken; a CUDA build with a forgotten kernel does not link.
#pragma once

#include "kernels/check.h"
#include "kernels/context.h"
#include "nat_config.h"

namespace nat {

template <class Signature>
struct Op;

template <class... Args>
struct Op<void(Context&, Args...)> {
  using Function = void(Context&, Args...);
  Function* cpu;
  Function* gpu;

  void operator()(Context& ctx, Args... args) const {
    Function* function = ctx.device == Device::cuda ? gpu : cpu;
    NAT_CHECK(function != nullptr, ErrorKind::device, "operation is not built for device ",
              name(ctx.device));
    function(ctx, args...);
  }
};

template <auto* Function>
constexpr auto gpu_or_null() {
  if constexpr (kHasCudaKernels) {
    return Function;
  } else {
    return static_cast<decltype(Function)>(nullptr);
  }
}

}  // namespace nat
