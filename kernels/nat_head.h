// The head of Noise As Targets: unit-normalise each feature row, then the squared distance to its
// target row (paper eq. 2 with the unit constraint).
//
//   norm = |x|,  inv_norm = 1 / max(norm, kSmallestNorm),  z = x inv_norm
//   loss[i] = |z_i - c_i|^2 = 2 - 2 z_i . c_i   for unit rows (evaluated as the sum of squares)
//   dx = -2 scale inv_norm (c - (z . c) z)       tangential: dx . z = 0
//
// `scale` multiplies the gradient only: 1 for the summed loss of the official code (learning rate
// 0.01 means what it means there), 1/n for the mean. The step that re-assigns needs z before the
// targets are known, so the fused pass also exists in two halves: normalize_rows, then nat_loss.
// The results are identical.
//
// NaN and infinity stay visible: the loss of their row is NaN. So is all of its z or, of an
// infinity, z in its column (the others are 0). Squares of f32 are summed in double and cannot
// overflow; rows of f64 longer than 1e154 become z = 0.
//
// Shapes: x, z, targets, dx (n, d); inv_norm, loss (n). dtypes: f32, or all f64. dx may be the
// memory of x, and z of normalize_rows too. Rows are independent; a row is summed in a fixed order.
// Cost: nat_head reads x and targets once and writes z and dx once.
#pragma once

#include "kernels/op.h"
#include "kernels/view.h"

namespace nat {

inline constexpr double kSmallestNorm = 1e-10;

using NormalizeRows = void(Context&, ConstView x, View z, View inv_norm);
using NatLoss = void(Context&, float scale, ConstView z, ConstView inv_norm, ConstView targets,
                     View loss, View dx);
using NatHead = void(Context&, float scale, ConstView x, ConstView targets, View z, View inv_norm,
                     View loss, View dx);

namespace cpu {
NormalizeRows normalize_rows;
NatLoss nat_loss;
NatHead nat_head;
}  // namespace cpu
namespace gpu {
NormalizeRows normalize_rows;
NatLoss nat_loss;
NatHead nat_head;
}  // namespace gpu

inline constexpr Op<NormalizeRows> normalize_rows{cpu::normalize_rows,
                                                  gpu_or_null<gpu::normalize_rows>()};
inline constexpr Op<NatLoss> nat_loss{cpu::nat_loss, gpu_or_null<gpu::nat_loss>()};
inline constexpr Op<NatHead> nat_head{cpu::nat_head, gpu_or_null<gpu::nat_head>()};

}  // namespace nat
