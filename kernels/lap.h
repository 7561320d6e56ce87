// The linear assignment problem: the permutation of columns that maximises sum_i scores[i, p(i)].
//
// Scores are quantised to integers, and that integer problem is solved exactly:
//   q[i,j] = rint((s[i,j] - s_min) * (kLapLevels / (s_max - s_min)))   in double; 0 when constant
// The report carries a dual bound from the column prices (integers, in quanta),
//   bound = sum_i max_j (q[i,j] - price[j]) + sum_j price[j]  >=  value of every permutation,
// so that bound - value = 0 proves optimality, and anyone can check it from `prices`.
//
// Guarantees:
// - The result is a permutation, and its value is at least that of the identity (the current
//   assignment) as a sum of floats and in quanta. The identity is returned when it is optimal.
// - gap() is 0, with one exception: where only the rounding to quanta prefers another permutation,
//   the identity is kept and the gap is at most n (half a quantum for each score compared).
// - NaN or infinity in the scores is refused: status bad_input, the identity, prices and values 0.
// - Deterministic: the same on every machine, independent of threads and vector width.
//
// scores (n, n) f32 row-major, n >= 0; column_of_row (n) i32; prices (n) i32.
// CPU: Jonker and Volgenant 1987 ("A shortest augmenting path algorithm for dense and sparse linear
// assignment problems") in integers: column reduction, row reduction within a budget, shortest
// augmenting paths; SIMD over columns. O(n^3) worst case, 4 n^2 bytes of scratch, one thread.
#pragma once

#include <cstdint>

#include "kernels/op.h"
#include "kernels/view.h"

namespace nat {

enum class LapStatus { optimal, bad_input };

inline constexpr std::int32_t kLapLevels = 1 << 24;  // as many as a float32 has bits

struct LapReport {
  LapStatus status = LapStatus::optimal;
  double value = 0;           // sum of the float scores of the result
  double identity_value = 0;  // the same for the permutation that was given (p(i) = i)
  double quantum = 0;         // one integer step in score units
  std::int64_t value_quanta = 0, bound_quanta = 0;
  std::int64_t bids = 0;   // row reductions, one scan of n columns each
  std::int64_t paths = 0;  // augmenting paths
  std::int64_t steps = 0;  // Dijkstra steps in all paths, one scan of n columns each
  std::int64_t gap() const { return bound_quanta - value_quanta; }
};

// `report` lies in the context's memory.
using LapSolve = void(Context&, ConstView scores, View column_of_row, View prices,
                      LapReport* report);

namespace cpu {
LapSolve lap_solve;
}  // namespace cpu
namespace gpu {
LapSolve lap_solve;
}  // namespace gpu

// CPU only: there is no CUDA solver in this build.
inline constexpr Op<LapSolve> lap_solve{cpu::lap_solve, nullptr};

}  // namespace nat
