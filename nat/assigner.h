// The re-assignment of Algorithm 1: which permutation of a pool's own targets fits its features
// best. The pool is a batch, or several batches at once.
//
//   p* = argmax over permutations p of  sum_i z_i . c_p(i)          (equation 5 of the paper)
//
// Scores are computed from centred features, S = (Z - 1 m') C' with C the pool's targets and m the
// mean of its Z. A constant leaves each column of Z C', which every permutation collects in full,
// so the optimum stays; but where features have nearly collapsed to one point, what tells them
// apart is no longer lost beside what they share.
#pragma once

#include <cstdint>

#include "kernels/context.h"
#include "kernels/lap.h"
#include "kernels/memory.h"
#include "kernels/view.h"

namespace nat {

// exact       automatic, of kernels/lap.h
// auction     its auction, whatever the size
// greedy, sinkhorn   yardsticks that are not exact (nat/approximate_assignment.h), CPU only
enum class AssignmentSolver { exact, auction, greedy, sinkhorn };

// The results of an assignment, in the context's memory.
struct Assignment {
  View column_of_row;        // (n) i32: row i takes target column_of_row[i]
  View cosine_sum;           // (1) f32: sum_i z_i . c_i, before the assignment
  LapReport* lap = nullptr;  // values are of centred scores: their gain is that of the cosines
};

class Assigner {
 public:
  // Memory for pools of up to max_pool features of `dimension`: nothing is allocated later.
  // Error(usage) when the device does not have the solver.
  Assigner(Context& ctx, std::int64_t max_pool, std::int64_t dimension,
           AssignmentSolver solver = AssignmentSolver::exact);

  // z and targets (n, d) f32 with unit rows, 1 <= n <= max_pool. The identity when nothing better
  // is found, or when z is not finite (lap->status bad_input).
  void assign(Context& ctx, ConstView z, ConstView targets, const Assignment& result);

 private:
  View centred_scores(Context& ctx, ConstView z, ConstView targets);
  void solve(Context& ctx, ConstView scores, const Assignment& result);

  std::int64_t max_pool_, dimension_;
  AssignmentSolver solver_;
  Buffer mean_, centred_, scores_, cosines_, prices_;
};

}  // namespace nat
