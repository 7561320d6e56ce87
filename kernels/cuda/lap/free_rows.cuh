// The rows that the auction has left free, placed by one block with scores in global memory.
#pragma once

#include "kernels/cuda/lap/block_search.cuh"
#include "kernels/cuda/lap/chunk_search.cuh"

namespace nat::gpu {

// By whichever search is faster with scores in the L2
// (docs/decisions/0014-scores-over-a-cluster.md). Returns how many there were.
__device__ inline std::int64_t place_free_rows_of(const LapProblem& desk, std::int64_t& steps) {
  constexpr int kWarps = 16;
  const bool are_many = desk.columns > kMostPackedColumns && blockDim.x >= kWarps * kWarp;
  if (has_all_vectors(desk.desk) && are_many && desk.columns <= kWarps * kChunkColumns) {
    return place_by_warps<kWarps>(GlobalRows(desk), desk, steps);
  }
  return place_each(desk, [&](std::int32_t row) { place_by_block(desk, row, steps); });
}

__device__ inline void place_free_rows(const LapProblem& problem, const LapProblem& desk) {
  take_to_desk(problem, desk);
  prepare_paths(desk);
  std::int64_t steps = 0;
  const std::int64_t paths = place_free_rows_of(desk, steps);
  bring_back(desk, problem);
  if (threadIdx.x == 0) {
    problem.control->counts.paths = paths;
    problem.control->counts.steps = steps;
  }
}

}  // namespace nat::gpu
