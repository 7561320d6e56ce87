// Solutions of kernels/lap.h, checked against quantities computed here from the scores and the
// returned permutation and prices, never against the solver's own report.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/lap.h"
#include "kernels/lap_auction.h"
#include "kernels/memory.h"
#include "tests/opcases/device.h"

namespace nat::test {

using Scores = std::vector<float>;  // (n, n)
using Quanta = std::vector<std::int64_t>;

struct Solution {
  std::vector<std::int32_t> column, price;
  LapReport report;
};

// Results between canaries in memory of the context.
class Guarded {
 public:
  Guarded(Context& ctx, std::size_t n)
      : n_(n), buffer_(ctx.device, bytes(n), "results"), host_(n + 2 * kGuard, kCanary) {
    copy_to_device(ctx, all(host_.data()), all(buffer_.data()));
    synchronize(ctx);
  }
  View view() const {
    return {buffer_.as<std::int32_t>() + kGuard, DType::i32, Shape(static_cast<std::int64_t>(n_))};
  }
  std::vector<std::int32_t> read(Context& ctx) {
    copy_to_host(ctx, all(buffer_.data()), all(host_.data()));
    synchronize(ctx);
    const auto begin = host_.begin() + kGuard, end = begin + static_cast<std::ptrdiff_t>(n_);
    const auto is_canary = [](std::int32_t value) { return value == kCanary; };
    CHECK(std::all_of(host_.begin(), begin, is_canary));
    CHECK(std::all_of(end, host_.end(), is_canary));
    return {begin, end};
  }

 private:
  static std::size_t bytes(std::size_t n) { return (n + 2 * kGuard) * sizeof(std::int32_t); }
  View all(void* data) const {
    return {data, DType::u8, Shape(static_cast<std::int64_t>(bytes(n_)))};
  }
  static constexpr std::ptrdiff_t kGuard = 64;
  static constexpr std::int32_t kCanary = 0x5ca1ab1e;
  std::size_t n_;
  Buffer buffer_;
  std::vector<std::int32_t> host_;
};

// One or several problems, one below the other: `scores` holds problems * n * n. The crew grid gets
// them one by one.
inline std::vector<Solution> solve_batch(Context& ctx, std::size_t problems, std::size_t n,
                                         const Scores& scores, const LapOptions& options = {}) {
  if (problems > 1 && options.crew == LapCrew::grid) {
    std::vector<Solution> solutions;
    for (std::size_t k = 0; k < problems; ++k) {
      const Scores one(&scores[k * n * n], &scores[k * n * n] + n * n);
      solutions.push_back(solve_batch(ctx, 1, n, one, options).front());
    }
    return solutions;
  }
  const Shape shape(static_cast<std::int64_t>(problems * n), static_cast<std::int64_t>(n));
  const Shape report_shape(static_cast<std::int64_t>(problems * sizeof(LapReport)));
  const Buffer input(ctx.device, scores.size() * sizeof(float), "scores");
  const View on_device(input.data(), DType::f32, shape);
  copy_to_device(ctx, ConstView(scores.data(), DType::f32, shape), on_device);
  Guarded columns(ctx, problems * n), prices(ctx, problems * n);
  const Buffer reports(ctx.device, problems * sizeof(LapReport), "reports");
  LapReport unwritten;
  unwritten.steps = -1;
  std::vector<LapReport> report(problems, unwritten);
  copy_to_device(ctx, ConstView(report.data(), DType::u8, report_shape),
                 View(reports.data(), DType::u8, report_shape));

  const auto& solver = problems == 1 ? lap_solve : lap_solve_batch;
  solver(ctx, options, on_device, columns.view(), prices.view(), reports.as<LapReport>());

  copy_to_host(ctx, ConstView(reports.data(), DType::u8, report_shape),
               View(report.data(), DType::u8, report_shape));
  const std::vector<std::int32_t> column = columns.read(ctx), price = prices.read(ctx);
  std::vector<Solution> solutions;
  for (std::size_t k = 0; k < problems; ++k) {
    const auto part = [&](const std::vector<std::int32_t>& of) {
      return std::vector<std::int32_t>(of.data() + k * n, of.data() + (k + 1) * n);
    };
    solutions.push_back({part(column), part(price), report[k]});
  }
  return solutions;
}

inline Solution solve(Context& ctx, std::size_t n, const Scores& scores,
                      const LapOptions& options = {}) {
  return solve_batch(ctx, 1, n, scores, options).front();
}

inline constexpr LapOptions kAuction{LapSolver::auction, 0, 0, 0};

inline bool has_clusters() { return kOnCuda && cuda_device().compute_capability >= 90; }

// Those of the device under test.
inline std::vector<LapCrew> crews() {
  if (!kOnCuda) return {LapCrew::automatic};
  if (!has_clusters()) return {LapCrew::block, LapCrew::grid};
  return {LapCrew::block, LapCrew::cluster, LapCrew::grid};
}

inline LapOptions auction_by(LapCrew crew) {
  LapOptions options = kAuction;
  options.crew = crew;
  return options;
}

// A thread of a kernel then takes ten times as long, and there may be 8,128 of them at most.
inline constexpr bool kSlowKernels = kOnSimt && kUnderThreadSanitizer;

// Runs a test case once for each solver of the device under test, on CUDA once for each crew. Slow
// kernels show races of the larger crews where those are compared (kernels_lap_hazards_test.cpp).
struct LapTester {
  LapTester() {
    if (kOnCuda) {
      SUBCASE("auction by a block") { options = auction_by(LapCrew::block); }
      if (has_clusters() && !kSlowKernels) {
        SUBCASE("auction by a cluster") { options = auction_by(LapCrew::cluster); }
      }
      if (!kSlowKernels) {
        SUBCASE("auction by a grid") { options = auction_by(LapCrew::grid); }
      }
    } else {
      SUBCASE("auction") { options = kAuction; }
      SUBCASE("jv") { options.solver = LapSolver::jv; }
    }
  }
  Solution solve(std::size_t n, const Scores& scores) {
    return test::solve(ctx, n, scores, options);
  }

  Context ctx{kDevice};
  LapOptions options;
};

// The integer problem, from the formula of the header.
inline Quanta quantise(const Scores& scores) {
  if (scores.empty()) return {};
  const auto [low, high] = std::minmax_element(scores.begin(), scores.end());
  const double range = double{*high} - double{*low};
  Quanta quanta(scores.size(), 0);
  if (range == 0) return quanta;
  const double scale = kLapLevels / range;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    quanta[i] = static_cast<std::int64_t>(std::rint((double{scores[i]} - double{*low}) * scale));
  }
  return quanta;
}

inline bool is_permutation_of_columns(const std::vector<std::int32_t>& column) {
  std::vector<std::int32_t> sorted = column;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i] != static_cast<std::int32_t>(i)) return false;
  }
  return true;
}

inline bool is_identity(const std::vector<std::int32_t>& column) {
  for (std::size_t i = 0; i < column.size(); ++i) {
    if (column[i] != static_cast<std::int32_t>(i)) return false;
  }
  return true;
}

inline std::int64_t value_of(const Quanta& quanta, const std::vector<std::int32_t>& column) {
  std::int64_t value = 0;
  for (std::size_t i = 0; i < column.size(); ++i) {
    value += quanta[i * column.size() + static_cast<std::size_t>(column[i])];
  }
  return value;
}

inline double value_of(const Scores& scores, const std::vector<std::int32_t>& column) {
  double value = 0;
  for (std::size_t i = 0; i < column.size(); ++i) {
    value += double{scores[i * column.size() + static_cast<std::size_t>(column[i])]};
  }
  return value;
}

inline double magnitude_of(const Scores& scores, const std::vector<std::int32_t>& column) {
  double sum = 0;
  for (std::size_t i = 0; i < column.size(); ++i) {
    sum += std::abs(double{scores[i * column.size() + static_cast<std::size_t>(column[i])]});
  }
  return sum;
}

// sum_i max_j (q_ij - price_j) + sum_j price_j: no permutation is worth more.
inline std::int64_t bound_of(const Quanta& quanta, const std::vector<std::int32_t>& price) {
  const std::size_t n = price.size();
  std::int64_t bound = std::accumulate(price.begin(), price.end(), std::int64_t{0});
  for (std::size_t i = 0; i < n; ++i) {
    std::int64_t most = std::numeric_limits<std::int64_t>::min();
    for (std::size_t j = 0; j < n; ++j) most = std::max(most, quanta[i * n + j] - price[j]);
    bound += most;
  }
  return bound;
}

// Everything the header promises, except which of several optima is returned.
inline void check_promises(std::size_t n, const Scores& scores, const Solution& solution) {
  const LapReport& report = solution.report;
  std::vector<std::int32_t> identity(n);
  std::iota(identity.begin(), identity.end(), 0);
  const Quanta quanta = quantise(scores);
  const std::int64_t value = value_of(quanta, solution.column);
  const std::int64_t bound = bound_of(quanta, solution.price);

  REQUIRE(is_permutation_of_columns(solution.column));
  CHECK(report.status == LapStatus::optimal);
  CHECK(report.value_quanta == value);
  CHECK(report.bound_quanta == bound);
  CHECK(report.gap() == bound - value);
  CHECK(bound >= value);
  CHECK(bound - value <= (is_identity(solution.column) ? static_cast<std::int64_t>(n) : 0));
  // Two orders of one sum of n doubles, each off by n u sum |s| at most, u = 2^-53.
  const double rounding = static_cast<double>(2 * n) * 0x1p-53 *
                          (magnitude_of(scores, solution.column) + magnitude_of(scores, identity));
  CHECK(std::abs(report.value - value_of(scores, solution.column)) <= rounding);
  CHECK(std::abs(report.identity_value - value_of(scores, identity)) <= rounding);
  CHECK(report.value >= report.identity_value);
  CHECK(value >= value_of(quanta, identity));
  CHECK(report.paths <= static_cast<std::int64_t>(n));
  // Why no sum overflows (kernels/lap_auction.h).
  CHECK(std::all_of(solution.price.begin(), solution.price.end(),
                    [](std::int32_t price) { return price >= 0 && price < 23 * kLapLevels; }));
  CHECK(report.phases <= 9);
  const auto rows = static_cast<std::int64_t>(n);
  CHECK(report.rounds <= lap::resolved(kDevice, rows, {}).round_cap * report.phases);
  const double most_bids_of_a_row =
      std::max(std::sqrt(rows) / 5, static_cast<double>(report.rounds));
  CHECK(static_cast<double>(report.bids) <= static_cast<double>(rows) * most_bids_of_a_row);
  const std::int64_t steps_of_samples = report.rounds > 0 ? 0 : rows * rows / 6;
  CHECK(report.steps <= report.paths * rows + steps_of_samples);
}

}  // namespace nat::test
