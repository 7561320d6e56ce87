// Softmax and cross-entropy, forward and backward in one pass (for the probes that judge features).
//
//   p = softmax(logits_i) = exp(logits_i - max) / sum,  loss[i] = -log p[label_i]
//   dlogits[i] = scale (p - onehot(label_i))
//
// logits, dlogits (n, classes); labels (n) i32 in [0, classes); loss (n). f32, or all f64.
// dlogits may be empty, or the memory of logits. A label outside the classes is an error on the
// CPU, and makes the loss and gradient of its row NaN on CUDA, where values cannot be looked at
// without stopping the device.
#pragma once

#include "kernels/op.h"
#include "kernels/view.h"

namespace nat {

using SoftmaxXent = void(Context&, float scale, ConstView logits, ConstView labels, View loss,
                         View dlogits);

namespace cpu {
SoftmaxXent softmax_xent;
}  // namespace cpu
namespace gpu {
SoftmaxXent softmax_xent;
}  // namespace gpu

inline constexpr Op<SoftmaxXent> softmax_xent{cpu::softmax_xent, gpu_or_null<gpu::softmax_xent>()};

}  // namespace nat
