// Logistic loss of several labels a picture, forward and backward in one pass: one independent
// yes-or-no classifier a class (for the probes that judge features).
//
//   sigma(x) = 1 / (1 + exp(-x)),  y = flag: 1 the picture shows the class, -1 it does not,
//                                            0 not judged ("difficult" in Pascal VOC)
//   loss[i]      = sum over classes c with y_ic != 0 of -log sigma(y_ic x_ic)
//   dlogits[i,c] = scale (sigma(x_ic) - [y_ic = 1]) where y_ic != 0, else 0
//
// logits, dlogits (n, classes); flags (n, classes) i32 in {-1, 0, 1}; loss (n). f32, or all f64.
// Neither overflows nor cancels whatever the logits; a logit that is not judged is not looked at.
// dlogits may be empty, or the memory of logits. Another flag is an error on the CPU, and makes the
// loss and gradient of its row NaN on CUDA, where values cannot be looked at without stopping the
// device. One exponential and one logarithm an element. Everything is read and written once, but
// for flags, which are looked over before.
#pragma once

#include "kernels/op.h"
#include "kernels/view.h"

namespace nat {

using SigmoidXent = void(Context&, float scale, ConstView logits, ConstView flags, View loss,
                         View dlogits);

namespace cpu {
SigmoidXent sigmoid_xent;
}  // namespace cpu
namespace gpu {
SigmoidXent sigmoid_xent;
}  // namespace gpu

inline constexpr Op<SigmoidXent> sigmoid_xent{cpu::sigmoid_xent, gpu_or_null<gpu::sigmoid_xent>()};

}  // namespace nat
