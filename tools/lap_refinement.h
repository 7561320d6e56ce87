// The assignment problem on doubles, solved by kernels/lap.h as often as it takes.
//
// The solver sees scores of 2^24 levels. Its prices, taken back into the unit of the numbers, still
// give a bound for the numbers themselves:
//
//   gap = sum_i loss[i, p(i)],   loss[i, j] = max_k (w[i,k] - price[k]) - (w[i,j] - price[j]) >= 0
//
// and no permutation is better than p by more than that (docs/07-the-auction.md). Moreover, none
// that uses a single entry with loss >= gap is better at all. So all such entries may be called
// equally bad, and the problem is solved again with its 2^24 levels spread over losses between 0
// and the gap. Each round makes the gap about 2^24 / n times smaller, until it is smaller than the
// grain of the numbers, the power of two of which all their sums are multiples: then nothing can be
// better. That holds for numbers of any range, since prices are kept as sums without error and
// differences that rounding could decide are computed from all their parts.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/context.h"
#include "kernels/lap.h"

namespace nat::tools {

struct RefinedAssignment {
  std::vector<std::int32_t> column_of_row;
  double value = 0;    // the sum over the result, row by row
  double bound = 0;    // no permutation is worth more; `value` where that is proven
  double quantum = 0;  // the finest level that was needed
  int solves = 0;      // of kernels/lap.h
  std::int64_t rounds = 0, bids = 0, paths = 0, steps = 0;  // in all of them
  double gap() const { return bound - value; }
};

// Maximises sum_i w[i * n + p(i)]; w holds n n finite numbers of magnitude 1e300 at most.
RefinedAssignment refine_assignment(Context& ctx, const LapOptions& options, std::int64_t n,
                                    const std::vector<double>& w);

}  // namespace nat::tools
