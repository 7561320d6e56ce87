// The linear assignment problem: the permutation of columns that maximises sum_i scores[i, p(i)].
//
// Scores are quantised to integers, and that integer problem is solved exactly:
//   q[i,j] = round((s[i,j] - s_min) * levels / (s_max - s_min)),  levels = 2^22 (fewer for large n)
// The report carries a dual bound from the column prices,
//   bound = sum_i max_j (q[i,j] - price[j]) + sum_j price[j]  >=  value of every permutation,
// so that bound - value == 0 is a proof of optimality that anyone can re-check from `prices`.
//
// Guarantees: the result is a permutation; its integer value is at least that of the identity (the
// current assignment), which is returned when it is optimal; NaN or infinity in the scores is
// refused with status bad_input and the identity. Deterministic, independent of the number of
// threads.
//
// scores (n, n) f32 row-major; column_of_row (n) i32; prices (n) i32, in quanta.
// CPU: Jonker-Volgenant (Jonker and Volgenant 1987) in integers: column reduction, a budgeted
// augmenting row reduction, shortest augmenting paths; SIMD over columns. O(n^3) worst case.
#pragma once

#include "kernels/op.h"
#include "kernels/view.h"

namespace nat {

enum class LapStatus { optimal, bad_input };

struct LapReport {
  LapStatus status = LapStatus::optimal;
  double value = 0;           // sum of the float scores of the result
  double identity_value = 0;  // the same for the permutation that was given (p(i) = i)
  double quantum = 0;         // one integer step in score units
  std::int64_t value_quanta = 0, bound_quanta = 0;  // equal when proven optimal
  std::int64_t steps = 0;  // Dijkstra steps (one scan of a row of n columns each)
  std::int64_t paths = 0;  // augmenting paths
  std::int64_t bids = 0;   // row reductions
  std::int64_t gap() const { return bound_quanta - value_quanta; }
};

using LapSolve = void(Context&, ConstView scores, View column_of_row, View prices,
                      LapReport& report);

namespace cpu {
LapSolve lap_solve;
}  // namespace cpu
namespace gpu {
LapSolve lap_solve;
}  // namespace gpu

// The CUDA solver is an auction of its own (not in this build): assignments of CUDA runs copy the
// scores to the host and solve there, explicitly, in nat/assigner.cpp.
inline constexpr Op<LapSolve> lap_solve{cpu::lap_solve, nullptr};

}  // namespace nat
