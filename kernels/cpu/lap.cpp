#include "kernels/lap.h"

#include <algorithm>
#include <numeric>

#include "kernels/cpu/lap/problem.h"
#include "kernels/cpu/lap/scan.h"
#include "kernels/lap_arguments.h"
#include "kernels/lap_auction.h"
#include "kernels/parallel.h"

namespace nat::cpu {

namespace {

struct Range {
  float low, high;
  bool finite;
};

Range range_of(const float* scores, std::int64_t count) {
  float low = scores[0], high = scores[0];
  std::int32_t magnitude = 0;  // bits without the sign: infinity is 0x7f800000, NaNs lie above
#pragma omp simd reduction(min : low) reduction(max : high) reduction(max : magnitude)
  for (std::int64_t i = 0; i < count; ++i) {
    const float score = scores[i];
    const std::int32_t bits = __builtin_bit_cast(std::int32_t, score) & 0x7fffffff;
    low = score < low ? score : low;
    high = score > high ? score : high;
    magnitude = bits > magnitude ? bits : magnitude;
  }
  return {low, high, magnitude < 0x7f800000};
}

Range range_of_all(const float* scores, std::int64_t n) {
  constexpr std::int64_t kMostChunks = 64;
  const Chunks chunks(n * n, kMostChunks);
  Range parts[kMostChunks];
  parallel_for(chunks.count, scan_work(n, n), [&](std::int64_t k) {
    parts[k] = range_of(scores + chunks.begin(k), chunks.end(k) - chunks.begin(k));
  });
  return std::accumulate(parts + 1, parts + chunks.count, parts[0], [](Range a, const Range& b) {
    return Range{std::min(a.low, b.low), std::max(a.high, b.high), a.finite && b.finite};
  });
}

// In the order of kernels/lap_auction.h.
template <class Element>
double sum(std::int64_t n, Element element) {
  double partial[lap::kPartialSums] = {};
  for (std::int64_t i = 0; i < n; ++i) partial[i % lap::kPartialSums] += element(i);
  for (int width = lap::kPartialSums / 2; width > 0; width /= 2) {
    for (int l = 0; l < width; ++l) partial[l] += partial[l + width];
  }
  return partial[0];
}

double diagonal_sum(const float* scores, std::int64_t n) {
  return sum(n, [&](std::int64_t i) { return double{scores[i * n + i]}; });
}

// How a solver comes to its first prices and seats.
enum class Opening { jv, sampled, auction };

Opening opening_for(Scratch::Frame& frame, LapSolver solver, const float* scores, std::int64_t n) {
  if (solver == LapSolver::auction) return Opening::auction;
  if (n >= 2 * kLeastSampled && has_low_rank(scores, n)) return Opening::sampled;
  if (solver == LapSolver::jv || n < kLapAuctionFrom) return Opening::jv;
  return has_many_twins(frame, scores, n) ? Opening::jv : Opening::auction;
}

// Values of the solution and of the identity; keeps the identity when nothing is better.
void judge(const float* scores, std::int32_t* column, const LapProblem& problem,
           LapReport& report) {
  const std::int64_t n = problem.n;
  std::int64_t identity_quanta = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    report.value_quanta += problem.quanta(i, column[i]);
    identity_quanta += problem.quanta(i, i);
  }
  report.value = sum(n, [&](std::int64_t i) { return double{scores[i * n + column[i]]}; });
  report.identity_value = diagonal_sum(scores, n);
  report.bound_quanta = problem.bound_quanta();
  if (identity_quanta == report.value_quanta || report.identity_value >= report.value) {
    std::iota(column, column + n, 0);
    report.value = report.identity_value;
    report.value_quanta = identity_quanta;
  }
}

void solve(Scratch::Frame& frame, const LapOptions& options, std::int64_t n, const float* scores,
           std::int32_t* column, std::int32_t* price, LapReport& report) {
  report = {};
  std::iota(column, column + n, 0);
  std::fill(price, price + n, 0);
  if (n == 0) return;
  const Range range = range_of_all(scores, n);
  if (!range.finite) {
    report.status = LapStatus::bad_input;
    return;
  }
  if (range.low == range.high) {  // all quanta are 0: every permutation is optimal
    report.value = report.identity_value = diagonal_sum(scores, n);
    return;
  }
  report.quantum = lap::quantum(range.low, range.high);
  LapProblem problem(frame, n, column);
  const lap::Quantiser quantise(range.low, range.high);
  switch (opening_for(frame, options.solver, scores, n)) {
    case Opening::jv:
      open_jv(frame, scores, quantise, problem, report);
      break;
    case Opening::sampled:
      open_sampled(frame, scores, quantise, problem, report);
      break;
    case Opening::auction: {
      const lap::Schedule schedule(n, lap::resolved(Device::cpu, n, options));
      open_auction(frame, scores, quantise, schedule, problem, report);
    }
  }
  problem.place_free_rows(report);
  judge(scores, column, problem, report);
  for (std::int64_t j = 0; j < n; ++j) price[j] = problem.price(j) / 2;
}

void solve_all(Context& ctx, const LapOptions& options, std::int64_t problems, std::int64_t n,
               const ConstView& scores, const View& column_of_row, const View& prices,
               LapReport* reports) {
  for (std::int64_t k = 0; k < problems; ++k) {
    Scratch::Frame frame(ctx.scratch);
    solve(frame, options, n, scores.as<float>() + k * n * n,
          column_of_row.as<std::int32_t>() + k * n, prices.as<std::int32_t>() + k * n, reports[k]);
  }
}

}  // namespace

void lap_solve(Context& ctx, const LapOptions& options, ConstView scores, View column_of_row,
               View prices, LapReport* report) {
  lap::check_square(scores);
  lap::check_arguments(options, scores, column_of_row, prices, report);
  solve_all(ctx, options, 1, scores.shape[0], scores, column_of_row, prices, report);
}

void lap_solve_batch(Context& ctx, const LapOptions& options, ConstView scores, View column_of_row,
                     View prices, LapReport* reports) {
  lap::check_arguments(options, scores, column_of_row, prices, reports);
  const std::int64_t n = scores.shape[1];
  solve_all(ctx, options, n == 0 ? 0 : scores.shape[0] / n, n, scores, column_of_row, prices,
            reports);
}

}  // namespace nat::cpu
