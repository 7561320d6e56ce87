// Rows of equal scores, found by one block: those of kernels/cpu/lap/twins.cpp.
#pragma once

#include "kernels/cuda/lap/problem.cuh"

namespace nat::gpu {

// Rows by key, of which at least every second place stays empty. It lies where paths will keep
// their distances, which are next to each other in shared memory.
struct TwinTable {
  std::int32_t* rows;  // (2, columns) the lowest row with a key, or kNone
  std::uint32_t* key_of_row;
  std::uint32_t places;

  __device__ explicit TwinTable(const LapProblem& problem)
      : rows(problem.desk == LapDesk::none ? problem.twin_table : problem.open_ask),
        key_of_row(reinterpret_cast<std::uint32_t*>(problem.closed_at)),
        places(2 * static_cast<std::uint32_t>(problem.columns)) {}

  // The place for the key of the row, where the lowest row with that key will stay. Which keys lie
  // where is left to chance; a place, once taken, keeps its key.
  __device__ std::int32_t enter(std::int32_t row) const {
    const std::uint32_t key = key_of_row[row];
    for (std::uint32_t place = __umulhi(key, places);; place = place + 1 < places ? place + 1 : 0) {
      const std::int32_t holder = atomicCAS(&rows[place], lap::kNone, row);
      if (holder == lap::kNone) return static_cast<std::int32_t>(place);
      if (key_of_row[holder] != key) continue;
      atomicMin(&rows[place], row);
      return static_cast<std::int32_t>(place);
    }
  }
};

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

// Of the rows that each lane of the warp names, kNone for none, those that equal `lowest` are its
// twins.
__device__ inline void compare_rows(const LapProblem& problem, std::int32_t row,
                                    std::int32_t lowest) {
  for (unsigned named = __ballot_sync(kFullWarp, row != lap::kNone ? 1 : 0); named != 0;
       named &= named - 1) {
    const int from = __ffs(static_cast<int>(named)) - 1;
    const std::int32_t a = __shfl_sync(kFullWarp, row, from);
    const std::int32_t b = __shfl_sync(kFullWarp, lowest, from);
    if (!are_equal(problem.row(a), problem.row(b), problem.columns) || lane() != 0) continue;
    problem.lowest_twin[a] = b;
    atomicMax(&problem.lowest_twin[b], b);
  }
}

// Into lowest_twin. Uses open_ask, distance, closed_at and from.
__device__ inline void find_twins(const LapProblem& problem) {
  const TwinTable table(problem);
  std::int32_t* const place_of_row = problem.from;
  const auto n = static_cast<std::int32_t>(problem.n);
  const auto threads = static_cast<std::int32_t>(blockDim.x);
  const auto thread = static_cast<std::int32_t>(threadIdx.x);
  for (auto p = threadIdx.x; p < table.places; p += blockDim.x) table.rows[p] = lap::kNone;
  for (std::int32_t i = thread; i < n; i += threads) {
    problem.lowest_twin[i] = lap::kNone;
    table.key_of_row[i] = lap::row_key(problem.row(i));
  }
  __syncthreads();
  for (std::int32_t i = thread; i < n; i += threads) place_of_row[i] = table.enter(i);
  __syncthreads();
  // Rows side by side go to different warps: comparing is what takes time.
  const std::int32_t warps = threads / static_cast<std::int32_t>(kWarp);
  const std::int32_t own =
      static_cast<std::int32_t>(lane()) * warps + thread / static_cast<std::int32_t>(kWarp);
  for (std::int32_t first = 0; first < n; first += threads) {
    const std::int32_t i = first + own;
    const std::int32_t lowest = i < n ? table.rows[place_of_row[i]] : i;
    compare_rows(problem, lowest == i ? lap::kNone : i, lowest);
  }
  __syncthreads();
}

}  // namespace nat::gpu
