// The search of a path over any number of columns, by all threads of a block. One barrier a step.
#pragma once

#include "kernels/cuda/lap/paths.cuh"

namespace nat::gpu {

// Over the block; every thread gets it. `scratch` holds a warp's worth; the next call must bring
// another one, since this one may still be being read.
__device__ inline LapNearest block_nearest(const LapNearest& own, LapNearest* scratch) {
  const LapNearest of_warp = warp_nearest(own);
  if (lane() == 0) scratch[threadIdx.x / kWarp] = of_warp;
  __syncthreads();
  const bool exists = lane() < blockDim.x / kWarp;
  return warp_nearest(exists ? scratch[lane()] : LapNearest{INT_MAX, INT_MAX});
}

// The search for a free column from one row. A thread keeps the columns that it alone reads and
// writes: threadIdx.x, + blockDim.x, ... Addresses are members, so that no step has to read them
// from the problem first.
class BlockSearch {
 public:
  __device__ explicit BlockSearch(const LapProblem& problem)
      : rows_(problem),
        columns_(static_cast<std::int32_t>(problem.columns)),
        threads_(static_cast<std::int32_t>(blockDim.x)),
        ask_(problem.ask),
        row_of_column_(problem.row_of_column),
        lowest_twin_(problem.lowest_twin),
        open_ask_(problem.open_ask),
        distance_(problem.distance),
        closed_at_(problem.closed_at),
        from_(problem.from) {}

  // The free column at the end of the path, and how far it is. Counts steps.
  __device__ LapNearest run(std::int32_t start, std::int64_t& steps) const {
    __shared__ LapNearest scratch[2][kWarp];
    for (auto j = static_cast<std::int32_t>(threadIdx.x); j < columns_; j += threads_) {
      open_ask_[j] = ask_[j];
      distance_[j] = lap::kFar;
    }
    std::int32_t row = start, base = 0;
    for (;; ++steps) {
      close_twins(row, base);
      const LapNearest own = relax(row, base);
      LapNearest nearest = block_nearest(own, scratch[steps % 2]);
      if (!lap::taken(nearest.distance)) {
        ++steps;
        return nearest;
      }
      nearest.distance = lap::price_of(nearest.distance);
      if (own.column == nearest.column) close(own.column, nearest.distance);
      row = row_of_column_[nearest.column];
      base =
          nearest.distance + rows_.row(row)[nearest.column] - lap::price_of(ask_[nearest.column]);
    }
  }

 private:
  __device__ void close(std::int32_t column, std::int32_t distance) const {
    distance_[column] = lap::kFar;
    open_ask_[column] = lap::kClosed;
    closed_at_[column] = distance;
  }

  // The seats of the row's twins, among the columns of this thread.
  __device__ void close_twins(std::int32_t row, std::int32_t base) const {
    const std::int32_t lowest = lowest_twin_[row];
    if (lowest == lap::kNone) return;
    for (auto j = static_cast<std::int32_t>(threadIdx.x); j < columns_; j += threads_) {
      const std::int32_t holder = row_of_column_[j];
      if (holder == lap::kNone || lowest_twin_[holder] != lowest) continue;
      if (open_ask_[j] == lap::kClosed) continue;  // the seat of the row itself
      const std::int32_t offer = base + ask_[j] - rows_.row(row)[j];
      if (offer < distance_[j]) from_[j] = row;
      close(j, lap::price_of(offer));
    }
  }

  // Offers of the row that has just been reached, to the columns of this thread; the nearest of
  // them. The scores of several columns are under way together.
  __device__ LapNearest relax(std::int32_t row, std::int32_t base) const {
    constexpr int kAtOnce = 8;
    const auto score_of_column = rows_.row(row);
    LapNearest nearest{INT_MAX, INT_MAX};
    for (auto first = static_cast<std::int32_t>(threadIdx.x); first < columns_;
         first += kAtOnce * threads_) {
      std::int32_t score[kAtOnce];
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        const std::int32_t j = first + k * threads_;
        score[k] = j < columns_ ? score_of_column[j] : 0;
      }
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        const std::int32_t j = first + k * threads_;
        if (j >= columns_) break;
        const std::int32_t offer = base + open_ask_[j] - score[k];
        std::int32_t known = distance_[j];
        if (offer < known) {
          distance_[j] = known = offer;
          from_[j] = row;
        }
        if (known < nearest.distance) nearest = {known, j};
      }
    }
    return nearest;
  }

  const GlobalRows rows_;
  const std::int32_t columns_, threads_;
  const std::int32_t *const ask_, *const row_of_column_, *const lowest_twin_;
  std::int32_t *const open_ask_, *const distance_, *const closed_at_, *const from_;
};

__device__ inline void place_by_block(const LapProblem& problem, std::int32_t start,
                                      std::int64_t& steps) {
  const LapNearest end = BlockSearch(problem).run(start, steps);
  for (std::int64_t j = threadIdx.x; j < problem.n; j += blockDim.x) {
    if (problem.open_ask[j] == lap::kClosed) problem.ask[j] += end.distance - problem.closed_at[j];
  }
  __syncthreads();
  if (threadIdx.x == 0) exchange_along_path(problem, start, end.column);
  __syncthreads();
}

}  // namespace nat::gpu
