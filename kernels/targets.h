// Rows of the target matrix C (paper section 3.2), unit vectors made when they are asked for, never
// stored.
//
// sphere: drawn uniformly on the unit sphere, normalised Gaussian vectors from a counter
//
//   g[2p], g[2p+1] = normal_pair of two words of a Philox block, two pairs per block:
//                    words (0,1) of philox(seed, targets, 0, row * 2^16 + p) for even p,
//                    words (2,3) of the block of p - 1 for odd p
//   norm^2         = sum of g^2 in double: 32 partial sums over columns j = lane (mod 32), then
//                    added in lane order, so that the CPU and a warp give the same bits
//   target         = g * (float)(1 / sqrt(norm^2))
//                    the first unit vector when g = 0, which happens once in 2^24 rows of d <= 2
//
// basis: the paper's discrete targets, the canonical basis of R^d in turn. The seed plays no part;
// of n rows, n / d are the same vector.
//
//   target[k]      = 1 where k = row mod d, else 0
//
// ids (n) i32: row numbers of C; targets (n, d) f32, or f64 (the f32 values widened). d <= 2^17.
#pragma once

#include <cstdint>

#include "kernels/op.h"
#include "kernels/view.h"

namespace nat {

enum class TargetKind { sphere, basis };

// As many column pairs as a counter has room for.
inline constexpr std::int64_t kMaxTargetColumns = std::int64_t{2} << 16;

using TargetRows = void(Context&, TargetKind kind, std::uint64_t seed, ConstView ids, View targets);

namespace cpu {
TargetRows target_rows;
}  // namespace cpu
namespace gpu {
TargetRows target_rows;
}  // namespace gpu

inline constexpr Op<TargetRows> target_rows{cpu::target_rows, gpu_or_null<gpu::target_rows>()};

}  // namespace nat
