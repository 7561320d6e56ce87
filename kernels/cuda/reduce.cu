#include "kernels/reduce.h"

#include <algorithm>
#include <cassert>

#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/team.cuh"
#include "kernels/dispatch.h"

namespace nat::gpu {
namespace {

constexpr int kColumnThreads = 64;  // packs of columns a block takes

// partial[chunk][column] = the sum over the rows of a chunk, blockIdx.y.
template <int N, class T>
__global__ void column_sums_kernel(std::int64_t n, std::int64_t d, std::int64_t chunk_rows,
                                   const T* x, double* partial) {
  const std::int64_t column = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * N;
  if (column >= d) return;
  const std::int64_t begin = blockIdx.y * chunk_rows;
  const std::int64_t end = begin + chunk_rows < n ? begin + chunk_rows : n;
  double total[N] = {};
#pragma unroll 4
  for (std::int64_t i = begin; i < end; ++i) {
    const auto values = load_pack<N>(x + i * d + column);
#pragma unroll
    for (int k = 0; k < N; ++k) total[k] += static_cast<double>(values.value[k]);
  }
#pragma unroll
  for (int k = 0; k < N; ++k) partial[blockIdx.y * d + column + k] = total[k];
}

template <class T>
__global__ void mean_kernel(std::int64_t n, std::int64_t d, int chunks, const double* partial,
                            T* mean) {
  const std::int64_t column = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (column >= d) return;
  double total = 0;
#pragma unroll 8
  for (int chunk = 0; chunk < chunks; ++chunk) total += partial[chunk * d + column];
  mean[column] = static_cast<T>(total / static_cast<double>(n));
}

// A thread keeps the means of its columns and walks down the rows.
template <int N, class T>
__global__ void center_kernel(std::int64_t n, std::int64_t d, const T* x, const T* mean, T* y) {
  const std::int64_t column = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * N;
  if (column >= d) return;
  const auto center = load_lanes<N>(mean + column);
  for (std::int64_t i = blockIdx.y; i < n; i += gridDim.y) {
    auto values = load_pack<N>(x + i * d + column);
#pragma unroll
    for (int k = 0; k < N; ++k) values.value[k] -= center[k];
    store_pack(values, y + i * d + column);
  }
}

template <int kThreads, int N, class T>
__global__ void row_dot_kernel(std::int64_t n, std::int64_t d, const T* a, const T* b,
                               T* products) {
  const Team<kThreads> team;
  const std::int64_t row = team.row();
  if (row >= n) return;
  double total = 0;
#pragma unroll 4
  for (std::int64_t j = std::int64_t{team.rank()} * N; j < d; j += std::int64_t{kThreads} * N) {
    const auto from_a = load_pack<N>(a + row * d + j), from_b = load_pack<N>(b + row * d + j);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      total += static_cast<double>(from_a.value[k]) * static_cast<double>(from_b.value[k]);
    }
  }
  total = team.sum(total);
  if (team.rank() == 0) products[row] = static_cast<T>(total);
}

using SumTeam = Team<256>;

// total[block] = the sum of a chunk.
template <class X, class Total>
__global__ void sum_kernel(std::int64_t n, std::int64_t chunk, const X* x, Total* total) {
  const SumTeam team;
  const std::int64_t begin = team.row() * chunk, end = begin + chunk < n ? begin + chunk : n;
  double part = 0;
#pragma unroll 8
  for (std::int64_t i = begin + team.rank(); i < end; i += SumTeam::kBlockThreads) {
    part += static_cast<double>(x[i]);
  }
  part = team.sum(part);
  if (team.rank() == 0) total[team.row()] = static_cast<Total>(part);
}

}  // namespace

// Chunks of at least 8 rows: about as many as a large device runs blocks at once, at 2048 columns.
void column_mean(Context& ctx, ConstView x, View mean) {
  assert(x.shape.rank == 2 && x.shape[0] > 0);
  assert(mean.shape == Shape(x.shape[1]) && mean.dtype == x.dtype);
  const std::int64_t n = x.shape[0], d = x.shape[1];
  constexpr std::int64_t kLeastRows = 8, kMostChunks = 64;
  const std::int64_t chunk_rows = std::max(kLeastRows, (n + kMostChunks - 1) / kMostChunks);
  const unsigned chunks = blocks_for(n, chunk_rows);
  Scratch::Frame frame(ctx.scratch);
  double* partial = frame.take<double>(chunks * static_cast<std::size_t>(d));
  dispatch_real(x.dtype, "column_mean", [&](auto tag) {
    using T = typename decltype(tag)::type;
    with_pack<T>(fits_pack<T>(kFullPack<T>, d, {x.data}), [&](auto pack) {
      const dim3 grid(blocks_for(d, kColumnThreads * pack.value), chunks);
      launch(ctx, {.grid = grid, .block = kColumnThreads}, column_sums_kernel<pack.value, T>, n, d,
             chunk_rows, x.as<T>(), partial);
    });
    launch(ctx, {.grid = blocks_for(d, kColumnThreads), .block = kColumnThreads}, mean_kernel<T>, n,
           d, static_cast<int>(chunks), partial, mean.as<T>());
  });
}

void center_rows(Context& ctx, ConstView x, ConstView mean, View y) {
  assert(x.shape.rank == 2 && y.shape == x.shape && y.dtype == x.dtype);
  assert(mean.shape == Shape(x.shape[1]) && mean.dtype == x.dtype);
  const std::int64_t n = x.shape[0], d = x.shape[1];
  constexpr std::int64_t kMostRows = 1024;  // of the grid; further rows are visited in a loop
  dispatch_real(x.dtype, "center_rows", [&](auto tag) {
    using T = typename decltype(tag)::type;
    with_pack<T>(fits_pack<T>(kFullPack<T>, d, {x.data, y.data}), [&](auto pack) {
      const dim3 grid(blocks_for(d, kColumnThreads * pack.value),
                      static_cast<unsigned>(std::min(n, kMostRows)));
      launch(ctx, {.grid = grid, .block = kColumnThreads}, center_kernel<pack.value, T>, n, d,
             x.as<T>(), mean.as<T>(), y.as<T>());
    });
  });
}

void row_dot(Context& ctx, ConstView a, ConstView b, View products) {
  assert(a.shape.rank == 2 && b.shape == a.shape && products.shape == Shape(a.shape[0]));
  assert(b.dtype == a.dtype && products.dtype == a.dtype);
  const std::int64_t n = a.shape[0], d = a.shape[1];
  dispatch_real(a.dtype, "row_dot", [&](auto tag) {
    using T = typename decltype(tag)::type;
    with_pack<T>(fits_pack<T>(kFullPack<T>, d, {a.data, b.data}), [&](auto pack) {
      constexpr int kPack = pack.value;
      const auto launch_with = [&](auto team, auto kernel) {
        launch(ctx, team.shape(n), kernel, n, d, a.as<T>(), b.as<T>(), products.as<T>());
      };
      if (d <= 32 * 8 * kPack) return launch_with(Team<32>(), row_dot_kernel<32, kPack, T>);
      launch_with(Team<256>(), row_dot_kernel<256, kPack, T>);
    });
  });
}

void sum(Context& ctx, ConstView x, View total) {
  assert(total.shape.elements() == 1 && total.dtype == x.dtype);
  const std::int64_t n = x.shape.elements();
  constexpr std::int64_t kLeastChunk = 8192, kMostChunks = 256;
  const std::int64_t chunk = std::max(kLeastChunk, (n + kMostChunks - 1) / kMostChunks);
  const std::int64_t chunks = std::max<std::int64_t>(1, (n + chunk - 1) / chunk);
  dispatch_real(x.dtype, "sum", [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (chunks == 1) {
      return launch(ctx, SumTeam::shape(1), sum_kernel<T, T>, n, chunk, x.as<T>(), total.as<T>());
    }
    Scratch::Frame frame(ctx.scratch);
    double* partial = frame.take<double>(static_cast<std::size_t>(chunks));
    launch(ctx, SumTeam::shape(chunks), sum_kernel<T, double>, n, chunk, x.as<T>(), partial);
    launch(ctx, SumTeam::shape(1), sum_kernel<double, T>, chunks, chunks, partial, total.as<T>());
  });
}

}  // namespace nat::gpu
