#include "bench/cuda/barriers.h"

#include <cooperative_groups.h>

#include "kernels/cuda/lap/free_rows.cuh"
#include "kernels/cuda/lap/resident.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/state.h"

namespace nat::bench {
namespace {

using namespace nat::gpu;

// ---- barriers and reductions --------------------------------------------------------------------

__global__ void sync_block_kernel(int repeats) {
  for (int i = 0; i < repeats; ++i) __syncthreads();
}

__global__ void sync_cluster_kernel(int repeats) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  for (int i = 0; i < repeats; ++i) cooperative_groups::this_cluster().sync();
#endif
}

// The barrier alone: it orders nothing that the threads have written.
__global__ void sync_cluster_relaxed_kernel(int repeats) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  for (int i = 0; i < repeats; ++i) {
    asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
    asm volatile("barrier.cluster.wait.aligned;" ::: "memory");
  }
#endif
}

__global__ void sync_grid_kernel(int repeats) {
  for (int i = 0; i < repeats; ++i) cooperative_groups::this_grid().sync();
}

// The result is written so that it is not left out as unused.
__global__ void reduce_warp_kernel(int repeats, int* result) {
  int value = static_cast<int>(threadIdx.x);
  for (int i = 0; i < repeats; ++i) value = __reduce_max_sync(kFullWarp, value ^ i);
  result[threadIdx.x] = value;
}

// ---- chains of reads ----------------------------------------------------------------------------

constexpr int kLine = 32;     // integers that are read from memory together
constexpr int kForward = 37;  // lines from one read to the next; odd, so that a chain visits all

__global__ void link_kernel(int lines, int* next) {
  for (int i = static_cast<int>(threadIdx.x); i < lines; i += static_cast<int>(blockDim.x)) {
    next[i * kLine] = (i + kForward) % lines * kLine;
  }
}

__device__ int follow(const int* next, int repeats) {
  int at = 0;
  for (int i = 0; i < repeats; ++i) at = next[at];
  return at;
}

__global__ void read_global_kernel(int repeats, const int* next, int* result) {
  *result = follow(next, repeats);
}

__global__ void read_shared_kernel(int repeats, int* result) {
  __shared__ int next[kLine * kLine];
  for (int i = 0; i < kLine; ++i) next[i * kLine] = (i + kForward) % kLine * kLine;
  *result = follow(next, repeats);
}

// ---- path search --------------------------------------------------------------------------------

constexpr std::int32_t kScore = 1000;

// Of the last column 0, of the others about kScore: nobody likes one better than its own. The first
// ones tell all rows apart, up to 65,536: equal ones would be passed in one step.
__device__ std::int32_t score_at(std::int64_t row, std::int64_t column, std::int64_t n) {
  if (column >= n - 1) return 0;
  if (column >= lap::kRowMultiple || column == row) return kScore;
  return kScore - 2 * static_cast<std::int32_t>(row >> (2 * column) & 3);
}

__global__ void prepare_kernel(LapProblem problem) {
  for (std::int64_t i = 0; i < problem.n; ++i) {
    std::int32_t* row = problem.scores + i * problem.columns;
    for (std::int64_t j = threadIdx.x; j < problem.columns; j += blockDim.x) {
      row[j] = score_at(i, j, problem.n);
    }
  }
}

// Row i sits on column i. The last row and the last column are free, and every other column is
// nearer than the last.
__device__ void seat_all_but_one(const LapProblem& problem) {
  const std::int64_t last = problem.n - 1;
  if (threadIdx.x == 0) problem.control->free_rows = 1;
  for (std::int64_t j = threadIdx.x; j < problem.columns; j += blockDim.x) {
    problem.ask[j] = j < last ? 1 : j == last ? 0 : lap::kClosed;
    problem.row_of_column[j] = j < last ? static_cast<std::int32_t>(j) : lap::kNone;
    if (j < problem.n) {
      problem.column_of_row[j] = j < last ? static_cast<std::int32_t>(j) : lap::kNone;
    }
  }
  __syncthreads();
}

__global__ void __launch_bounds__(kBlockThreads, 1) search_kernel(LapProblem given, int repeats) {
  __shared__ LapProblem problem, desk;
  if (threadIdx.x == 0) {
    problem = given;
    desk = on_desk(problem);
  }
  __syncthreads();
  const BlockCrew crew;
  const LapShare share = LapShare::of(crew);
  const bool packed = problem.desk >= LapDesk::scores;
  if (packed) pack_rows<1>(share, problem, scores_on_desk(problem, share));
  for (int i = 0; i < repeats; ++i) {
    seat_all_but_one(problem);
    if (packed) {
      take_to_desk(problem, desk);
      place_free_rows_resident<BlockCrew, 1>(crew, desk);
      bring_back(desk, problem);
    } else {
      place_free_rows(problem, desk);
    }
    __syncthreads();
  }
}

LapProblem problem_in(std::int64_t n, const Buffer& scores, const Buffer& vectors,
                      const Buffer& control, const Buffer& twin_table) {
  const std::int64_t columns = lap::padded(n);
  std::int32_t* next = vectors.as<std::int32_t>();
  const auto vector = [&] {
    std::int32_t* const here = next;
    next += columns;
    return here;
  };
  LapProblem problem{};
  problem.n = n;
  problem.columns = columns;
  problem.scores = scores.as<std::int32_t>();
  problem.control = control.as<LapControl>();
  problem.column_of_row = vector();
  problem.ask = vector();
  problem.row_of_column = vector();
  problem.open_ask = vector();
  problem.distance = vector();
  problem.closed_at = vector();
  problem.from = vector();
  problem.lowest_twin = vector();
  problem.twin_table = twin_table.as<std::int32_t>();
  return problem;
}
constexpr std::int64_t kVectors = 8;

Buffer quanta(Context& ctx, std::int64_t count) {
  return {ctx.device, static_cast<std::size_t>(count) * sizeof(std::int32_t), "path search"};
}

}  // namespace

void sync_block(Context& ctx, int repeats) {
  launch(ctx, {.grid = dim3(1), .block = dim3(kBlockThreads)}, sync_block_kernel, repeats);
}

void sync_cluster(Context& ctx, int repeats) {
  launch(ctx,
         {.grid = dim3(kClusterBlocks), .block = dim3(kBlockThreads), .cluster = kClusterBlocks},
         sync_cluster_kernel, repeats);
}

void sync_cluster_relaxed(Context& ctx, int repeats) {
  launch(ctx,
         {.grid = dim3(kClusterBlocks), .block = dim3(kBlockThreads), .cluster = kClusterBlocks},
         sync_cluster_relaxed_kernel, repeats);
}

void sync_grid(Context& ctx, int repeats) {
  const auto blocks = static_cast<unsigned>(ctx.cuda->multiprocessors);
  launch(ctx, {.grid = dim3(blocks), .block = dim3(kBlockThreads), .cooperative = true},
         sync_grid_kernel, repeats);
}

void reduce_warp(Context& ctx, int repeats) {
  Scratch::Frame frame(ctx.scratch);
  launch(ctx, {.grid = dim3(1), .block = dim3(kWarp)}, reduce_warp_kernel, repeats,
         frame.take<int>(kWarp));
}

void read_shared(Context& ctx, int repeats) {
  Scratch::Frame frame(ctx.scratch);
  launch(ctx, {.grid = dim3(1), .block = dim3(1)}, read_shared_kernel, repeats, frame.take<int>(1));
}

ReadChain::ReadChain(Context& ctx, int kib)
    : ctx_(ctx), memory_(ctx.device, std::size_t{1024} * static_cast<unsigned>(kib), "reads") {
  const int lines = static_cast<int>(memory_.bytes() / (kLine * sizeof(int)));
  launch(ctx, {.grid = dim3(1), .block = dim3(kBlockThreads)}, link_kernel, lines,
         memory_.as<int>());
}

void ReadChain::run(int repeats) {
  Scratch::Frame frame(ctx_.scratch);
  launch(ctx_, {.grid = dim3(1), .block = dim3(1)}, read_global_kernel, repeats,
         memory_.as<const int>(), frame.take<int>(1));
}

bool PathSearch::scores_fit(const Context& ctx, std::int64_t n) {
  return lap::padded(n) <= kChunkColumns &&
         desk_for(n, lap::padded(n), 1, ctx.cuda->shared_bytes_block) >= LapDesk::scores;
}

PathSearch::PathSearch(Context& ctx, std::int64_t n, Scores scores)
    : ctx_(ctx),
      n_(n),
      keep_scores_(scores == Scores::in_shared_memory),
      scores_(quanta(ctx, n * lap::padded(n))),
      vectors_(quanta(ctx, kVectors * lap::padded(n))),
      twin_table_(quanta(ctx, 2 * lap::padded(n))),
      control_(ctx.device, sizeof(LapControl), "path search") {
  launch(ctx, {.grid = dim3(1), .block = dim3(kBlockThreads)}, prepare_kernel,
         problem_in(n, scores_, vectors_, control_, twin_table_));
}

void PathSearch::run(int repeats) {
  LapProblem problem = problem_in(n_, scores_, vectors_, control_, twin_table_);
  problem.desk = keep_scores_ ? LapDesk::scores : LapDesk::all;
  launch(ctx_,
         {.grid = dim3(1),
          .block = dim3(kBlockThreads),
          .shared_bytes = desk_bytes(problem.desk, problem.n, problem.columns, 1)},
         search_kernel, problem, repeats);
}

std::int64_t PathSearch::steps_of_last() {
  LapControl control{};
  const Shape bytes(sizeof(LapControl));
  copy_to_host(ctx_, ConstView(control_.data(), DType::u8, bytes),
               View(&control, DType::u8, bytes));
  synchronize(ctx_);
  return control.counts.steps;
}

}  // namespace nat::bench
