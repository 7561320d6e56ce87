// The auction behind the trial and the paths, by one block that has the scores at its desk
// (packed_scores.cuh): the same steps as in auction.cuh and paths.cuh. A warp for each bidder,
// whose lanes know what their eight columns ask for the whole round; one warp for the paths, whose
// lanes keep in registers what a search knows of their columns, so that a step has no barrier.
#pragma once

#include "kernels/cuda/lap/auction.cuh"
#include "kernels/cuda/lap/desk.cuh"
#include "kernels/cuda/lap/paths.cuh"

namespace nat::gpu {

// Of a lane. One without columns stands at those of the first lane, which are not for sale to it.
struct LaneColumns {
  std::int32_t first;
  bool owned;

  __device__ explicit LaneColumns(std::int64_t columns)
      : first(static_cast<std::int32_t>(lane()) * kLaneColumns), owned(first < columns) {
    if (!owned) first = 0;
  }
  __device__ LaneNumbers asks(const std::int32_t* ask) const {
    return owned ? LaneNumbers::at(ask + first) : LaneNumbers::all(lap::kClosed);
  }
};

// Whether the first block now has the scores and the seats at its desk. By the whole crew.
template <class Crew>
__device__ bool take_scores_to_desk(const Crew& crew, const LapProblem& problem) {
  if (problem.desk != LapDesk::scores) return false;
  if (crew.has_first_block()) {
    const bool fit =
        pack_rows(problem, scores_on_desk(problem), static_cast<std::int32_t>(threadIdx.x / kWarp),
                  static_cast<std::int32_t>(blockDim.x / kWarp));
    const int all_fit = __syncthreads_and(fit ? 1 : 0);
    if (threadIdx.x == 0) problem.control->packed = all_fit;
    take_to_desk(problem, all_on_desk(problem));
  }
  crew.sync();
  return problem.control->packed != 0;
}

// ---- rounds -------------------------------------------------------------------------------------

// What a warp has seen of a row. `second` is that of lanes other than the best one where there is
// one best lane.
struct PackedTop {
  std::int32_t best, second;
  unsigned best_lanes;
};

__device__ inline PackedTop packed_top(const PackedScores& scores, std::int32_t row,
                                       const LaneColumns& columns, const LaneNumbers& ask) {
  const LaneNumbers score = scores.eight(row, columns.first);
  std::int32_t best = INT_MIN, second = INT_MIN;
#pragma unroll
  for (int k = 0; k < kLaneColumns; k += 2) {
    const std::int32_t a = score.of[k] - ask.of[k], b = score.of[k + 1] - ask.of[k + 1];
    const std::int32_t higher = max(a, b), lower = min(a, b);
    second = max(max(second, lower), min(best, higher));
    best = max(best, higher);
  }
  PackedTop top;
  top.best = __reduce_max_sync(kFullWarp, best);
  top.best_lanes = __ballot_sync(kFullWarp, best == top.best ? 1 : 0);
  top.second = __reduce_max_sync(kFullWarp, best == top.best ? second : best);
  return top;
}

// By one thread, which looks for the column that the lanes have not told each other.
__device__ inline lap::TopTwo with_column(const PackedTop& top, const PackedScores& scores,
                                          std::int32_t row, const std::int32_t* ask) {
  const std::int32_t first = (__ffs(static_cast<int>(top.best_lanes)) - 1) * kLaneColumns;
  const LaneNumbers score = scores.eight(row, first), asked = LaneNumbers::at(ask + first);
  std::int32_t column = 0;
#pragma unroll
  for (int k = kLaneColumns - 1; k >= 0; --k) {
    if (score.of[k] - asked.of[k] == top.best) column = first + k;
  }
  const bool is_shared = (top.best_lanes & (top.best_lanes - 1)) != 0;
  return {top.best, is_shared ? top.best : top.second, column};
}

// A warp scans the rows of its bidders, one after the other, and leaves each to a lane of its own,
// which bids. There are at most 16 bidders a warp: 256 rows and 16 warps, or a warp for four rows.
__device__ inline void place_packed_bids(const LapProblem& desk, const LapProgress& progress,
                                         std::int32_t raise) {
  const PackedScores scores = scores_on_desk(desk);
  const std::int32_t* const bidders = desk.bidders_of(progress.round);
  const LaneColumns columns(desk.columns);
  const LaneNumbers asks = columns.asks(desk.ask);
  const auto warps = static_cast<int>(blockDim.x / kWarp);
  const auto warp = static_cast<int>(threadIdx.x / kWarp);
  PackedTop seen{};
  for (int l = 0; warp + l * warps < progress.count; ++l) {
    const PackedTop top = packed_top(scores, bidders[warp + l * warps], columns, asks);
    if (static_cast<int>(lane()) == l) seen = top;
  }
  const int k = warp + static_cast<int>(lane()) * warps;
  if (k >= progress.count) return;
  const std::int32_t row = bidders[k];
  const LapBidder bidder(desk, row, scores.one(row, row));
  bidder.place(desk, with_column(seen, scores, row, desk.ask), raise, desk.bids[k]);
}

__device__ inline void hold_packed(const lap::Phase& phase, const LapProblem& desk) {
  const BlockCrew block;
  clear_seats(block, desk);
  __syncthreads();
  LapProgress progress{.count = static_cast<int>(desk.n)};
  while (progress.goes_on(phase)) {
    place_packed_bids(desk, progress, phase.raise);
    __syncthreads();
    accept_bids(block, desk, progress.round, progress.count);
    __syncthreads();
    progress.end_round(desk);
  }
  if (threadIdx.x == 0) progress.end_phase(*desk.control);
  __syncthreads();
}

// ---- paths --------------------------------------------------------------------------------------

// The search of LapSearch by one warp. Loops over the columns of a lane are unrolled, so that the
// arrays are registers.
class PackedSearch {
 public:
  __device__ explicit PackedSearch(const LapProblem& desk)
      : n_(static_cast<std::int32_t>(desk.n)),
        scores_(scores_on_desk(desk)),
        ask_(desk.ask),
        row_of_column_(desk.row_of_column),
        lowest_twin_(desk.lowest_twin),
        from_of_column_(desk.from),
        columns_(desk.columns),
        open_ask_(columns_.asks(ask_)),
        distance_(LaneNumbers::all(lap::kFar)),
        closed_at_(LaneNumbers::all(0)),
        from_(LaneNumbers::all(lap::kNone)) {}

  // The free column at the end of the path, and how far it is. Counts steps.
  __device__ LapNearest run(std::int32_t start, std::int64_t& steps) {
    std::int32_t row = start, base = 0;
    for (;; ++steps) {
      const LaneNumbers score = scores_.eight(row, columns_.first);
      close_twins(row, base, score);
      relax(row, base, score);
      LapNearest nearest = warp_nearest(nearest_of_lane());
      if (!lap::taken(nearest.distance)) {
        ++steps;
        return nearest;
      }
      nearest.distance = lap::price_of(nearest.distance);
#pragma unroll
      for (int k = 0; k < kLaneColumns; ++k) {
        if (is_mine(k, nearest.column)) close(k, nearest.distance);
      }
      row = row_of_column_[nearest.column];
      base =
          nearest.distance + scores_.one(row, nearest.column) - lap::price_of(ask_[nearest.column]);
    }
  }

  // Prices of the columns passed, and the way back, to the desk.
  __device__ void tell(std::int32_t end_distance) const {
    if (!columns_.owned) return;
    LaneNumbers ask = LaneNumbers::at(ask_ + columns_.first);
#pragma unroll
    for (int k = 0; k < kLaneColumns; ++k) {
      const bool passed = open_ask_.of[k] == lap::kClosed && columns_.first + k < n_;
      if (passed) ask.of[k] += end_distance - closed_at_.of[k];
    }
    ask.store(ask_ + columns_.first);
    from_.store(from_of_column_ + columns_.first);
  }

 private:
  __device__ bool is_mine(int k, std::int32_t column) const {
    return columns_.owned && columns_.first + k == column;
  }

  __device__ void close(int k, std::int32_t distance) {
    distance_.of[k] = lap::kFar;
    open_ask_.of[k] = lap::kClosed;
    closed_at_.of[k] = distance;
  }

  __device__ void close_twins(std::int32_t row, std::int32_t base, const LaneNumbers& score) {
    const std::int32_t lowest = lowest_twin_[row];
    if (lowest == lap::kNone) return;
    const LaneNumbers holder = LaneNumbers::at(row_of_column_ + columns_.first);
#pragma unroll
    for (int k = 0; k < kLaneColumns; ++k) {
      if (holder.of[k] == lap::kNone || lowest_twin_[holder.of[k]] != lowest) continue;
      if (open_ask_.of[k] == lap::kClosed) continue;  // the seat of the row itself
      const std::int32_t offer = base + open_ask_.of[k] - score.of[k];
      if (offer < distance_.of[k]) from_.of[k] = row;
      close(k, lap::price_of(offer));
    }
  }

  __device__ void relax(std::int32_t row, std::int32_t base, const LaneNumbers& score) {
#pragma unroll
    for (int k = 0; k < kLaneColumns; ++k) {
      const std::int32_t offer = base + (open_ask_.of[k] - score.of[k]);
      if (offer < distance_.of[k]) from_.of[k] = row;
      distance_.of[k] = min(distance_.of[k], offer);
    }
  }

  __device__ LapNearest nearest_of_lane() const {
    std::int32_t least = distance_.of[0];
#pragma unroll
    for (int k = 1; k < kLaneColumns; ++k) least = min(least, distance_.of[k]);
    std::int32_t column = 0;
#pragma unroll
    for (int k = kLaneColumns - 1; k >= 0; --k) {
      if (distance_.of[k] == least) column = columns_.first + k;
    }
    return {least, column};
  }

  std::int32_t n_;
  PackedScores scores_;
  std::int32_t* ask_;
  const std::int32_t *row_of_column_, *lowest_twin_;
  std::int32_t* from_of_column_;
  LaneColumns columns_;
  LaneNumbers open_ask_, distance_, closed_at_, from_;
};

__device__ inline void place_by_warp(const LapProblem& desk, std::int32_t start,
                                     std::int64_t& steps) {
  PackedSearch search(desk);
  const LapNearest end = search.run(start, steps);
  __syncwarp();  // lanes have read prices that others are about to change
  search.tell(end.distance);
  __syncwarp();
  if (lane() == 0) exchange_along_path(desk, start, end.column);
  __syncwarp();
}

// All threads of the block begin and end together.
__device__ inline void place_free_rows_packed(const LapProblem& desk) {
  prepare_paths(desk);
  if (threadIdx.x >= kWarp) return;
  std::int64_t steps = 0;
  const std::int64_t paths =
      place_each(desk, [&](std::int32_t row) { place_by_warp(desk, row, steps); });
  if (lane() == 0) {
    desk.control->counts.paths = paths;
    desk.control->counts.steps = steps;
  }
}

// By the block that has taken scores and seats to its desk.
__device__ inline void solve_at_desk(const lap::Schedule& schedule, const LapProblem& problem) {
  const LapProblem desk = all_on_desk(problem);
  hold_phases(schedule, [&](const lap::Phase& phase) { hold_packed(phase, desk); });
  place_free_rows_packed(desk);
  bring_back(desk, problem);
}

}  // namespace nat::gpu
