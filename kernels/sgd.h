// Stochastic gradient descent over one flat buffer.
//
//   h = g + weight_decay w
//   v = momentum v + (1 - dampening) h
//   w = w - rate (nesterov ? h + momentum v : v)
//   operand = bf16(w)
//
// momentum = 0 is plain descent, w = w - rate h: dampening and nesterov do not matter, v is left
// untouched and may be empty. g, w, v (n), all f32 or all f64.
//
// rate (1) f32 is the learning rate, and loss (1) f32, unless empty, guards the update: where it is
// not finite nothing changes. Both are read from the context's memory, so that a recorded step can
// be replayed with other values and stops by itself.
// operand (n) bf16, unless empty, receives the new w rounded to nearest even: what the products of
// the next step read (kernels/device.h, Math::bf16).
#pragma once

#include "kernels/op.h"
#include "kernels/view.h"

namespace nat {

struct Sgd {
  float momentum = 0;
  float dampening = 0;
  float weight_decay = 0;
  bool nesterov = false;
};

using SgdUpdate = void(Context&, const Sgd&, ConstView rate, ConstView loss, ConstView g, View w,
                       View v, View operand);

namespace cpu {
SgdUpdate sgd_update;
}  // namespace cpu
namespace gpu {
SgdUpdate sgd_update;
}  // namespace gpu

inline constexpr Op<SgdUpdate> sgd_update{cpu::sgd_update, gpu_or_null<gpu::sgd_update>()};

}  // namespace nat
