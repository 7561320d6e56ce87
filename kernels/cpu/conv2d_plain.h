// Convolutions by their formula, in loops: for float64, which exists for gradient checks, and where
// neither Winograd's algorithm nor oneDNN serves. Contracts: kernels/conv2d.h.
#pragma once

#include "kernels/conv2d.h"

namespace nat::cpu::plain {

Conv2dForward conv2d_forward;
Conv2dBackwardData conv2d_backward_data;
Conv2dBackwardWeights conv2d_backward_weights;

}  // namespace nat::cpu::plain
