// The search of a path over up to 4,096 columns, of which a lane keeps eight in registers. One
// barrier a step, or none for up to 256 columns.
#pragma once

#include "kernels/cuda/lap/paths.cuh"

namespace nat::gpu {

// Of a lane in a chunk of a row. One without columns stands at the first ones of the row, which are
// not for sale to it.
struct LaneColumns {
  std::int32_t first;
  bool owned;

  __device__ explicit LaneColumns(std::int64_t columns, int chunk = 0)
      : first(static_cast<std::int32_t>(chunk * kChunkColumns + lane() * kLaneColumns)),
        owned(first < columns) {
    if (!owned) first = 0;
  }
  __device__ LaneNumbers asks(const std::int32_t* ask) const {
    return owned ? LaneNumbers::at(ask + first) : LaneNumbers::all(lap::kClosed);
  }
};

// The search of a path from one row by kWarps warps, each with a chunk of the columns. `Rows` tells
// the scores of row(i), and of eight() columns of it. Loops over the columns of a lane are
// unrolled, so that the arrays are registers. With more than one warp, all threads of the block
// call every function, and the warps beyond kWarps only follow.
template <class Rows, int kWarps>
class ChunkSearch {
 public:
  __device__ ChunkSearch(const Rows& rows, const LapProblem& desk)
      : n_(static_cast<std::int32_t>(desk.n)),
        rows_(rows),
        ask_(desk.ask),
        row_of_column_(desk.row_of_column),
        lowest_twin_(desk.lowest_twin),
        from_of_column_(desk.from),
        searches_(threadIdx.x < static_cast<unsigned>(kWarps) * kWarp),
        columns_(desk.columns, static_cast<int>(threadIdx.x / kWarp)),
        open_ask_(columns_.asks(ask_)),
        distance_(LaneNumbers::all(lap::kFar)),
        closed_at_(LaneNumbers::all(0)),
        from_(LaneNumbers::all(lap::kNone)) {}

  // The free column at the end of the path, and how far it is. Counts steps.
  __device__ LapNearest run(std::int32_t start, std::int64_t& steps) {
    std::int32_t row = start, base = 0;
    for (;; ++steps) {
      LapNearest nearest{INT_MAX, INT_MAX};
      if (searches_) nearest = reach(row, base);
      nearest = nearest_of_warps(nearest, steps);
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
          nearest.distance + rows_.row(row)[nearest.column] - lap::price_of(ask_[nearest.column]);
    }
  }

  // Prices of the columns passed, and the way back, to the desk.
  __device__ void tell(std::int32_t end_distance) const {
    if (!searches_ || !columns_.owned) return;
    LaneNumbers ask = LaneNumbers::at(ask_ + columns_.first);
#pragma unroll
    for (int k = 0; k < kLaneColumns; ++k) {
      const bool passed = open_ask_.of[k] == lap::kClosed && columns_.first + k < n_;
      if (passed) ask.of[k] += end_distance - closed_at_.of[k];
    }
    ask.store(ask_ + columns_.first);
    from_.store(from_of_column_ + columns_.first);
  }

  // Of the threads that search.
  __device__ static void sync() {
    if constexpr (kWarps == 1) {
      __syncwarp();
    } else {
      __syncthreads();
    }
  }

 private:
  // Offers of a row to the columns of this warp; the nearest of them.
  __device__ LapNearest reach(std::int32_t row, std::int32_t base) {
    const LaneNumbers score = rows_.eight(row, columns_.first);
    close_twins(row, base, score);
    relax(row, base, score);
    return warp_nearest(nearest_of_lane());
  }

  // Every thread gets it.
  __device__ static LapNearest nearest_of_warps(LapNearest nearest, std::int64_t step) {
    if constexpr (kWarps > 1) {
      __shared__ LapNearest found[2][kWarps];  // the next step writes while this one may be read
      LapNearest* const here = found[step % 2];
      const unsigned warp = threadIdx.x / kWarp;
      if (warp < kWarps && lane() == 0) here[warp] = nearest;
      __syncthreads();
      nearest = nearest_of(here);
    }
    return nearest;
  }

  __device__ static LapNearest nearest_of(const LapNearest* found) {
    if constexpr (kWarps <= 4) {
      LapNearest nearest = found[0];
#pragma unroll
      for (int w = 1; w < kWarps; ++w) {
        if (found[w].distance < nearest.distance) nearest = found[w];  // columns rise with warps
      }
      return nearest;
    } else {
      return warp_nearest(lane() < kWarps ? found[lane()] : LapNearest{INT_MAX, INT_MAX});
    }
  }

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
  const Rows& rows_;
  std::int32_t* ask_;
  const std::int32_t *row_of_column_, *lowest_twin_;
  std::int32_t* from_of_column_;
  const bool searches_;
  const LaneColumns columns_;
  LaneNumbers open_ask_, distance_, closed_at_, from_;
};

// The free rows of a problem whose vectors are at the desk. By all threads of the block, which
// begin and end together. Returns how many there were.
template <int kWarps, class Rows>
__device__ std::int64_t place_by_warps(const Rows& rows, const LapProblem& desk,
                                       std::int64_t& steps) {
  using Search = ChunkSearch<Rows, kWarps>;
  if (kWarps == 1 && threadIdx.x >= kWarp) return 0;
  return place_each(desk, [&](std::int32_t start) {
    Search search(rows, desk);
    const LapNearest end = search.run(start, steps);
    Search::sync();  // prices have been read that others are about to change
    search.tell(end.distance);
    Search::sync();
    if (threadIdx.x == 0) exchange_along_path(desk, start, end.column);
    Search::sync();
  });
}

}  // namespace nat::gpu
