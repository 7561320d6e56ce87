// One persistent kernel solves a problem from scores to proof (kernels/lap_auction.h). Its crew is
// a block, a cluster of blocks or all blocks of a cooperative launch (LapCrew); it never leaves the
// kernel, and the host waits for nothing. Several problems take a block or a cluster each.
#include "kernels/lap.h"

#include <algorithm>
#include <bit>
#include <optional>

#include "kernels/cuda/lap/auction.cuh"
#include "kernels/cuda/lap/free_rows.cuh"
#include "kernels/cuda/lap/problem.cuh"
#include "kernels/cuda/lap/resident.cuh"
#include "kernels/lap_arguments.h"
#include "kernels/lap_auction.h"

namespace nat::gpu {
namespace {

constexpr int kThreads = 512;  // more have too few registers to keep several loads under way
constexpr unsigned kPortableClusterBlocks = 8;  // every device with clusters takes these

// ---- before and after the auction ---------------------------------------------------------------

template <class Crew>
__device__ void reset(const Crew& crew, const LapProblem& problem) {
  for (std::int64_t j = crew.rank(); j < problem.columns; j += crew.size()) problem.offers[j] = 0;
  if (crew.rank() == 0) {
    *problem.control = {};
    problem.control->low = UINT_MAX;
  }
}

// The order of additions that kernels/lap_auction.h fixes; by one warp.
template <class Element>
__device__ double ordered_sum(std::int64_t n, Element element) {
  double partial = 0;
#pragma unroll 4
  for (std::int64_t i = lane(); i < n; i += lap::kPartialSums) partial += element(i);
  return warp_sum(partial);
}
static_assert(lap::kPartialSums == kWarp);

// The scores of the solution and of the identity, by row.
struct SolutionScores {
  const LapProblem& problem;

  __device__ float solution(std::int64_t i) const {
    return problem.input[i * problem.n + problem.column_of_row[i]];
  }
  __device__ float identity(std::int64_t i) const { return problem.input[i * problem.n + i]; }
};

// The same, side by side where sums over many rows find them sooner.
struct GatheredScores {
  float *of_solution, *of_identity;

  __device__ explicit GatheredScores(const LapProblem& problem)
      : of_solution(reinterpret_cast<float*>(problem.distance)),
        of_identity(reinterpret_cast<float*>(problem.from)) {}

  __device__ float solution(std::int64_t i) const { return of_solution[i]; }
  __device__ float identity(std::int64_t i) const { return of_identity[i]; }
};

template <class Crew>
__device__ void gather_values(const Crew& crew, const LapProblem& problem) {
  const SolutionScores scattered{problem};
  const GatheredScores values(problem);
  for (std::int64_t i = crew.rank(); i < problem.n; i += crew.size()) {
    values.of_solution[i] = scattered.solution(i);
    values.of_identity[i] = scattered.identity(i);
  }
}

// Of floats, into control, by a warp each.
template <class Crew, class Scores>
__device__ void sum_floats(const Crew& crew, const LapProblem& problem, const Scores& scores) {
  const unsigned last = warps_of(crew) - 1;  // far from the first, which has more to do than others
  const unsigned warp = last - warp_of(crew);
  if (warp == 0) {
    const double sum =
        ordered_sum(problem.n, [&](std::int64_t i) { return double{scores.solution(i)}; });
    if (lane() == 0) problem.control->float_value = sum;
  }
  if (warp == 1 % warps_of(crew)) {
    const double sum =
        ordered_sum(problem.n, [&](std::int64_t i) { return double{scores.identity(i)}; });
    if (lane() == 0) problem.control->float_identity = sum;
  }
}

__device__ inline void add_for_warp(LapSum part, LapSum* sum) {
  part = warp_sum(part);
  if (lane() == 0) atomicAdd(sum, part);
}

// Values of the solution and of the identity, and what the prices prove, into control.
template <class Crew>
__device__ void sum_quanta(const Crew& crew, const LapProblem& problem) {
  LapSum value = 0, identity = 0, bound = 0;
  for (std::int64_t i = crew.rank(); i < problem.n; i += crew.size()) {
    value += static_cast<LapSum>(problem.row(i)[problem.column_of_row[i]]);
    identity += static_cast<LapSum>(problem.row(i)[i]);
    bound += static_cast<LapSum>(lap::price_of(problem.ask[i]));
  }
  for (std::int64_t i = warp_of(crew); i < problem.n; i += warps_of(crew)) {
    const std::int64_t most = lap::even(top_two(problem.row(i), problem.ask, problem.columns).best);
    if (lane() == 0) bound += static_cast<LapSum>(most);
  }
  add_for_warp(value, &problem.control->value);
  add_for_warp(identity, &problem.control->identity);
  add_for_warp(bound, &problem.control->bound);
}

// All sums, into control. What few rows hold is read where it lies, which saves a meeting.
template <class Crew>
__device__ void sum_up(const Crew& crew, const LapProblem& problem) {
  constexpr std::int64_t kFewRows = 1024;
  const bool are_few = problem.n <= kFewRows;
  if (are_few) {
    sum_floats(crew, problem, SolutionScores{problem});
  } else {
    gather_values(crew, problem);
  }
  sum_quanta(crew, problem);
  crew.sync();
  if (are_few) return;
  sum_floats(crew, problem, GatheredScores(problem));
  crew.sync();
}

// The result from what control holds; keeps the identity when nothing is better.
template <class Crew>
__device__ void report_solution(const Crew& crew, const LapProblem& problem) {
  const LapControl& control = *problem.control;
  const bool keep =
      control.identity == control.value || control.float_identity >= control.float_value;
  for (std::int64_t i = crew.rank(); i < problem.n; i += crew.size()) {
    if (keep) problem.column_of_row[i] = static_cast<std::int32_t>(i);
    problem.prices[i] = lap::price_of(problem.ask[i]) / 2;
  }
  if (crew.rank() != 0) return;
  LapReport report;
  report.phases = control.counts.phases;
  report.value = keep ? control.float_identity : control.float_value;
  report.identity_value = control.float_identity;
  report.quantum = lap::quantum(from_ordered(control.low), from_ordered(control.high));
  report.value_quanta = static_cast<std::int64_t>(keep ? control.identity : control.value) / 2;
  report.bound_quanta = static_cast<std::int64_t>(control.bound) / 2;
  report.rounds = control.counts.rounds;
  report.bids = control.counts.bids;
  report.paths = control.counts.paths;
  report.steps = control.counts.steps;
  *problem.report = report;
}

// Scores that are all equal, or not finite, or not there: the identity.
template <class Crew>
__device__ void report_identity(const Crew& crew, const LapProblem& problem, bool finite) {
  for (std::int64_t i = crew.rank(); i < problem.n; i += crew.size()) {
    problem.column_of_row[i] = static_cast<std::int32_t>(i);
    problem.prices[i] = 0;
  }
  if (warp_of(crew) != 0) return;
  LapReport report;
  if (finite) {
    report.value = report.identity_value = ordered_sum(problem.n, [&](std::int64_t i) {
      return static_cast<double>(problem.input[i * problem.n + i]);
    });
  } else {
    report.status = LapStatus::bad_input;
  }
  if (lane() == 0) *problem.report = report;
}

template <class Crew>
__device__ void assign(const Crew& crew, const lap::Schedule& schedule, const LapProblem& problem,
                       const LapProblem& desk) {
  if (solve_at_desks(crew, schedule, problem)) return;
  if (!hold(crew, schedule.trial(), problem, desk)) {
    hold_phases(schedule, [&](const lap::Phase& phase) { hold(crew, phase, problem, desk); });
  }
  if (crew.has_first_block()) place_free_rows(problem, desk);
}

template <class Crew>
__device__ void solve(const Crew& crew, const lap::Schedule& schedule, const LapProblem& problem,
                      const LapProblem& desk) {
  reset(crew, problem);
  crew.sync();
  find_range(crew, problem);
  crew.sync();
  const bool finite = problem.control->not_finite == 0;
  const float low = from_ordered(problem.control->low), high = from_ordered(problem.control->high);
  if (!finite || !(low < high)) {
    report_identity(crew, problem, finite);
    return;
  }
  quantise(crew, lap::Quantiser(low, high), problem);
  crew.sync();
  start_prices(crew, problem);
  assign(crew, schedule, problem, desk);
  crew.sync();
  sum_up(crew, problem);
  report_solution(crew, problem);
}

// The arrays are many: their addresses lie in shared memory, where they take no registers.
template <class Crew>
__global__ void __launch_bounds__(kThreads, 1)
    lap_kernel(lap::Schedule schedule, LapProblem problems) {
  __shared__ LapProblem problem, desk;
  const Crew crew;
  if (threadIdx.x == 0) {
    problem = problems.at(crew.problem());
    desk = on_desk(problem);
  }
  __syncthreads();
  solve(crew, schedule, problem, desk);
}

// ---- launches -----------------------------------------------------------------------------------

// Problems, one below the other.
struct LapTask {
  std::int64_t count, n;
  ConstView scores;
  View column_of_row, prices;
  LapReport* reports;
};

LapProblem borrow(Scratch::Frame& frame, const LapTask& task) {
  const std::int64_t count = task.count, n = task.n;
  const std::int64_t columns = lap::padded(n);
  const auto vector = [&](std::int64_t size) { return frame.take<std::int32_t>(count * size); };
  LapProblem problems{};
  problems.n = n;
  problems.columns = columns;
  problems.input = task.scores.as<float>();
  problems.column_of_row = task.column_of_row.as<std::int32_t>();
  problems.prices = task.prices.as<std::int32_t>();
  problems.report = task.reports;
  problems.control = frame.take<LapControl>(count);
  problems.scores = vector(n * columns);
  problems.ask = vector(columns);
  problems.row_of_column = vector(columns);
  problems.offers = frame.take<LapSum>(count * columns);
  problems.bids = frame.take<lap::Bid>(count * n);
  problems.bidders = vector(2 * n);
  problems.open_ask = vector(columns);
  problems.distance = vector(columns);
  problems.closed_at = vector(columns);
  problems.from = vector(columns);
  problems.lowest_twin = vector(columns);
  problems.twin_table = vector(2 * columns);
  return problems;
}

// At least `warps`, as far as a block goes; warps that share a row are a power of two.
unsigned threads_for(std::int64_t warps) {
  constexpr std::int64_t kMostWarps = kThreads / kWarp;
  static_assert(std::has_single_bit(static_cast<unsigned>(kMostWarps)));
  return kWarp *
         std::bit_ceil(static_cast<unsigned>(std::clamp(warps, std::int64_t{1}, kMostWarps)));
}

std::size_t shared_bytes_for(const Context& ctx, const LapOptions& options) {
  const std::size_t most = ctx.cuda->shared_bytes_block;
  return options.shared_kib == 0
             ? most
             : std::min(most, std::size_t{1024} * static_cast<unsigned>(options.shared_kib));
}

// Of crews of `blocks` that share the scores; 0 for those that do not.
LapDesk desk_of(const Context& ctx, const LapOptions& options, std::int64_t n, unsigned blocks) {
  return desk_for(n, lap::padded(n), blocks, shared_bytes_for(ctx, options));
}

template <class Crew>
void launch_crew(Context& ctx, const LapOptions& options, LaunchShape shape, const LapTask& task) {
  const unsigned sharing = Crew::kSharesMemory ? shape.cluster : 0;
  Scratch::Frame frame(ctx.scratch);
  LapProblem problems = borrow(frame, task);
  problems.desk = desk_of(ctx, options, task.n, sharing);
  shape.shared_bytes = desk_bytes(problems.desk, problems.n, problems.columns, sharing);
  const lap::Schedule schedule(task.n, lap::resolved(Device::cuda, task.n, options));
  launch(ctx, shape, lap_kernel<Crew>, schedule, problems);
}

// A warp for each row.
void launch_blocks(Context& ctx, const LapOptions& options, const LapTask& task) {
  const dim3 grid(static_cast<unsigned>(task.count));
  launch_crew<BlockCrew>(ctx, options, {.grid = grid, .block = dim3(threads_for(task.n))}, task);
}

// Of crews of several blocks: the first block works alone much of the time, with several warps a
// row.
unsigned threads_of_crew(std::int64_t n) { return threads_for(blocks_for(n, 4)); }

// A device with clusters may run code for one without, where the build has nothing nearer to it
// (CMAKE_CUDA_ARCHITECTURES): blocks of a cluster would not know of each other there. Sixteen
// blocks with all the shared memory they can have are more than every device promises, and than
// parts of one (MIG) may have room for.
unsigned ask_largest_cluster(const CudaState& cuda) {
  if (!cuda.clusters) return 0;
  cudaFuncAttributes code{};
  check_cuda(cudaFuncGetAttributes(&code, reinterpret_cast<const void*>(lap_kernel<ClusterCrew>)),
             "asking for the code of the assignment");
  if (code.ptxVersion < 90) return 0;
  const bool takes_most = takes_cluster(
      lap_kernel<ClusterCrew>, {.grid = dim3(kMostClusterBlocks),
                                .block = dim3(kThreads),
                                .shared_bytes = cuda.shared_bytes_block - kStaticSharedBytes,
                                .cluster = kMostClusterBlocks});
  return takes_most ? kMostClusterBlocks : kPortableClusterBlocks;
}

// Blocks of the largest cluster that the device and this build take; 0 where they have none.
unsigned largest_cluster(const Context& ctx) {
  std::optional<unsigned>& known = ctx.cuda->lap_cluster_blocks;
  if (!known) known = ask_largest_cluster(*ctx.cuda);
  return *known;
}

// The cluster for a problem, whose blocks have room for its scores; 0 where there is none. More
// blocks scan the rows sooner, and eight are enough for few.
unsigned cluster_with_scores(const Context& ctx, const LapOptions& options, std::int64_t n) {
  constexpr std::int64_t kFewRows = 256;
  const unsigned largest = largest_cluster(ctx);
  const auto has_room = [&](unsigned blocks) {
    return blocks <= largest && desk_of(ctx, options, n, blocks) >= LapDesk::scores;
  };
  const bool portable = has_room(kPortableClusterBlocks);
  if (portable && n <= kFewRows) return kPortableClusterBlocks;
  if (has_room(kMostClusterBlocks)) return kMostClusterBlocks;
  return portable ? kPortableClusterBlocks : 0;
}

void launch_clusters(Context& ctx, const LapOptions& options, const LapTask& task) {
  const unsigned with_scores = cluster_with_scores(ctx, options, task.n);
  const unsigned blocks = with_scores == 0 ? kPortableClusterBlocks : with_scores;
  const dim3 grid(static_cast<unsigned>(task.count) * blocks);
  launch_crew<ClusterCrew>(
      ctx, options, {.grid = grid, .block = dim3(threads_of_crew(task.n)), .cluster = blocks},
      task);
}

// As far as multiprocessors go: every block must be resident, and one a multiprocessor always is.
void launch_grid(Context& ctx, const LapOptions& options, const LapTask& task) {
  const unsigned blocks =
      std::clamp(blocks_for(task.n, 4), 1u, static_cast<unsigned>(ctx.cuda->multiprocessors));
  launch_crew<GridCrew>(
      ctx, options,
      {.grid = dim3(blocks), .block = dim3(threads_of_crew(task.n)), .cooperative = true}, task);
}

// The crew that is fastest for one problem: one that has the scores in shared memory, the larger
// the better; otherwise a grid, which passes over all scores soonest.
LapCrew automatic_crew(const Context& ctx, const LapOptions& options, std::int64_t n) {
  if (cluster_with_scores(ctx, options, n) != 0) return LapCrew::cluster;
  return desk_of(ctx, options, n, 1) >= LapDesk::scores ? LapCrew::block : LapCrew::grid;
}

void check_options(const Context& ctx, const LapOptions& options) {
  NAT_CHECK(options.solver != LapSolver::jv, ErrorKind::usage,
            "lap_solve: the solver jv is serial and runs on the CPU only; choose auction");
  NAT_CHECK(options.crew != LapCrew::cluster || largest_cluster(ctx) > 0, ErrorKind::usage,
            "lap_solve: the crew cluster needs a device of compute capability 9.0 (this one has ",
            ctx.cuda->compute_capability / 10, ".", ctx.cuda->compute_capability % 10,
            ") and a build for it; choose block, grid or automatic");
}

}  // namespace

void lap_solve(Context& ctx, const LapOptions& options, ConstView scores, View column_of_row,
               View prices, LapReport* report) {
  lap::check_square(scores);
  lap::check_arguments(options, scores, column_of_row, prices, report);
  check_options(ctx, options);
  const LapTask task{1, scores.shape[0], scores, column_of_row, prices, report};
  const LapCrew crew =
      options.crew == LapCrew::automatic ? automatic_crew(ctx, options, task.n) : options.crew;
  if (crew == LapCrew::grid) {
    launch_grid(ctx, options, task);
  } else if (crew == LapCrew::cluster) {
    launch_clusters(ctx, options, task);
  } else {
    launch_blocks(ctx, options, task);
  }
}

void lap_solve_batch(Context& ctx, const LapOptions& options, ConstView scores, View column_of_row,
                     View prices, LapReport* reports) {
  lap::check_arguments(options, scores, column_of_row, prices, reports);
  check_options(ctx, options);
  NAT_CHECK(options.crew != LapCrew::grid, ErrorKind::usage,
            "lap_solve_batch: the crew grid solves one problem at a time; choose block, cluster or "
            "automatic");
  const std::int64_t n = scores.shape[1];
  const std::int64_t count = n == 0 ? 0 : scores.shape[0] / n;
  const LapTask task{count, n, scores, column_of_row, prices, reports};
  if (options.crew == LapCrew::cluster) {
    launch_clusters(ctx, options, task);
  } else {
    launch_blocks(ctx, options, task);
  }
}

}  // namespace nat::gpu
