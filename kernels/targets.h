// Rows of the target matrix C, drawn uniformly on the unit sphere (paper section 3.2): normalised
// Gaussian vectors, made from a counter, never stored.
//
//   g[2p], g[2p+1] = normal_pair of two words of a Philox block, two pairs per block:
//                    words (0,1) of philox(seed, targets, 0, row * 2^16 + p) for even p,
//                    words (2,3) of the block of p - 1 for odd p
//   norm^2         = sum of g^2 in double: 32 partial sums over columns j = lane (mod 32), then
//                    added in lane order, so that the CPU and a warp give the same bits
//   target         = g * (float)(1 / sqrt(norm^2))
//                    the first unit vector when g = 0, which happens once in 2^24 rows of d <= 2
//
// ids (n) i32: row numbers of C; targets (n, d) f32, or f64 (the f32 values widened). d <= 2^17.
#pragma once

#include "kernels/op.h"
#include "kernels/view.h"

namespace nat {

using TargetRows = void(Context&, std::uint64_t seed, ConstView ids, View targets);

namespace cpu {
TargetRows target_rows;
}  // namespace cpu
namespace gpu {
TargetRows target_rows;
}  // namespace gpu

inline constexpr Op<TargetRows> target_rows{cpu::target_rows, gpu_or_null<gpu::target_rows>()};

}  // namespace nat
