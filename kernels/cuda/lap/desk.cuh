// What a block that works on a problem alone keeps in its shared memory, where it fits: a value
// that threads tell each other there is read in 30 cycles, not in the 360 of the cache that all
// blocks share, and chains of such reads are what the end of a phase and the paths consist of.
#pragma once

#include "kernels/cuda/lap/problem.cuh"

namespace nat::gpu {

// Bytes of dynamic shared memory of a desk; 0 where a block cannot have so many.
constexpr std::size_t desk_bytes(std::int64_t columns, std::size_t shared_bytes_block) {
  constexpr std::size_t kVectors = 8, kStatic = 8 << 10;  // of the kernel itself, at most
  const std::size_t bytes = kVectors * static_cast<std::size_t>(columns) * sizeof(std::int32_t);
  return bytes + kStatic <= shared_bytes_block ? bytes : 0;
}

// The lists of rounds with few bidders; these always fit.
constexpr int kFewBidders = 128;
struct LapLists {
  lap::Bid bids[kFewBidders];
  std::int32_t bidders[2 * kFewBidders];
  int counts[3];
};

// The problem with its lists and, where there is a desk, its vectors in shared memory,
// uninitialised. An auction and a search are never under way together: offers share their place
// with the vectors of a search.
__device__ inline LapProblem on_desk(const LapProblem& problem, LapLists& lists) {
  LapProblem desk = problem;
  desk.bids = lists.bids;
  desk.bidders = lists.bidders;
  desk.listed = kFewBidders;
  desk.bidder_counts = lists.counts;
  if (!problem.has_desk) return desk;
  std::int32_t* next = dynamic_shared<std::int32_t>();
  const auto vector = [&] {
    std::int32_t* const here = next;
    next += problem.columns;
    return here;
  };
  desk.offers = reinterpret_cast<LapSum*>(next);  // as long as the next two together
  desk.open_ask = vector();
  desk.distance = vector();
  desk.closed_at = vector();
  desk.from = vector();
  desk.ask = vector();
  desk.row_of_column = vector();
  desk.column_of_row = vector();
  desk.lowest_twin = vector();
  return desk;
}

__device__ inline void copy_seats(const LapProblem& from, const LapProblem& to) {
  for (std::int64_t j = threadIdx.x; j < from.columns; j += blockDim.x) {
    to.ask[j] = from.ask[j];
    to.row_of_column[j] = from.row_of_column[j];
    if (j < from.n) to.column_of_row[j] = from.column_of_row[j];
  }
}

// By all threads of the block; between the two, nobody else may touch the seats of the problem.
__device__ inline void take_to_desk(const LapProblem& problem, const LapProblem& desk) {
  if (problem.has_desk) copy_seats(problem, desk);
  __syncthreads();
}
__device__ inline void bring_back(const LapProblem& desk, const LapProblem& problem) {
  __syncthreads();
  if (problem.has_desk) copy_seats(desk, problem);
}

}  // namespace nat::gpu
