// Matrix products: the general form, and the three products of a fully connected layer.
//
//   gemm                     c = op(a) op(b) + beta c          op(a) (m,k), op(b) (k,n), c (m,n)
//   linear_forward           y[i,o] = sum_k x[i,k] w[o,k] + b[o]
//   linear_backward_data     dx[i,k] = sum_o dy[i,o] w[o,k]
//   linear_backward_weights  dw[o,k] = sum_i dy[i,o] x[i,k],   db[o] = sum_i dy[i,o]
//
// Shapes: x (n,in), w (out,in) as in PyTorch, b (out) or empty, y (n,out). db may be empty.
// dtypes: gemm f32 or f64. linear: x and y f32 or bf16, each on its own, or both f64 (bf16 x with
// f32 y is the last layer of a bf16 network); w, b, dw, db f32 (f64 with f64). Products accumulate
// in f32 (f64). On CUDA w may also be a bf16 copy beside bf16 x, and under Math::tf32 the layer's
// f32 products are rounded to tf32; gemm, which computes scores, is exact f32 in every mode.
#pragma once

#include "kernels/op.h"
#include "kernels/view.h"

namespace nat {

enum class Transpose { no, yes };

using Gemm = void(Context&, Transpose a_transposed, Transpose b_transposed, float beta, ConstView a,
                  ConstView b, View c);
using LinearForward = void(Context&, ConstView x, ConstView w, ConstView b, View y);
using LinearBackwardData = void(Context&, ConstView w, ConstView dy, View dx);
using LinearBackwardWeights = void(Context&, ConstView x, ConstView dy, Grad, View dw, View db);

namespace cpu {
Gemm gemm;
LinearForward linear_forward;
LinearBackwardData linear_backward_data;
LinearBackwardWeights linear_backward_weights;
}  // namespace cpu
namespace gpu {
Gemm gemm;
LinearForward linear_forward;
LinearBackwardData linear_backward_data;
LinearBackwardWeights linear_backward_weights;
}  // namespace gpu

inline constexpr Op<Gemm> gemm{cpu::gemm, gpu_or_null<gpu::gemm>()};
inline constexpr Op<LinearForward> linear_forward{cpu::linear_forward,
                                                  gpu_or_null<gpu::linear_forward>()};
inline constexpr Op<LinearBackwardData> linear_backward_data{
    cpu::linear_backward_data, gpu_or_null<gpu::linear_backward_data>()};
inline constexpr Op<LinearBackwardWeights> linear_backward_weights{
    cpu::linear_backward_weights, gpu_or_null<gpu::linear_backward_weights>()};

}  // namespace nat
