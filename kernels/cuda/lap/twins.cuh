// Rows of equal scores, found by one block: those of kernels/cpu/lap/twins.cpp.
#pragma once

#include <bit>

#include "kernels/cuda/lap/problem.cuh"

namespace nat::gpu {

// At least twice as many as rows.
inline std::int64_t twin_slots(std::int64_t rows) {
  return static_cast<std::int64_t>(std::bit_ceil(2 * static_cast<std::uint64_t>(rows)));
}

// The place in the table for the key of the row, where the lowest row with that key will stay.
// Which keys lie where is left to chance; a place, once taken, keeps its key.
__device__ inline std::int32_t enter_key(const LapProblem& problem, std::int32_t row) {
  const auto mask = static_cast<std::uint32_t>(problem.twin_slots - 1);
  const std::uint32_t key = lap::row_key(problem.row(row));
  for (std::uint32_t slot = key & mask;; slot = (slot + 1) & mask) {
    const std::int32_t holder = atomicCAS(&problem.twin_table[slot], lap::kNone, row);
    if (holder == lap::kNone) return static_cast<std::int32_t>(slot);
    if (lap::row_key(problem.row(holder)) != key) continue;
    atomicMin(&problem.twin_table[slot], row);
    return static_cast<std::int32_t>(slot);
  }
}

// By a warp.
__device__ inline bool are_equal(const std::int32_t* a, const std::int32_t* b,
                                 std::int64_t columns) {
  constexpr std::int64_t kPack = 4;  // one 16-byte load; columns are a multiple of 8
  bool equal = true;
#pragma unroll 4
  for (std::int64_t j = lane() * kPack; j < columns; j += kWarp * kPack) {
    const int4 x = *reinterpret_cast<const int4*>(a + j);
    const int4 y = *reinterpret_cast<const int4*>(b + j);
    equal = equal && x.x == y.x && x.y == y.y && x.z == y.z && x.w == y.w;
  }
  return __all_sync(kFullWarp, equal) != 0;
}

// Into lowest_twin. Uses `from`.
__device__ inline void find_twins(const LapProblem& problem) {
  const auto n = static_cast<std::int32_t>(problem.n);
  std::int32_t* const slot_of_row = problem.from;
  for (std::int64_t s = threadIdx.x; s < problem.twin_slots; s += blockDim.x) {
    problem.twin_table[s] = lap::kNone;
  }
  __syncthreads();
  for (auto i = static_cast<std::int32_t>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) {
    problem.lowest_twin[i] = lap::kNone;
    slot_of_row[i] = enter_key(problem, i);
  }
  __syncthreads();
  const auto warps = static_cast<std::int32_t>(blockDim.x / kWarp);
  for (auto i = static_cast<std::int32_t>(threadIdx.x / kWarp); i < n; i += warps) {
    const std::int32_t lowest = problem.twin_table[slot_of_row[i]];
    if (lowest == i || !are_equal(problem.row(lowest), problem.row(i), problem.columns)) continue;
    if (lane() != 0) continue;
    problem.lowest_twin[i] = lowest;
    atomicMax(&problem.lowest_twin[lowest], lowest);
  }
  __syncthreads();
}

}  // namespace nat::gpu
