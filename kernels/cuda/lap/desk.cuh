// What a block that works on a problem alone keeps in its shared memory, as far as it fits: a value
// that threads tell each other there is read in 30 cycles, not in the 360 of the cache that all
// blocks share, and chains of such reads are what the end of a phase and the paths consist of.
// With 227 KiB the scores fit up to 256 columns, all vectors up to 7,000, those of a search up to
// 28,000; with 163 KiB (A100) the scores up to 224, with 99 KiB (8.6, 8.9, 12.0) up to 168.
#pragma once

#include <initializer_list>

#include "kernels/cuda/lap/packed_scores.cuh"
#include "kernels/cuda/lap/problem.cuh"

namespace nat::gpu {

// The vectors at the desk, in this order. An auction and a search are never under way together:
// offers share their place with the first two.
enum class DeskVector {
  open_ask,
  distance,
  closed_at,
  from,
  ask,
  row_of_column,
  column_of_row,
  lowest_twin,
  count
};

__device__ inline std::int32_t* desk_vector(DeskVector which, std::int64_t columns) {
  return dynamic_shared<std::int32_t>() + static_cast<std::int64_t>(which) * columns;
}

NAT_HOST_DEVICE constexpr bool has_all_vectors(LapDesk desk) { return desk >= LapDesk::all; }

// Of dynamic shared memory.
constexpr std::size_t desk_bytes(LapDesk desk, std::int64_t rows, std::int64_t columns) {
  const std::size_t vectors = has_all_vectors(desk) ? static_cast<std::size_t>(DeskVector::count)
                              : desk == LapDesk::search ? 2
                                                        : 0;
  return vectors * static_cast<std::size_t>(columns) * sizeof(std::int32_t) +
         (desk == LapDesk::scores ? packed_bytes(rows, columns) : 0);
}

// The largest desk that a block can have.
constexpr LapDesk desk_for(std::int64_t rows, std::int64_t columns,
                           std::size_t shared_bytes_block) {
  constexpr std::size_t kStatic = 8 << 10;  // of the kernel itself, at most
  for (const LapDesk desk : {LapDesk::scores, LapDesk::all, LapDesk::search}) {
    if (desk == LapDesk::scores && columns > kMostPackedColumns) continue;
    if (desk_bytes(desk, rows, columns) + kStatic <= shared_bytes_block) return desk;
  }
  return LapDesk::none;
}

// The lists of rounds with few bidders, or of all rounds where the scores lie at the desk; these
// always fit.
constexpr int kFewBidders = 128;
struct LapLists {
  static constexpr int kListed = kMostPackedColumns;
  static_assert(kFewBidders <= kListed);
  lap::Bid bids[kListed];
  std::int32_t bidders[2 * kListed];
  int counts[3];
};

// The problem with its lists and its vectors in shared memory, uninitialised. The compiler knows
// where they lie wherever it sees this call.
__device__ inline LapProblem all_on_desk(LapProblem problem) {
  __shared__ LapLists lists;
  problem.bids = lists.bids;
  problem.bidders = lists.bidders;
  problem.listed = LapLists::kListed;
  problem.bidder_counts = lists.counts;
  const auto vector = [&](DeskVector which) { return desk_vector(which, problem.columns); };
  problem.open_ask = vector(DeskVector::open_ask);
  problem.distance = vector(DeskVector::distance);
  problem.offers = reinterpret_cast<LapSum*>(problem.open_ask);
  problem.closed_at = vector(DeskVector::closed_at);
  problem.from = vector(DeskVector::from);
  problem.ask = vector(DeskVector::ask);
  problem.row_of_column = vector(DeskVector::row_of_column);
  problem.column_of_row = vector(DeskVector::column_of_row);
  problem.lowest_twin = vector(DeskVector::lowest_twin);
  return problem;
}

// The same with those vectors that the desk has.
__device__ inline LapProblem on_desk(const LapProblem& problem) {
  const LapProblem all = all_on_desk(problem);
  if (has_all_vectors(problem.desk)) return all;
  LapProblem desk = problem;
  desk.bids = all.bids;
  desk.bidders = all.bidders;
  desk.listed = all.listed;
  desk.bidder_counts = all.bidder_counts;
  if (problem.desk == LapDesk::none) return desk;
  desk.open_ask = all.open_ask;
  desk.distance = all.distance;
  return desk;
}

__device__ inline PackedScores scores_on_desk(const LapProblem& desk) {
  return {desk.n, desk.columns, desk_vector(DeskVector::count, desk.columns)};
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
  if (has_all_vectors(problem.desk)) copy_seats(problem, desk);
  __syncthreads();
}
__device__ inline void bring_back(const LapProblem& desk, const LapProblem& problem) {
  __syncthreads();
  if (has_all_vectors(problem.desk)) copy_seats(desk, problem);
}

}  // namespace nat::gpu
