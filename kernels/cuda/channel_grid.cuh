// How per-channel kernels walk a tensor, seen as `rows` pixels (or matrix rows) of `channels`
// values, and how they sum over its rows.
//
// A block takes a chunk of rows and a tile of channels. A thread keeps one pack of channels
// (kernels/cuda/pack.cuh), so that what belongs to a channel stays in its registers, and visits
// every lanes-th row of the chunk. With a tile of 12 packs and 21 lanes:
//
//   thread    0   1  ...  11      row 0 of the chunk, then row 21, 42, ...
//            12  13  ...  23      row 1, then row 22, ...
//           ...
//           240 241  ... 251      row 20; threads 252 to 255 have nothing to do
//
// so that neighbouring threads touch neighbouring memory. Chunks and tiles follow from the shape
// alone and all sums have a fixed order: results depend on no schedule and on no device.
#pragma once

#include <algorithm>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"

namespace nat::gpu {

inline constexpr int kBlockThreads = 256;
inline constexpr int kRowsAtOnce = 4;  // that a thread loads, at most, before it uses the first

struct ChannelGrid {
  std::uint32_t rows = 0, chunk_rows = 0, chunks = 0;
  int channels = 0, packs = 0, tile = 0, lanes = 0;

  // The rows that one thread visits grow with the tensor, within these limits, once there are
  // enough blocks to keep a large device busy.
  struct RowsPerThread {
    std::int64_t least, most;
  };
  ChannelGrid(const Shape& shape, int pack, RowsPerThread limits, int widest_tile = 64)
      : rows(static_cast<std::uint32_t>(shape.elements() / shape.channels())),
        channels(static_cast<int>(shape.channels())),
        packs(channels / pack) {
    constexpr std::int64_t kEnoughBlocks = 1024;
    const int tiles = (packs + widest_tile - 1) / widest_tile;
    tile = (packs + tiles - 1) / tiles;
    lanes = kBlockThreads / tile;
    const std::int64_t wanted = std::int64_t{rows} * tiles / (lanes * kEnoughBlocks) + 1;
    const std::int64_t per_thread = std::clamp(round_up(wanted), limits.least, limits.most);
    chunk_rows = static_cast<std::uint32_t>(per_thread * lanes);
    chunks = (rows + chunk_rows - 1) / chunk_rows;
  }

  // To whole batches of rows, where there is more than one (for_each_row).
  static std::int64_t round_up(std::int64_t count) {
    return count <= kRowsAtOnce ? count : (count + kRowsAtOnce - 1) / kRowsAtOnce * kRowsAtOnce;
  }

  LaunchShape launch_shape() const {
    return {.grid = dim3(chunks, blocks_for(packs, tile)), .block = dim3(kBlockThreads)};
  }
};

// The rows of one thread: row, row + step, ... below end, at `channel`. A thread without work has
// no rows and channel 0, so that it may load the parameters of its channel all the same.
struct Walk {
  std::uint32_t row, end, step;
  int channels, channel, channel_in_tile;
  bool first_lane;  // holds the sums of its channels in the end (sum_over_lanes)

  __device__ Walk(const ChannelGrid& grid, int pack, std::uint32_t chunk)
      : step(static_cast<std::uint32_t>(grid.lanes)), channels(grid.channels) {
    const int thread = static_cast<int>(threadIdx.x), lane = thread / grid.tile;
    const int in_tile = thread % grid.tile;
    const int in_row = static_cast<int>(blockIdx.y) * grid.tile + in_tile;
    const bool active = lane < grid.lanes && in_row < grid.packs;
    const std::uint32_t begin = chunk * grid.chunk_rows, left = grid.rows - begin;
    end = begin + (left < grid.chunk_rows ? left : grid.chunk_rows);
    row = active ? begin + static_cast<std::uint32_t>(lane) : end;
    channel = active ? in_row * pack : 0;
    channel_in_tile = active ? in_tile * pack : 0;
    first_lane = active && lane == 0;
  }
  // Blocks start in the order of their numbers. A kernel that reads what the kernel before it has
  // just read takes the chunks in reverse, to meet first what is still in the cache.
  __device__ static Walk in_order(const ChannelGrid& grid, int pack) {
    return Walk(grid, pack, blockIdx.x);
  }
  __device__ static Walk in_reverse(const ChannelGrid& grid, int pack) {
    return Walk(grid, pack, gridDim.x - 1 - blockIdx.x);
  }

  __device__ std::int64_t at(std::uint32_t row_) const {
    return std::int64_t{row_} * channels + channel;
  }
};

// Calls use(at, read(at)) for each row of the walk, in order. The reads of a few rows (about 64
// bytes) are under way together, even where use() writes to the memory that read() reads: the
// compiler could not prove that rows are independent.
template <class Read, class Use>
__device__ void for_each_row(const Walk& walk, const Read& read, const Use& use) {
  using Values = decltype(read(std::int64_t{}));
  constexpr std::uint32_t kUnroll = sizeof(Values) > 32 ? 2 : kRowsAtOnce;
  std::uint32_t row = walk.row;
  for (; row + (kUnroll - 1) * walk.step < walk.end; row += kUnroll * walk.step) {
    Values values[kUnroll];
#pragma unroll
    for (std::uint32_t i = 0; i < kUnroll; ++i) values[i] = read(walk.at(row + i * walk.step));
#pragma unroll
    for (std::uint32_t i = 0; i < kUnroll; ++i) use(walk.at(row + i * walk.step), values[i]);
  }
  for (; row < walk.end; row += walk.step) use(walk.at(row), read(walk.at(row)));
}

// Two sums over rows, for each channel of a pack.
template <class C, int N>
struct Sums {
  Lanes<C, N> a{}, b{};

  __device__ void operator+=(const Sums& other) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      a[i] += other.a[i];
      b[i] += other.b[i];
    }
  }
};

// Adds up the sums of all lanes of a block, as a tree; lane 0 gets the result. Called by all
// threads of the block, once in a kernel (it does not guard its buffer against a second call).
template <class C, int N>
__device__ Sums<C, N> sum_over_lanes(int tile, int lanes, Sums<C, N> sums) {
  __shared__ C buffer[2 * N][kBlockThreads];
  const int thread = static_cast<int>(threadIdx.x), lane = thread / tile;
  int half = 1;
  while (2 * half < lanes) half *= 2;
  for (; half > 0; half /= 2) {
    if (half <= lane && lane < 2 * half && lane < lanes) {
#pragma unroll
      for (int i = 0; i < N; ++i) {
        buffer[i][thread] = sums.a[i];
        buffer[N + i][thread] = sums.b[i];
      }
    }
    __syncthreads();
    if (lane < half && lane + half < lanes) {
      Sums<C, N> other;
#pragma unroll
      for (int i = 0; i < N; ++i) {
        other.a[i] = buffer[i][thread + half * tile];
        other.b[i] = buffer[N + i][thread + half * tile];
      }
      sums += other;
    }
  }
  return sums;
}

// What a thread adds up itself stays in the type of computation: at most kMostTerms terms.
inline constexpr std::int64_t kMostTerms = 128;
inline constexpr ChannelGrid::RowsPerThread kSumRows{16, kMostTerms};

// The sums of `terms` over the rows of a walk. Terms<C, N> tells what to read and what to add:
//   void start(int channel);            once, before the first row
//   Values read(std::int64_t at);       what lies at element `at`
//   Sums<C, N> sums(const Values&);     its pair of terms
template <class Terms>
__device__ auto sum_rows(const Walk& walk, const Terms& terms) {
  typename Terms::Sum total;
  for_each_row(
      walk, [&](std::int64_t at) { return terms.read(at); },
      [&](std::int64_t, const auto& values) { total += terms.sums(values); });
  return total;
}

// Sums per chunk: partial[chunk][0][channel] the sums a, partial[chunk][1][channel] the sums b.
template <class C>
struct PartialSums {
  C* partial;
  std::uint32_t chunks;
  int channels;

  PartialSums(Scratch::Frame& frame, const ChannelGrid& grid)
      : partial(
            frame.take<C>(std::size_t{2} * grid.chunks * static_cast<std::size_t>(grid.channels))),
        chunks(grid.chunks),
        channels(grid.channels) {}
};

template <class Terms, class C>
__global__ void __launch_bounds__(kBlockThreads, 1)
    channel_sums(ChannelGrid grid, Terms terms, PartialSums<C> to) {
  const Walk walk = Walk::in_order(grid, Terms::kPack);
  terms.start(walk.channel);
  const auto sums = sum_over_lanes(grid.tile, grid.lanes, sum_rows(walk, terms));
  if (!walk.first_lane) return;
  C* a = to.partial + std::int64_t{blockIdx.x} * 2 * to.channels + walk.channel;
#pragma unroll
  for (int i = 0; i < Terms::kPack; ++i) {
    a[i] = sums.a[i];
    a[to.channels + i] = sums.b[i];
  }
}

// How the sums over all chunks are formed: a block adds those of four channels, in double. These
// kernels are waiting and nothing else, so that everything they read is under way at once: the
// partial sums of up to a thousand chunks, and what the end of it needs.
inline constexpr int kCombineTile = 4, kCombineThreads = 512;

inline LaunchShape combine_shape(int channels) {
  return {.grid = dim3(blocks_for(channels, kCombineTile)), .block = dim3(kCombineThreads)};
}

// What one lane adds of a channel.
template <class C>
__device__ Sums<double, 1> sum_chunks(const PartialSums<C>& from, int channel, int lane,
                                      int lanes) {
  constexpr int kAtOnce = 8;
  Sums<double, 1> sums;
  for (int first = lane; first < static_cast<int>(from.chunks); first += kAtOnce * lanes) {
    C a[kAtOnce] = {}, b[kAtOnce] = {};
    const C* sum = from.partial + std::int64_t{first} * 2 * from.channels + channel;
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k, sum += lanes * 2 * from.channels) {
      if (first + k * lanes >= static_cast<int>(from.chunks)) continue;
      a[k] = sum[0];
      b[k] = sum[from.channels];
    }
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      sums.a[0] += static_cast<double>(a[k]);
      sums.b[0] += static_cast<double>(b[k]);
    }
  }
  return sums;
}

// Calls finish(channel, load(channel), sum a, sum b), in double, for each channel of this block.
// The kernel was launched in combine_shape().
template <class C, class Load, class Finish>
__device__ void combine_chunks(const PartialSums<C>& from, const Load& load, const Finish& finish) {
  constexpr int kLanes = kCombineThreads / kCombineTile;
  constexpr int kWarps = kCombineThreads / static_cast<int>(kWarp);
  __shared__ double of_warps[kWarps][2][kCombineTile];
  const int thread = static_cast<int>(threadIdx.x), in_tile = thread % kCombineTile;
  const int channel = static_cast<int>(blockIdx.x) * kCombineTile + in_tile;
  const bool active = channel < from.channels, finishes = active && thread < kCombineTile;
  decltype(load(channel)) loaded{};
  if (finishes) loaded = load(channel);
  Sums<double, 1> sums;
  if (active) sums = sum_chunks(from, channel, thread / kCombineTile, kLanes);
  for (int offset = static_cast<int>(kWarp) / 2; offset >= kCombineTile; offset /= 2) {
    sums.a[0] += __shfl_xor_sync(kFullWarp, sums.a[0], offset);
    sums.b[0] += __shfl_xor_sync(kFullWarp, sums.b[0], offset);
  }
  const int warp = thread / static_cast<int>(kWarp);
  if (thread % static_cast<int>(kWarp) < kCombineTile) {
    of_warps[warp][0][in_tile] = sums.a[0];
    of_warps[warp][1][in_tile] = sums.b[0];
  }
  __syncthreads();
  if (!finishes) return;
  double a = 0, b = 0;
#pragma unroll
  for (int i = 0; i < kWarps; ++i) {
    a += of_warps[i][0][in_tile];
    b += of_warps[i][1][in_tile];
  }
  finish(channel, loaded, a, b);
}

// ---- small batches ------------------------------------------------------------------------------

// So few rows that one block can take all of them, for a narrow tile of channels: an operation is
// then one launch, its second look at a row served by the cache.
inline constexpr std::int64_t kSmallBatch = 1024;
inline constexpr int kSmallBatchTile = 4;  // packs

inline ChannelGrid small_batch_grid(const Shape& shape, int pack) {
  return {shape, pack, {kSmallBatch, kSmallBatch}, kSmallBatchTile};
}

// Two values per channel of the tile, in shared memory: between the threads that walk over packs of
// channels and those that own one channel each.
template <class C, int N>
struct TilePairs {
  C a[kSmallBatchTile * N], b[kSmallBatchTile * N];

  __device__ void share(const Walk& walk, const Sums<C, N>& sums) {
    if (!walk.first_lane) return;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      a[walk.channel_in_tile + i] = sums.a[i];
      b[walk.channel_in_tile + i] = sums.b[i];
    }
  }
};

// Calls body(channel, its place in the tile) on the thread that owns the channel, if there is one.
template <class Body>
__device__ void for_own_channel(const ChannelGrid& grid, int pack, const Body& body) {
  const int thread = static_cast<int>(threadIdx.x), width = grid.tile * pack;
  const int channel = static_cast<int>(blockIdx.y) * width + thread;
  if (thread < width && channel < grid.channels) body(channel, thread);
}

}  // namespace nat::gpu
