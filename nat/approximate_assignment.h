// Two ways to assign that are quicker to explain than the exact one, as yardsticks for it. Like
// kernels/lap.h they seek the permutation that maximises sum_i scores[i, p(i)], on the host, and
// keep the identity when what they find is not better.
//
//   assign_greedily    the largest score first, then the largest of the rows and columns that are
//                      left; on ties the lower row, then the lower column
//   assign_by_sinkhorn the matrix exp(scores / T) is scaled to row and column sums of 1 by turns
//                      (Sinkhorn and Knopp 1967), which solves the assignment with a reward T for
//                      entropy (Cuturi 2013); then greedily by the scaled matrix.
//                      T = range / 50, 30 turns.
//
//   scores (n, n) f32, column_of_row (n) i32, n >= 1; host memory
//
// The report's bound is that of kernels/lap.h, for the prices at hand: the largest score of each
// column, or T log of the scaling of each column. So gap() is an upper limit of what is lost, in
// quanta, and may be far from the loss itself. Of the counters, `bids` counts scans of n columns.
// NaN or infinity in the scores: status bad_input and the identity.
#pragma once

#include "kernels/context.h"
#include "kernels/lap.h"
#include "kernels/view.h"

namespace nat {

void assign_greedily(Context& ctx, ConstView scores, View column_of_row, LapReport* report);
void assign_by_sinkhorn(Context& ctx, ConstView scores, View column_of_row, LapReport* report);

}  // namespace nat
