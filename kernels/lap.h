// The linear assignment problem: the permutation of columns that maximises sum_i scores[i, p(i)].
//
// Scores are quantised to integers, and that integer problem is solved exactly:
//   q[i,j] = rint((s[i,j] - s_min) * (kLapLevels / (s_max - s_min)))   in double; 0 when constant
// The report carries a dual bound from the column prices (integers, in quanta),
//   bound = sum_i max_j (q[i,j] - price[j]) + sum_j price[j]  >=  value of every permutation,
// so that bound - value = 0 proves optimality, and anyone can check it from `prices`.
//
// Guarantees, whatever the scores:
// - The result is a permutation, and its value is at least that of the identity (the current
//   assignment) as a sum of floats and in quanta. The identity is returned when it is optimal.
// - gap() is 0, with one exception: where only the rounding to quanta prefers another permutation,
//   the identity is kept and the gap is at most n (half a quantum for each score compared).
// - NaN or infinity in the scores is refused: status bad_input, the identity, prices and values 0.
// - Deterministic: the same on every machine, independent of threads, vector width and crew. The
//   auction is the same on the CPU and on CUDA, permutation, prices and every field of the report,
//   where its options are: lap::resolved() of kernels/lap_auction.h tells what 0 stands for.
// - Bounded: at most phases * round_cap rounds, paths <= n and steps <= n paths, with samples
//   n paths + n^2 / 6.
//
//   lap_solve        scores (n, n) f32, column_of_row (n) i32, prices (n) i32, n >= 0
//   lap_solve_batch  b problems one below the other: scores (b n, n), column_of_row and prices
//                    (b n), b reports
// `report` points to memory of the context, like every result: on CUDA it is written by the kernel,
// enqueued, and is to be copied back by whoever wants to read it. It may not be null.
//
// Both solvers are told in kernels/lap_auction.h, where the arithmetic lies that backends share.
//   jv       Jonker and Volgenant 1987 ("A shortest augmenting path algorithm for dense and sparse
//            linear assignment problems"): serial; CPU only. Where scores have a rank of 3 or less,
//            as those of collapsed features do, its first prices come from the exact solution of a
//            sample (kernels/cpu/lap/sampled.cpp; docs/decisions/0009-scores-of-low-rank.md). Rows
//            of equal scores bid together (docs/decisions/0010-equal-rows.md)
//   auction  Bertsekas 1988 ("The auction algorithm"), all rows bidding at once, with scaling cut
//            short and shortest augmenting paths for the last rows: parallel
// O(n^3) worst case; 4 n^2 bytes of scratch, a third more where there are samples.
#pragma once

#include <cstdint>

#include "kernels/op.h"
#include "kernels/view.h"

namespace nat {

enum class LapStatus : std::int32_t { optimal, bad_input };

// automatic: auction on CUDA; on the CPU jv below kLapAuctionFrom rows, for scores of low rank and
// where more than one row in 32 begins like an earlier one, auction otherwise.
enum class LapSolver { automatic, jv, auction };

// Who solves a problem together on CUDA. automatic: by n and by what the device has. block: one
// block. cluster: a thread-block cluster, which devices have from compute capability 9.0 on. grid:
// all blocks of a cooperative launch, one problem at a time, so not for lap_solve_batch. What
// cannot be had is refused with Error(usage). The CPU does not look at it.
enum class LapCrew { automatic, block, cluster, grid };

inline constexpr std::int32_t kLapLevels = 1 << 24;  // as many as a float32 has bits
inline constexpr std::int64_t kLapAuctionFrom = 1024;

// Of the auction; 0 chooses by n and device. They change how long a solution takes, never its
// value; `crew` and `shared_kib`, the shared memory that blocks may have, change nothing else at
// all.
struct LapOptions {
  LapSolver solver = LapSolver::automatic;
  int alpha = 0;       // >= 2: each phase bids with 1/alpha of the least raise of the one before
  int cut_div = 0;     // a phase ends when n / cut_div rows are left without a column
  int round_cap = 0;   // or after so many rounds
  int finest_div = 0;  // <= kLapLevels: the least raise is 1/finest_div of the range of the scores
  LapCrew crew = LapCrew::automatic;
  int shared_kib = 0;  // of a block on CUDA, at most; 0: what the device has
};

struct LapReport {
  LapStatus status = LapStatus::optimal;
  std::int32_t phases = 0;    // of the auction
  double value = 0;           // sum of the float scores of the result
  double identity_value = 0;  // the same for the permutation that was given (p(i) = i)
  double quantum = 0;         // one integer step in score units
  std::int64_t value_quanta = 0, bound_quanta = 0;
  std::int64_t rounds = 0;  // of the auction, in all phases
  // One scan of n columns each, those of samples counted by their length:
  std::int64_t bids = 0;   // row reductions of jv, bids of the auction
  std::int64_t steps = 0;  // Dijkstra steps in all paths
  std::int64_t paths = 0;  // augmenting paths, without those of samples
  std::int64_t gap() const { return bound_quanta - value_quanta; }
  friend bool operator==(const LapReport&, const LapReport&) = default;
};

using LapSolve = void(Context&, const LapOptions&, ConstView scores, View column_of_row,
                      View prices, LapReport* report);

namespace cpu {
LapSolve lap_solve;
LapSolve lap_solve_batch;
}  // namespace cpu
namespace gpu {
LapSolve lap_solve;
LapSolve lap_solve_batch;
}  // namespace gpu

inline constexpr Op<LapSolve> lap_solve{cpu::lap_solve, gpu_or_null<gpu::lap_solve>()};
inline constexpr Op<LapSolve> lap_solve_batch{cpu::lap_solve_batch,
                                              gpu_or_null<gpu::lap_solve_batch>()};

}  // namespace nat
