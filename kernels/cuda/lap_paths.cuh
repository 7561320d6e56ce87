// The rows that the auction has left free, placed one by one along shortest paths of exchanges
// (kernels/lap_auction.h) by one block: the same steps as LapProblem::place on the CPU.
//
// A thread keeps the columns that it alone reads and writes in a search: threadIdx.x, + blockDim.x,
// ...; one barrier a step.
#pragma once

#include "kernels/cuda/lap_desk.cuh"

namespace nat::gpu {

struct LapNearest {
  std::int32_t distance;
  std::int32_t column;  // the lowest on ties
};

__device__ inline LapNearest warp_nearest(const LapNearest& own) {
  const std::int32_t distance = __reduce_min_sync(kFullWarp, own.distance);
  return {distance, __reduce_min_sync(kFullWarp, own.distance == distance ? own.column : INT_MAX)};
}

// Over the block; every thread gets it. `scratch` holds a warp's worth; the next call must bring
// another one, since this one may still be being read.
__device__ inline LapNearest block_nearest(const LapNearest& own, LapNearest* scratch) {
  const LapNearest of_warp = warp_nearest(own);
  if (lane() == 0) scratch[threadIdx.x / kWarp] = of_warp;
  __syncthreads();
  const bool exists = lane() < blockDim.x / kWarp;
  return warp_nearest(exists ? scratch[lane()] : LapNearest{INT_MAX, INT_MAX});
}

// Offers of the row that has just been reached, to the columns of this thread; the nearest of them.
__device__ inline LapNearest relax(const LapProblem& problem, std::int32_t row, std::int32_t base) {
  const std::int32_t* score = problem.row(row);
  LapNearest nearest{INT_MAX, INT_MAX};
  for (auto j = static_cast<std::int32_t>(threadIdx.x); j < problem.columns;
       j += static_cast<std::int32_t>(blockDim.x)) {
    const std::int32_t offer = base + problem.open_ask[j] - score[j];
    std::int32_t known = problem.distance[j];
    if (offer < known) {
      problem.distance[j] = known = offer;
      problem.from[j] = row;
    }
    if (known < nearest.distance) nearest = {known, j};
  }
  return nearest;
}

__device__ inline void exchange_along_path(const LapProblem& problem, std::int32_t start,
                                           std::int32_t column) {
  for (std::int32_t i = lap::kNone; i != start;) {
    i = problem.from[column];
    const std::int32_t left = problem.column_of_row[i];
    problem.assign(i, column, problem.ask[column]);
    column = left;
  }
}

__device__ inline void place(const LapProblem& problem, std::int32_t start, std::int64_t& steps) {
  __shared__ LapNearest scratch[2][kWarp];
  for (std::int64_t j = threadIdx.x; j < problem.columns; j += blockDim.x) {
    problem.open_ask[j] = problem.ask[j];
    problem.distance[j] = lap::kFar;
  }
  std::int32_t row = start, base = 0;
  LapNearest nearest;
  for (;;) {
    nearest = block_nearest(relax(problem, row, base), scratch[steps % 2]);
    ++steps;
    const std::int32_t column = nearest.column;
    if (!lap::taken(nearest.distance)) break;
    nearest.distance = lap::price_of(nearest.distance);
    if (static_cast<unsigned>(column) % blockDim.x == threadIdx.x) {
      problem.distance[column] = lap::kFar;
      problem.open_ask[column] = lap::kClosed;
      problem.closed_at[column] = nearest.distance;
    }
    row = problem.row_of_column[column];
    base = nearest.distance + problem.row(row)[column] - lap::price_of(problem.ask[column]);
  }
  for (std::int64_t j = threadIdx.x; j < problem.n; j += blockDim.x) {
    if (problem.open_ask[j] == lap::kClosed) {
      problem.ask[j] += nearest.distance - problem.closed_at[j];
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) exchange_along_path(problem, start, nearest.column);
  __syncthreads();
}

// In the order of the rows. Every warp looks for itself which rows are free: no row becomes free
// here, and place() begins and ends with all threads of the block.
__device__ inline void place_free_rows(const LapProblem& problem, const LapProblem& desk) {
  std::int64_t paths = 0, steps = 0;
  take_to_desk(problem, desk);
  for (std::int64_t begin = 0; begin < desk.n; begin += kWarp) {
    const std::int64_t i = begin + lane();
    unsigned free_rows =
        __ballot_sync(kFullWarp, i < desk.n && desk.column_of_row[i] == lap::kNone ? 1 : 0);
    for (; free_rows != 0; free_rows &= free_rows - 1) {
      place(desk, static_cast<std::int32_t>(begin) + __ffs(static_cast<int>(free_rows)) - 1, steps);
      ++paths;
    }
  }
  bring_back(desk, problem);
  if (threadIdx.x == 0) {
    problem.control->counts.paths = paths;
    problem.control->counts.steps = steps;
  }
}

}  // namespace nat::gpu
