// What a block keeps of a problem in its shared memory, as far as it fits: a value that threads
// tell each other there is read in 30 cycles, not in the 360 of the cache that all blocks share,
// and chains of such reads are what the end of a phase and the paths consist of. With 227 KiB, the
// scores of up to 270 rows fit into one block, of 736 into eight and of 1,024 into sixteen; all
// vectors up to 7,000 columns, those of a search up to 28,000. With 163 KiB (A100) a block has room
// for the scores of 224 rows, with 99 KiB (8.6, 8.9, 12.0) of 175.
#pragma once

#include <algorithm>
#include <initializer_list>

#include "kernels/cuda/lap/packed_scores.cuh"
#include "kernels/cuda/lap/problem.cuh"

namespace nat::gpu {

// The vectors at the desk, in this order. An auction, the search for twins behind it and the paths
// are never under way together, so the same place serves all three:
//
//                         auction, at one desk   auction by mail      twins          paths
//   open_ask, distance    offers (64 bits)       bids, even rounds    rows by key    themselves
//   closed_at, from       -                      bids, odd rounds     keys, places   themselves
//   ask, row_of_column, column_of_row            prices and seats, all the time
//   lowest_twin           -                      winners of a round   the result     twins
//
// (auction.cuh, resident.cuh, twins.cuh, paths.cuh.) Each begins by writing what it reads.
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

constexpr bool are_neighbours(DeskVector a, DeskVector b) {
  return static_cast<int>(b) == static_cast<int>(a) + 1;
}
static_assert(are_neighbours(DeskVector::open_ask, DeskVector::distance) &&
              are_neighbours(DeskVector::distance, DeskVector::closed_at) &&
              are_neighbours(DeskVector::closed_at, DeskVector::from));

__device__ inline std::int32_t* desk_vector(DeskVector which, std::int64_t columns) {
  return dynamic_shared<std::int32_t>() + static_cast<std::int64_t>(which) * columns;
}

NAT_HOST_DEVICE constexpr bool has_all_vectors(LapDesk desk) { return desk >= LapDesk::all; }

// The lists of rounds with few bidders; these always fit.
constexpr int kFewBidders = 128;
struct LapLists {
  lap::Bid bids[kFewBidders];
  std::int32_t bidders[2 * kFewBidders];
  int counts[3];
};

NAT_HOST_DEVICE constexpr std::int64_t vector_bytes(LapDesk desk, std::int64_t columns) {
  const std::int64_t vectors = has_all_vectors(desk) ? static_cast<std::int64_t>(DeskVector::count)
                               : desk == LapDesk::search ? 2
                                                         : 0;
  return vectors * columns * static_cast<std::int64_t>(sizeof(std::int32_t));
}

// Of the share of a block.
NAT_HOST_DEVICE constexpr std::int64_t section_bytes(std::int64_t rows, std::int64_t columns,
                                                     std::int64_t blocks) {
  constexpr std::int64_t kVector = 16;
  const auto bytes = static_cast<std::int64_t>(packed_bytes((rows + blocks - 1) / blocks, columns));
  return (bytes + kVector - 1) / kVector * kVector;
}

// Of dynamic shared memory, in each of `blocks` that share the scores. Behind the vectors lie the
// scores, or the lists, also of a problem whose scores did not fit into three bytes.
constexpr std::size_t desk_bytes(LapDesk desk, std::int64_t rows, std::int64_t columns,
                                 std::int64_t blocks) {
  const std::int64_t sections = desk == LapDesk::all_scores ? blocks
                                : desk == LapDesk::scores   ? 1
                                                            : 0;
  const std::int64_t scores = sections == 0 ? 0 : sections * section_bytes(rows, columns, blocks);
  return static_cast<std::size_t>(vector_bytes(desk, columns)) +
         std::max(sizeof(LapLists), static_cast<std::size_t>(scores));
}

// Of the kernel itself, at most; kernels/cuda/kernel_budget.csv tells how many they are.
inline constexpr std::size_t kStaticSharedBytes = 3 << 10;

// The largest desk that a block can have; no scores where 0 blocks share them.
constexpr LapDesk desk_for(std::int64_t rows, std::int64_t columns, std::int64_t blocks,
                           std::size_t shared_bytes_block) {
  for (const LapDesk desk : {LapDesk::all_scores, LapDesk::scores, LapDesk::all, LapDesk::search}) {
    if (desk >= LapDesk::scores && (blocks == 0 || columns > kMostPackedColumns)) continue;
    const std::size_t bytes = desk_bytes(desk, rows, columns, blocks) + kStaticSharedBytes;
    if (bytes <= shared_bytes_block) return desk;
  }
  return LapDesk::none;
}

__device__ inline unsigned char* behind_vectors(const LapProblem& problem) {
  return dynamic_shared<unsigned char>() + vector_bytes(problem.desk, problem.columns);
}

__device__ inline LapProblem with_lists(LapProblem problem, void* memory) {
  auto* const lists = static_cast<LapLists*>(memory);
  problem.bids = lists->bids;
  problem.bidders = lists->bidders;
  problem.listed = kFewBidders;
  problem.bidder_counts = lists->counts;
  return problem;
}

// The problem with all its vectors in shared memory, uninitialised. The compiler knows where they
// lie wherever it sees this call.
__device__ inline LapProblem all_on_desk(LapProblem problem) {
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

// With those vectors that the desk has, and with the lists, which lie where packed scores would.
__device__ inline LapProblem on_desk(const LapProblem& problem) {
  const LapProblem all = with_lists(all_on_desk(problem), behind_vectors(problem));
  if (has_all_vectors(problem.desk)) return all;
  LapProblem desk = with_lists(problem, behind_vectors(problem));
  if (problem.desk == LapDesk::none) return desk;
  desk.open_ask = all.open_ask;
  desk.distance = all.distance;
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
  if (has_all_vectors(problem.desk)) copy_seats(problem, desk);
  __syncthreads();
}
__device__ inline void bring_back(const LapProblem& desk, const LapProblem& problem) {
  __syncthreads();
  if (has_all_vectors(problem.desk)) copy_seats(desk, problem);
}

}  // namespace nat::gpu
