// The products that NVIDIA's libraries compute: what conv2d.cu and gemm.cu call. Each function
// returns false, having enqueued nothing, when the library has no implementation for the
// combination; the caller then launches its plain kernel. Contracts: kernels/conv2d.h,
// kernels/gemm.h.
//
// Plans and algorithms are chosen at the first call of a combination and cached; later calls
// allocate and synchronise nothing, so they can be captured into a CUDA graph.
#pragma once

#include <string>

#include "kernels/conv2d.h"
#include "kernels/gemm.h"

namespace nat::gpu::libraries {

// Loads the libraries; "" or why that is impossible.
std::string unavailable_reason();

// All operands have one dtype, f32 or bf16; dw is overwritten.
bool conv2d_forward(Context&, const Conv2d&, ConstView x, ConstView w, View y);
bool conv2d_backward_data(Context&, const Conv2d&, ConstView w, ConstView dy, View dx);
bool conv2d_backward_weights(Context&, const Conv2d&, ConstView x, ConstView dy, View dw);

// c = op(a) op(b) + beta c + bias (one value a column of c, f32; empty: none; needs an f32 c).
// a and b have one dtype: f32 or f64 with the same c, or bf16 with bf16 or f32 c. `math` is f32
// for a product that must not be rounded to tf32 whatever the mode of the context.
bool gemm(Context&, Math math, Transpose a_transposed, Transpose b_transposed, float beta,
          ConstView a, ConstView b, ConstView bias, View c);

}  // namespace nat::gpu::libraries
