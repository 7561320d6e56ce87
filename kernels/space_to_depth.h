// Space to depth: a strided convolution of few channels becomes a convolution of stride 1 on many.
// The first layer of a network reads 2 channels, too few for tensor cores and for Winograd's
// algorithm. With stride s, blocks of s x s pixels become the channels of one pixel, and the kernel
// is cut up the same way:
//
//   z[n,a,b,(i*s + j)*C + c] = x[n, a*s - pad + i, b*s - pad + j, c]    0 outside the picture
//   v[k,R,S,(i*s + j)*C + c] = w[k, R*s + i, S*s + j, c]                0 outside the kernel
//   conv(x, w; stride s, pad) = conv(z, v; stride 1, no padding)
//   dw[k,r,t,c] = dv[k, r/s, t/s, ((r%s)*s + t%s)*C + c]
//
// AlexNet: 224x224x2, 11x11/4 pad 2 becomes 57x57x32, 3x3. dtypes: f32, bf16, f64; x and z agree.
#pragma once

#include "kernels/conv2d.h"

namespace nat {

// The shape of z, where folding pays, is conv2d_folded().
Conv2d folded_conv(const Conv2d& conv);
Shape folded_weights(const Conv2d& conv, const Shape& w);
// Whether an x of this shape has been folded for weights of shape w.
bool is_folded(const Conv2d& conv, const Shape& x, const Shape& w);
// x, or what it is folded to, in temporary memory, where that pays on the context's device.
ConstView as_folded(Context&, Scratch::Frame&, const Conv2d&, ConstView x, const Shape& w);

using FoldWeights = void(Context&, const Conv2d&, ConstView w, View v);
// Overwrites dw or adds to it.
using UnfoldWeightGradient = void(Context&, const Conv2d&, ConstView dv, Grad, View dw);

namespace cpu {
FoldWeights fold_weights;                     // w and v of one dtype, f32 or f64
UnfoldWeightGradient unfold_weight_gradient;  // dv and dw of one dtype, f32 or f64
}  // namespace cpu
namespace gpu {
FoldWeights fold_weights;                     // w f32, bf16, f64; dtype of v
UnfoldWeightGradient unfold_weight_gradient;  // dv f32 or bf16 with dw f32, or both f64
}  // namespace gpu

}  // namespace nat
