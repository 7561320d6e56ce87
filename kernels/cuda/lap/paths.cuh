// The rows that the auction has left free are placed one by one along shortest paths of exchanges
// (kernels/lap_auction.h) by one block: the same steps as LapProblem::place on the CPU. Here is
// what the two searches share, that of few columns (chunk_search.cuh) and that of many
// (block_search.cuh).
#pragma once

#include "kernels/cuda/lap/desk.cuh"
#include "kernels/cuda/lap/twins.cuh"

namespace nat::gpu {

struct LapNearest {
  std::int32_t distance;
  std::int32_t column;  // the lowest on ties
};

__device__ inline LapNearest warp_nearest(const LapNearest& own) {
  const std::int32_t distance = __reduce_min_sync(kFullWarp, own.distance);
  return {distance, __reduce_min_sync(kFullWarp, own.distance == distance ? own.column : INT_MAX)};
}

// The rows of scores in global memory.
struct GlobalRows {
  const std::int32_t* scores;
  std::int64_t columns;

  __device__ explicit GlobalRows(const LapProblem& problem)
      : scores(problem.scores), columns(problem.columns) {}
  __device__ const std::int32_t* row(std::int32_t i) const { return scores + i * columns; }
  __device__ LaneNumbers eight(std::int32_t i, std::int32_t first_column) const {
    return LaneNumbers::at(row(i) + first_column);
  }
};

__device__ inline void exchange_along_path(const LapProblem& problem, std::int32_t start,
                                           std::int32_t column) {
  for (std::int32_t i = lap::kNone; i != start;) {
    i = problem.from[column];
    const std::int32_t left = problem.column_of_row[i];
    problem.assign(i, column, problem.ask[column]);
    column = left;
  }
}

// Lets the least price be 0, which leaves distances room (kernels/lap_auction.h).
__device__ inline void lower_prices(const LapProblem& problem) {
  __shared__ int least;
  if (threadIdx.x == 0) least = INT_MAX;
  __syncthreads();
  std::int32_t own = INT_MAX;
  for (std::int64_t j = threadIdx.x; j < problem.n; j += blockDim.x) {
    own = problem.ask[j] < own ? problem.ask[j] : own;
  }
  own = __reduce_min_sync(kFullWarp, own);
  if (lane() == 0) atomicMin(&least, lap::price_of(own));
  __syncthreads();
  for (std::int64_t j = threadIdx.x; j < problem.n; j += blockDim.x) problem.ask[j] -= least;
  __syncthreads();
}

// What paths need beside seats and prices.
__device__ inline void prepare_paths(const LapProblem& problem) {
  lower_prices(problem);
  if (problem.control->free_rows > 0) find_twins(problem);
}

// place(row) for the free rows, in their order. Every warp that calls this looks for itself which
// rows are free: no row becomes free here. Returns how many there were.
template <class Place>
__device__ std::int64_t place_each(const LapProblem& problem, Place place) {
  std::int64_t count = 0;
  for (std::int64_t begin = 0; begin < problem.n; begin += kWarp) {
    const std::int64_t i = begin + lane();
    unsigned free_rows =
        __ballot_sync(kFullWarp, i < problem.n && problem.column_of_row[i] == lap::kNone ? 1 : 0);
    for (; free_rows != 0; free_rows &= free_rows - 1) {
      place(static_cast<std::int32_t>(begin) + __ffs(static_cast<int>(free_rows)) - 1);
      ++count;
    }
  }
  return count;
}

}  // namespace nat::gpu
