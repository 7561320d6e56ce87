// What a block that works on a problem alone keeps in its shared memory, as far as it fits: a value
// that threads tell each other there is read in 30 cycles, not in the 360 of the cache that all
// blocks share, and chains of such reads are what the end of a phase and the paths consist of.
// With 227 KiB all vectors fit up to 7,000 columns, those of a search up to 28,000.
#pragma once

#include <initializer_list>

#include "kernels/cuda/lap/problem.cuh"

namespace nat::gpu {

// Of dynamic shared memory.
constexpr std::size_t desk_bytes(LapDesk desk, std::int64_t columns) {
  const std::size_t vectors = desk == LapDesk::all ? 8 : desk == LapDesk::search ? 2 : 0;
  return vectors * static_cast<std::size_t>(columns) * sizeof(std::int32_t);
}

// The largest desk that a block can have.
constexpr LapDesk desk_for(std::int64_t columns, std::size_t shared_bytes_block) {
  constexpr std::size_t kStatic = 8 << 10;  // of the kernel itself, at most
  for (const LapDesk desk : {LapDesk::all, LapDesk::search}) {
    if (desk_bytes(desk, columns) + kStatic <= shared_bytes_block) return desk;
  }
  return LapDesk::none;
}

// The lists of rounds with few bidders; these always fit.
constexpr int kFewBidders = 128;
struct LapLists {
  lap::Bid bids[kFewBidders];
  std::int32_t bidders[2 * kFewBidders];
  int counts[3];
};

// The problem with its lists and what its desk holds in shared memory, uninitialised. An auction
// and a search are never under way together: offers share their place with the vectors of a search.
__device__ inline LapProblem on_desk(const LapProblem& problem, LapLists& lists) {
  LapProblem desk = problem;
  desk.bids = lists.bids;
  desk.bidders = lists.bidders;
  desk.listed = kFewBidders;
  desk.bidder_counts = lists.counts;
  if (problem.desk == LapDesk::none) return desk;
  std::int32_t* next = dynamic_shared<std::int32_t>();
  const auto vector = [&] {
    std::int32_t* const here = next;
    next += problem.columns;
    return here;
  };
  desk.open_ask = vector();
  desk.distance = vector();
  if (problem.desk == LapDesk::search) return desk;
  desk.offers = reinterpret_cast<LapSum*>(desk.open_ask);  // as long as the two together
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
  if (problem.desk == LapDesk::all) copy_seats(problem, desk);
  __syncthreads();
}
__device__ inline void bring_back(const LapProblem& desk, const LapProblem& problem) {
  __syncthreads();
  if (problem.desk == LapDesk::all) copy_seats(desk, problem);
}

}  // namespace nat::gpu
