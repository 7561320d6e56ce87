// Changes of dtype (f32, f64, bf16), rounding to nearest even.
//
//   y[n,h,w,c] = dtype(x[n,h,w,c])     same shape
#pragma once

#include "kernels/op.h"
#include "kernels/view.h"

namespace nat {

using Cast = void(Context&, ConstView x, View y);

namespace cpu {
Cast cast;
}  // namespace cpu
namespace gpu {
Cast cast;
}  // namespace gpu

inline constexpr Op<Cast> cast{cpu::cast, gpu_or_null<gpu::cast>()};

}  // namespace nat
