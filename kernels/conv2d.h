// 2-D convolution (cross-correlation, as in every deep-learning library), without bias: each
// convolution of the networks is followed by a batch norm, which would cancel it.
//
//   y[n,p,q,k]  = sum_{r,s,c} x[n, p*stride - pad + r, q*stride - pad + s, c] * w[k,r,s,c]
//   dx[n,h,w,c] = sum over the (p,q,k,r,s) that read x[n,h,w,c] of  dy[n,p,q,k] * w[k,r,s,c]
//   dw[k,r,s,c] = sum_{n,p,q} dy[n,p,q,k] * x[n, p*stride - pad + r, q*stride - pad + s, c]
//
// Shapes: x (n,h,w,c), y (n,p,q,k), w (k,r,s,c), r = s = kernel. Reads outside x are 0.
// p = (h + 2*pad - kernel)/stride + 1.
// dtypes: x and y are f32, bf16 or f64; w and dw are f32 (f64 with f64). bf16 operands are rounded
// to nearest even and accumulated in f32. Cost of each function: 2*n*p*q*k*r*s*c flops. On
// the CPU f32 convolutions, and bf16 ones where there are no AMX tiles, with stride 1 and 3x3 or
// 5x5 taps are computed with fewer by Winograd's algorithm, with rounding errors several times
// those of the plain sum (docs/decisions/0002). On CUDA w may also be a bf16 copy beside bf16 x;
// and with bf16 x the sum of dw is rounded to bf16 once, before it is stored or added, because
// cuDNN has no other kernel.
#pragma once

#include "kernels/op.h"
#include "kernels/view.h"

namespace nat {

struct Conv2d {  // square kernels, equal strides, zero padding on all sides
  int kernel = 1;
  int stride = 1;
  int pad = 0;
  friend bool operator==(const Conv2d&, const Conv2d&) = default;
};

Shape conv2d_output(const Conv2d& conv, const Shape& x, std::int64_t channels);

// A strided convolution of few channels is computed from blocks of stride x stride pixels that lie
// together like the channels of one pixel, where that pays (kernels/space_to_depth.h): on CUDA
// where it fills tensor cores, on the CPU where Winograd's algorithm then applies. conv2d_forward
// and conv2d_backward_weights take x in either form, and make the folded one in temporary memory
// where they need it; who calls both folds once. The shape of the folded x; that of x itself where
// `device` takes x as it is.
Shape conv2d_folded(Device device, const Conv2d& conv, const Shape& x);

using Conv2dFold = void(Context&, const Conv2d&, ConstView x, View folded);
using Conv2dForward = void(Context&, const Conv2d&, ConstView x, ConstView w, View y);
using Conv2dBackwardData = void(Context&, const Conv2d&, ConstView w, ConstView dy, View dx);
using Conv2dBackwardWeights = void(Context&, const Conv2d&, ConstView x, ConstView dy, Grad,
                                   View dw);

namespace cpu {
Conv2dFold conv2d_fold;
Conv2dForward conv2d_forward;
Conv2dBackwardData conv2d_backward_data;
Conv2dBackwardWeights conv2d_backward_weights;
// The name of the implementation that a call with these views would use
// ("Winograd F(4x4, 5x5)", "plain loops"): tests assert that the convolutions of both networks take
// the fast one.
std::string conv2d_forward_implementation(Context&, const Conv2d&, ConstView x, ConstView w,
                                          View y);
}  // namespace cpu
namespace gpu {
Conv2dFold conv2d_fold;
Conv2dForward conv2d_forward;
Conv2dBackwardData conv2d_backward_data;
Conv2dBackwardWeights conv2d_backward_weights;
}  // namespace gpu

inline constexpr Op<Conv2dFold> conv2d_fold{cpu::conv2d_fold, gpu_or_null<gpu::conv2d_fold>()};
inline constexpr Op<Conv2dForward> conv2d_forward{cpu::conv2d_forward,
                                                  gpu_or_null<gpu::conv2d_forward>()};
inline constexpr Op<Conv2dBackwardData> conv2d_backward_data{
    cpu::conv2d_backward_data, gpu_or_null<gpu::conv2d_backward_data>()};
inline constexpr Op<Conv2dBackwardWeights> conv2d_backward_weights{
    cpu::conv2d_backward_weights, gpu_or_null<gpu::conv2d_backward_weights>()};

}  // namespace nat
