// Stochastic gradient descent over one flat buffer.
//
//   h = g + weight_decay w
//   v = momentum v + (1 - dampening) h
//   w = w - learning_rate (nesterov ? h + momentum v : v)
//
// momentum = 0 is plain descent, w = w - learning_rate h: dampening and nesterov do not matter, v
// is left untouched and may be empty. g, w, v (n), all f32 or all f64.
#pragma once

#include "kernels/op.h"
#include "kernels/view.h"

namespace nat {

struct Sgd {
  float learning_rate = 0.01f;
  float momentum = 0;
  float dampening = 0;
  float weight_decay = 0;
  bool nesterov = false;
};

using SgdUpdate = void(Context&, const Sgd&, ConstView g, View w, View v);

namespace cpu {
SgdUpdate sgd_update;
}  // namespace cpu
namespace gpu {
SgdUpdate sgd_update;
}  // namespace gpu

inline constexpr Op<SgdUpdate> sgd_update{cpu::sgd_update, gpu_or_null<gpu::sgd_update>()};

}  // namespace nat
