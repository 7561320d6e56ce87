// Batch norm fused with what follows it in the networks: optional max-pool, optional ReLU, optional
// dropout, in the order of the official code (batch norm, pool, ReLU).
//
// Forward, per channel c, over the m = n*h*w elements of x:
//   train: mean = sum x / m,  var = sum (x - mean)^2 / m              (biased, used to normalise)
//          running_mean += momentum (mean - running_mean)
//          running_var  += momentum (var m/(m-1) - running_var)       (unbiased, as in PyTorch;
//                                                                      m = 1 keeps var)
//   eval:  mean = running_mean, var = running_var
//   inv_std = 1 / sqrt(var + eps)
//   v = gamma (x - mean) inv_std + beta
//   pool > 0: v <- maximum of v over each pool x pool window, stride pool_stride, no padding,
//             output size (h - pool)/pool_stride + 1; the first maximum in row-major order wins
//             a tie
//   relu:     v <- max(v, 0)
//   dropout:  v <- v * keep / (1 - dropout), keep ~ Bernoulli(1 - dropout), train only. Element
//             i of the row-major (n, features) output uses word i % 4 of
//             philox(key.seed, dropout, *key.step, key.layer * 2^40 + i / 4); it is kept when
//             uniform(word) >= dropout. Only rank-2 x with relu; rounding to dtype comes last.
//
// What backward needs (BatchNormSaved, filled by forward in train and eval mode):
//   mean, inv_std  (c)          f32 (f64 with f64)
//   argmax         like y       u8, pool > 0 only: row * pool + column of the maximum inside its
//                               window; kClipped when the ReLU clipped it (no gradient)
//   picked         like y       dtype of x, pool > 0 only: the raw x at the maximum
// and y itself when relu && pool == 0 (y > 0 tells clipped and dropped elements apart from kept
// ones). Evaluation that nobody goes back through may leave argmax and picked empty, both.
//
// A NaN is not larger than anything: in evaluation it passes a pool only as the first of its
// window. In training the statistics bring it to all pixels. With momentum 0 running statistics are
// not written.
//
// Backward, g = gradient with respect to v before pooling (gathered: each x sums the dy of the
// windows whose argmax it is; overlapping windows in row-major order), xhat = (x - mean) inv_std:
//   dbeta = sum g,  dgamma = sum g xhat
//   train: dx = gamma inv_std (g - dbeta/m - xhat dgamma/m)
//   eval:  dx = gamma inv_std g
//
// Shapes: x, dx (n,h,w,c) or (n,c); y, dy the pooled shape; gamma, beta, dgamma, dbeta, running_*
// (c). dtypes: x, y, dx, dy f32, bf16 or f64, all equal; statistics and parameters f32 (f64 with
// f64). Sums over the batch use a fixed number of chunks combined in order, so that results do not
// depend on the number of threads. dx may be the memory of x. dx may be empty (not needed). gamma
// may be 0: nothing divides by it. CUDA takes less than 2^31 pixels and 2^21 channels. Cost:
// memory-bound; forward reads x twice and writes y; backward reads x once and `picked` for the
// sums, or x twice without a pool, and writes dx.
#pragma once

#include <cstdint>

#include "kernels/op.h"
#include "kernels/view.h"

namespace nat {

inline constexpr std::int64_t kLargestPool = 15;
inline constexpr std::uint8_t kClipped = 255;  // no place in a window has this number
static_assert(kLargestPool * kLargestPool <= kClipped);

struct BatchNorm {
  float eps = 1e-5f;
  float momentum = 0.1f;
  int pool = 0;  // window, up to kLargestPool; 0 = no pooling
  int pool_stride = 0;
  bool relu = true;
  float dropout = 0;  // probability of dropping
};

// Names one dropout mask. The step lies in the context's memory, where a recorded step can read
// another value each time it is replayed; nullptr will do without dropout.
struct DropoutKey {
  std::uint64_t seed = 0;
  const std::uint32_t* step = nullptr;
  std::uint32_t layer = 0;
};

struct BatchNormParameters {
  ConstView gamma, beta;
  View running_mean, running_var;
};

struct BatchNormSaved {
  View mean, inv_std, argmax, picked;
  bool has_picks() const { return !argmax.empty() || !picked.empty(); }
};

Shape batchnorm_output(const BatchNorm& norm, const Shape& x);

using BatchNormForward = void(Context&, const BatchNorm&, Mode, const DropoutKey&, ConstView x,
                              const BatchNormParameters&, const BatchNormSaved&, View y);
using BatchNormBackward = void(Context&, const BatchNorm&, Mode, ConstView x, ConstView y,
                               ConstView gamma, const BatchNormSaved&, ConstView dy, Grad,
                               View dgamma, View dbeta, View dx);

namespace cpu {
BatchNormForward batchnorm_forward;
BatchNormBackward batchnorm_backward;
}  // namespace cpu
namespace gpu {
BatchNormForward batchnorm_forward;
BatchNormBackward batchnorm_backward;
}  // namespace gpu

inline constexpr Op<BatchNormForward> batchnorm_forward{cpu::batchnorm_forward,
                                                        gpu_or_null<gpu::batchnorm_forward>()};
inline constexpr Op<BatchNormBackward> batchnorm_backward{cpu::batchnorm_backward,
                                                          gpu_or_null<gpu::batchnorm_backward>()};

}  // namespace nat
