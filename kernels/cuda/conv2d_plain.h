// Convolutions by their formula, one thread an element of the result: for float64, which exists for
// gradient checks, and for whatever cuDNN has no plan for. Not fast. Contracts: kernels/conv2d.h,
// except that all operands of a call have one dtype (f32, bf16 or f64) and dw is overwritten.
#pragma once

#include "kernels/conv2d.h"

namespace nat::gpu::plain {

void conv2d_forward(Context&, const Conv2d&, ConstView x, ConstView w, View y);
void conv2d_backward_data(Context&, const Conv2d&, ConstView w, ConstView dy, View dx);
void conv2d_backward_weights(Context&, const Conv2d&, ConstView x, ConstView dy, View dw);

}  // namespace nat::gpu::plain
