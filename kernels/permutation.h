// The permutation of targets as a batch sees it (nat/targets.h): row_of_image says which row of the
// target matrix each image holds.
//
//   held_targets      held[i] = row_of_image[ids[i]]
//   exchange_targets  row_of_image[ids[i]] = held[column_of_row[i]]
//                     held[i] = the same, moved[0] = the number of i whose row changed
//
// ids, held, column_of_row (n), row_of_image (images), moved (1), all i32. The ids are distinct and
// in range, column_of_row is a permutation of 0..n-1, and held is what held_targets gave.
#pragma once

#include "kernels/op.h"
#include "kernels/view.h"

namespace nat {

using HeldTargets = void(Context&, ConstView row_of_image, ConstView ids, View held);
using ExchangeTargets = void(Context&, ConstView ids, ConstView column_of_row, View row_of_image,
                             View held, View moved);

namespace cpu {
HeldTargets held_targets;
ExchangeTargets exchange_targets;
}  // namespace cpu
namespace gpu {
HeldTargets held_targets;
ExchangeTargets exchange_targets;
}  // namespace gpu

inline constexpr Op<HeldTargets> held_targets{cpu::held_targets, gpu_or_null<gpu::held_targets>()};
inline constexpr Op<ExchangeTargets> exchange_targets{cpu::exchange_targets,
                                                      gpu_or_null<gpu::exchange_targets>()};

}  // namespace nat
