// One assignment problem in integers while a kernel solves it: the CUDA side of
// kernels/cpu/lap/problem.h, on the arithmetic of kernels/lap_auction.h.
#pragma once

#include <cooperative_groups.h>

#include <climits>

#include "kernels/cuda/launch.cuh"
#include "kernels/lap_auction.h"

namespace nat::gpu {

// Who solves one problem together: a block, a thread-block cluster, or all blocks of a cooperative
// launch. Sizes are multiples of a warp.
//
// What threads of different blocks tell each other lies in global memory, unless the crew shares
// memory. Crew::sync() is a release and an acquire for the whole crew (PTX: bar.sync within the
// block, barrier.cluster within the cluster, a fence and an atomic within the grid), so what any
// thread wrote before it every thread reads after it, also what the first block did alone, between
// barriers of its own. All blocks pass the same calls of sync(): a grid would wait for ever for one
// that has left early.
//
// A crew with kSharesMemory has a power of two of blocks, and in_block() tells where a variable of
// shared memory lies in another of them: what is written there is read behind a sync(), or behind
// the message that has brought it (mail.cuh).
struct BlockCrew {
  static constexpr bool kSharesMemory = true;
  __device__ unsigned rank() const { return threadIdx.x; }
  __device__ unsigned size() const { return blockDim.x; }
  __device__ void sync() const { __syncthreads(); }
  __device__ bool has_first_block() const { return true; }
  __device__ unsigned problem() const { return blockIdx.x; }
  __device__ unsigned block() const { return 0; }
  __device__ unsigned blocks() const { return 1; }
  template <class T>
  __device__ T* in_block(T* own, unsigned) const {
    return own;
  }
};
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
struct ClusterCrew : BlockCrew {  // there are none: never launched (largest_cluster in lap.cu)
  __device__ unsigned problem() const {
    __trap();
    return 0;
  }
};
#else
struct ClusterCrew {
  static constexpr bool kSharesMemory = true;
  __device__ static auto group() { return cooperative_groups::this_cluster(); }
  __device__ unsigned rank() const { return group().block_rank() * blockDim.x + threadIdx.x; }
  __device__ unsigned size() const { return group().num_blocks() * blockDim.x; }
  __device__ void sync() const { group().sync(); }
  __device__ bool has_first_block() const { return group().block_rank() == 0; }
  __device__ unsigned problem() const { return blockIdx.x / group().num_blocks(); }
  __device__ unsigned block() const { return group().block_rank(); }
  __device__ unsigned blocks() const { return group().num_blocks(); }
  template <class T>
  __device__ T* in_block(T* own, unsigned block) const {
    return group().map_shared_rank(own, block);
  }
};
#endif
struct GridCrew {
  static constexpr bool kSharesMemory = false;
  __device__ unsigned rank() const { return blockIdx.x * blockDim.x + threadIdx.x; }
  __device__ unsigned size() const { return gridDim.x * blockDim.x; }
  __device__ void sync() const { cooperative_groups::this_grid().sync(); }
  __device__ bool has_first_block() const { return blockIdx.x == 0; }
  __device__ unsigned problem() const { return 0; }
};

__device__ inline unsigned lane() { return threadIdx.x % kWarp; }
template <class Crew>
__device__ unsigned warp_of(const Crew& crew) {
  return crew.rank() / kWarp;
}
template <class Crew>
__device__ unsigned warps_of(const Crew& crew) {
  return crew.size() / kWarp;
}

using LapSum = unsigned long long;  // what 64-bit atomics take; wraps around for negative sums

struct LapCounts {
  std::int32_t phases;
  std::int64_t rounds, bids, paths, steps;
};

// What the crew shares besides the arrays.
struct LapControl {
  unsigned low, high;  // of the scores, as ordered()
  int not_finite;
  int bidder_counts[3];
  int free_rows;  // at the end of a phase, beside those that wait
  int waiting;
  int too_wide;  // scores of a row that do not fit into 24 bits (packed_scores.cuh)
  LapSum value, identity, bound;  // doubled quanta
  double float_value, float_identity;
  LapCounts counts;
};

// What fits into the shared memory of a block (desk.cuh): no vector of the problem, the two that
// every step of a search reads and writes, all that change, those and its share of the scores, or
// those and room for the shares of all blocks, which are gathered for the paths.
enum class LapDesk { none, search, all, scores, all_scores };

struct LapProblem {
  std::int64_t n, columns;      // columns: n rounded up; the padding is never for sale
  const float* input;           // (n, n)
  std::int32_t* column_of_row;  // (n) result; kNone while the row is free
  std::int32_t* prices;         // (n) result
  LapReport* report;            // result
  LapControl* control;
  std::int32_t* scores;         // (n, columns), doubled
  std::int32_t* ask;            // (columns) doubled price + taken
  std::int32_t* row_of_column;  // (columns) or kNone
  LapSum* offers;               // (columns) highest of the phase; before that, column sums
  lap::Bid* bids;               // (n) of the bidders of a round
  std::int32_t* bidders;        // (2, listed) of a round and of the next, by turns
  std::int64_t listed;          // most bidders of a round
  int* bidder_counts;           // of a round, the next and the one after, by turns
  std::int32_t* open_ask;       // (columns) of a search: ask, or kClosed once passed
  std::int32_t* distance;       // (columns) of a search, + taken
  std::int32_t* closed_at;      // (columns) distance at which a column was passed
  std::int32_t* from;           // (columns) row from which the distance was reached
  std::int32_t* lowest_twin;    // (n) lowest of the rows equal to this one; kNone if there is none
  std::int32_t* twin_table;     // (2, columns) rows by key, while twins are looked for
  LapDesk desk;                 // what blocks keep in their shared memory

  // The k-th of several problems, one below the other.
  __device__ LapProblem at(std::int64_t k) const {
    LapProblem one = *this;
    one.input += k * n * n;
    one.column_of_row += k * n;
    one.prices += k * n;
    one.report += k;
    one.control += k;
    one.scores += k * n * columns;
    one.ask += k * columns;
    one.row_of_column += k * columns;
    one.offers += k * columns;
    one.bids += k * n;
    one.bidders += k * 2 * n;
    one.listed = n;
    one.bidder_counts = one.control->bidder_counts;
    one.open_ask += k * columns;
    one.distance += k * columns;
    one.closed_at += k * columns;
    one.from += k * columns;
    one.lowest_twin += k * columns;
    one.twin_table += k * 2 * columns;
    return one;
  }
  __device__ const std::int32_t* row(std::int64_t i) const { return scores + i * columns; }
  __device__ std::int32_t* bidders_of(int round) const { return bidders + round % 2 * listed; }
  __device__ void assign(std::int32_t i, std::int32_t column, std::int32_t price) const {
    column_of_row[i] = column;
    row_of_column[column] = i;
    ask[column] = price | 1;
  }
};

// ---- scans --------------------------------------------------------------------------------------

__device__ inline void consider(std::int32_t profit, std::int32_t column, lap::TopTwo& top) {
  if (profit > top.best) {
    top = {profit, top.best, column};
  } else if (profit > top.second) {
    top.second = profit;
  }
}

__device__ inline lap::TopTwo none_seen() { return {INT_MIN, INT_MIN, INT_MAX}; }

// The two largest of score - ask over a share of the columns of a row: those that this lane takes
// as one of the `team` warps that scan the row, the `member`-th. Several loads are under way before
// the first is looked at, here and wherever a loop would otherwise wait for memory once a turn.
__device__ inline lap::TopTwo scan_share(const std::int32_t* score, const std::int32_t* ask,
                                         std::int64_t columns, int member, int team) {
  constexpr std::int32_t kPack = 4;  // one 16-byte load; columns are a multiple of 8
  constexpr int kAtOnce = 4;
  const std::int32_t stride = static_cast<std::int32_t>(kWarp) * kPack * team;
  lap::TopTwo top = none_seen();
  for (auto first = static_cast<std::int32_t>(member * kWarp + lane()) * kPack; first < columns;
       first += kAtOnce * stride) {
    int4 s[kAtOnce], a[kAtOnce];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const std::int32_t j = first + k * stride;
      const bool is_column = j < columns;
      s[k] = is_column ? *reinterpret_cast<const int4*>(score + j) : int4{0, 0, 0, 0};
      a[k] = is_column ? *reinterpret_cast<const int4*>(ask + j)
                       : int4{lap::kClosed, lap::kClosed, lap::kClosed, lap::kClosed};
    }
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const std::int32_t j = first + k * stride;
      consider(s[k].x - a[k].x, j, top);
      consider(s[k].y - a[k].y, j + 1, top);
      consider(s[k].z - a[k].z, j + 2, top);
      consider(s[k].w - a[k].w, j + 3, top);
    }
  }
  return top;
}

// Of what all lanes have seen; every lane gets it.
__device__ inline lap::TopTwo warp_top_two(const lap::TopTwo& top) {
  const std::int32_t best = __reduce_max_sync(kFullWarp, top.best);
  const bool has_best = top.best == best;
  const unsigned best_lanes = __ballot_sync(kFullWarp, has_best ? 1 : 0);
  const std::int32_t column = __reduce_min_sync(kFullWarp, has_best ? top.column : INT_MAX);
  const std::int32_t second = __reduce_max_sync(kFullWarp, has_best ? top.second : top.best);
  const bool is_shared = (best_lanes & (best_lanes - 1)) != 0;
  return {best, is_shared ? best : second, column};
}

// Over all columns of a row, by a warp.
__device__ inline lap::TopTwo top_two(const std::int32_t* score, const std::int32_t* ask,
                                      std::int64_t columns) {
  return warp_top_two(scan_share(score, ask, columns, 0, 1));
}

// ---- quantisation -------------------------------------------------------------------------------

// Unsigned integers in the order of the floats.
__device__ inline unsigned ordered(float value) {
  const unsigned bits = __float_as_uint(value);
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
__device__ inline float from_ordered(unsigned bits) {
  return __uint_as_float(bits & 0x80000000u ? bits & 0x7fffffffu : ~bits);
}

struct ScoreRange {
  unsigned low = UINT_MAX, high = 0;  // as ordered()
  bool finite = true;

  __device__ void add(float score) {
    const unsigned key = ordered(score);
    low = key < low ? key : low;
    high = key > high ? key : high;
    finite = finite && (__float_as_uint(score) & 0x7fffffffu) < 0x7f800000u;
  }
};

// Into control->low, high and not_finite.
template <class Crew>
__device__ void find_range(const Crew& crew, const LapProblem& problem) {
  constexpr int kAtOnce = 4;
  const std::int64_t scores = problem.n * problem.n, stride = crew.size();
  const auto* const pack = reinterpret_cast<const float4*>(problem.input);
  const bool is_aligned = reinterpret_cast<std::uintptr_t>(pack) % sizeof(float4) == 0;
  const std::int64_t packs = is_aligned ? scores / 4 : 0;
  ScoreRange range;
  for (std::int64_t first = crew.rank(); first < packs; first += kAtOnce * stride) {
    float4 four[kAtOnce];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const std::int64_t p = first + k * stride;
      four[k] = pack[p < packs ? p : first];
    }
#pragma unroll
    for (const float4& each : four) {
      range.add(each.x);
      range.add(each.y);
      range.add(each.z);
      range.add(each.w);
    }
  }
#pragma unroll 4
  for (std::int64_t e = 4 * packs + crew.rank(); e < scores; e += stride) {
    range.add(problem.input[e]);
  }
  const unsigned low = __reduce_min_sync(kFullWarp, range.low);
  const unsigned high = __reduce_max_sync(kFullWarp, range.high);
  const bool finite = __all_sync(kFullWarp, range.finite ? 1 : 0) != 0;
  if (lane() == 0) {
    atomicMin(&problem.control->low, low);
    atomicMax(&problem.control->high, high);
    if (!finite) atomicMax(&problem.control->not_finite, 1);
  }
}

// Scores to doubled quanta, and their column sums to `offers`. A warp takes tiles of 32 columns and
// up to 32 rows, of which sums of doubled scores fit into 31 bits; low ones where there are fewer
// tiles than warps, but not lower, since every tile adds to the sums.
template <class Crew>
__device__ void quantise(const Crew& crew, const lap::Quantiser& quantiser,
                         const LapProblem& problem) {
  constexpr int kAtOnce = 8;
  const std::int64_t n = problem.n, columns = problem.columns;
  const std::int64_t tiles_across = (columns + kWarp - 1) / kWarp;
  const std::int64_t height = n < 1024 ? kAtOnce : 32;
  const std::int64_t tiles = (n + height - 1) / height * tiles_across;
  for (std::int64_t tile = warp_of(crew); tile < tiles; tile += warps_of(crew)) {
    const std::int64_t j = tile % tiles_across * kWarp + lane();
    const std::int64_t begin = tile / tiles_across * height;
    const std::int64_t end = begin + height < n ? begin + height : n;
    if (j >= columns) continue;
    std::int32_t sum = 0;
    for (std::int64_t first = begin; first < end; first += kAtOnce) {
      float score[kAtOnce];
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        score[k] = first + k < end && j < n ? problem.input[(first + k) * n + j] : 0.0f;
      }
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        if (first + k >= end) break;
        const std::int32_t quanta = j < n ? quantiser(score[k]) : 0;
        problem.scores[(first + k) * columns + j] = quanta;
        sum += quanta;
      }
    }
    atomicAdd(&problem.offers[j], static_cast<LapSum>(sum));
  }
}

// Prices start at the column means, which takes out what all rows share.
template <class Crew>
__device__ void start_prices(const Crew& crew, const LapProblem& problem) {
  for (std::int64_t j = crew.rank(); j < problem.columns; j += crew.size()) {
    const auto mean = static_cast<std::int32_t>(problem.offers[j] / static_cast<LapSum>(problem.n));
    problem.ask[j] = j < problem.n ? lap::price_of(mean) : lap::kClosed;
  }
}

}  // namespace nat::gpu
