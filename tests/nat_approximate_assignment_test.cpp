// The yardsticks of the exact assignment (nat/approximate_assignment.h).
#include "nat/approximate_assignment.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/random.h"
#include "tests/reference/lap.h"

namespace nat::test {
namespace {

using Scores = std::vector<float>;  // (n, n)

// `levels` different values in [-1, 1).
Scores random_scores(std::size_t n, std::uint64_t seed, std::uint32_t levels) {
  Scores scores(n * n);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const std::uint32_t word = philox(seed, RandomStream::synthetic, 0, i).value[0] % levels;
    scores[i] = 2 * static_cast<float>(word) / static_cast<float>(levels) - 1;
  }
  return scores;
}

struct Solution {
  std::vector<std::int32_t> column;
  LapReport report;
};

using Solve = void(Context&, ConstView, View, LapReport*);

Solution solve(Solve* solver, std::size_t n, const Scores& scores) {
  Context ctx;
  const auto size = static_cast<std::int64_t>(n);
  Solution solution{std::vector<std::int32_t>(n, -1), {}};
  solver(ctx, ConstView(scores.data(), DType::f32, Shape(size, size)),
         View(solution.column.data(), DType::i32, Shape(size)), &solution.report);
  return solution;
}

double value_of(const Scores& scores, const std::vector<std::int32_t>& column) {
  double value = 0;
  for (std::size_t i = 0; i < column.size(); ++i) {
    value += double{scores[i * column.size() + static_cast<std::size_t>(column[i])]};
  }
  return value;
}

std::vector<std::int32_t> identity(std::size_t n) {
  std::vector<std::int32_t> column(n);
  std::iota(column.begin(), column.end(), 0);
  return column;
}

// By sorting all entries.
template <class T>
std::vector<std::int32_t> greedy_by_sorting(std::size_t n, const std::vector<T>& entries) {
  std::vector<std::size_t> order(n * n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return entries[a] > entries[b]; });
  std::vector<std::int32_t> column(n, -1);
  std::vector<bool> taken(n, false);
  for (const std::size_t at : order) {
    if (column[at / n] >= 0 || taken[at % n]) continue;
    column[at / n] = static_cast<std::int32_t>(at % n);
    taken[at % n] = true;
  }
  return column;
}

// exp(scores / T), rows and columns divided by their sums 30 times.
std::vector<double> scaled_by_turns(std::size_t n, const Scores& scores) {
  const auto [low, high] = std::minmax_element(scores.begin(), scores.end());
  const double temperature = (double{*high} - double{*low}) / 50;
  std::vector<double> scaled(n * n);
  for (std::size_t i = 0; i < scaled.size(); ++i) scaled[i] = std::exp(scores[i] / temperature);
  const auto divide = [&](std::size_t line, std::size_t step, std::size_t next) {
    double sum = 0;
    for (std::size_t k = 0; k < n; ++k) sum += scaled[line * next + k * step];
    for (std::size_t k = 0; k < n; ++k) scaled[line * next + k * step] /= sum;
  };
  for (int turn = 0; turn < 30; ++turn) {
    for (std::size_t i = 0; i < n; ++i) divide(i, 1, n);
    for (std::size_t j = 0; j < n; ++j) divide(j, n, 1);
  }
  return scaled;
}

// In steps of 2^-30.
double optimum(std::size_t n, const Scores& scores) {
  std::vector<std::int64_t> quanta;
  for (const float score : scores) quanta.push_back(std::llround(double{score} * 0x1p30));
  return static_cast<double>(reference::best_by_augmenting_paths(n, quanta)) * 0x1p-30;
}

void check_promises(std::size_t n, const Scores& scores, const Solution& solution) {
  std::vector<std::int32_t> sorted = solution.column;
  std::sort(sorted.begin(), sorted.end());
  REQUIRE(sorted == identity(n));
  const double value = value_of(scores, solution.column), best = optimum(n, scores);
  const LapReport& report = solution.report;
  CHECK(report.value == doctest::Approx(value).epsilon(1e-12));
  CHECK(value >= value_of(scores, identity(n)));
  CHECK(value <= best + 1e-6);
  // The bound holds: no permutation is worth more, and the gap is at least what was lost.
  const double loss = best - value;
  CHECK(static_cast<double>(report.gap()) * report.quantum >= loss - 1e-6);
  // Quanta are rounded so that the gap is not made smaller.
  const double lowest =
      static_cast<double>(n) * double{*std::min_element(scores.begin(), scores.end())};
  CHECK(lowest + static_cast<double>(report.value_quanta) * report.quantum <= value + 1e-12);
}

TEST_CASE("greedy takes scores in the order of their size, ties by row and column") {
  for (const std::size_t n : {1, 2, 5, 16, 33, 100}) {
    for (const std::uint32_t levels : {2u, 5u, 1u << 20}) {
      CAPTURE(n);
      CAPTURE(levels);
      const Scores scores = random_scores(n, n, levels);
      const Solution solution = solve(assign_greedily, n, scores);
      check_promises(n, scores, solution);
      const std::vector<std::int32_t> expected = greedy_by_sorting(n, scores);
      const bool better = value_of(scores, expected) > value_of(scores, identity(n));
      CHECK(solution.column == (better ? expected : identity(n)));
    }
  }
}

TEST_CASE("bids count the scans: one a row, and one more whenever a row's column was gone") {
  CHECK(solve(assign_greedily, 2, {3, 1, 0, 2}).report.bids == 2);
  CHECK(solve(assign_greedily, 2, {2, 1, 3, 0}).report.bids == 3);
  // All rows want the first column. The last one gets it, and the others look once more.
  CHECK(solve(assign_greedily, 3, {6, 5, 4, 60, 50, 40, 600, 500, 400}).report.bids == 3 + 2);
}

TEST_CASE("sinkhorn takes the entries of the scaled matrix in the order of their size") {
  for (const std::size_t n : {2, 5, 16, 33, 100}) {
    for (const std::uint64_t seed : {1u, 2u, 3u}) {
      CAPTURE(n);
      CAPTURE(seed);
      const Scores scores = random_scores(n, seed, 1u << 20);
      const std::vector<std::int32_t> expected = greedy_by_sorting(n, scaled_by_turns(n, scores));
      const bool better = value_of(scores, expected) > value_of(scores, identity(n));
      CHECK(solve(assign_by_sinkhorn, n, scores).column == (better ? expected : identity(n)));
    }
  }
}

// On average: of a single problem the rounding may lose more than greedy does.
TEST_CASE("sinkhorn's prices come close to the optimum, and its bound closer than greedy's") {
  const std::size_t n = 100;
  double greedy_value = 0, value = 0, best = 0;
  std::int64_t greedy_gap = 0, gap = 0;
  constexpr std::uint64_t kProblems = 20;
  for (std::uint64_t seed = 1; seed <= kProblems; ++seed) {
    const Scores scores = random_scores(n, seed, 1u << 20);
    const Solution greedy = solve(assign_greedily, n, scores);
    const Solution sinkhorn = solve(assign_by_sinkhorn, n, scores);
    check_promises(n, scores, sinkhorn);
    greedy_value += greedy.report.value;
    value += sinkhorn.report.value;
    best += optimum(n, scores);
    greedy_gap += greedy.report.gap();
    gap += sinkhorn.report.gap();
  }
  CHECK(value > greedy_value);
  CHECK(value > best - 0.05 * static_cast<double>(kProblems * n));
  CHECK(gap < greedy_gap);
}

TEST_CASE("sinkhorn solves problems of every size and range") {
  for (const std::size_t n : {1, 2, 3, 17, 64}) {
    for (const float scale : {1e-30f, 1.0f, 1e30f}) {
      CAPTURE(n);
      CAPTURE(scale);
      Scores scores = random_scores(n, n, 100);
      const Solution plain = solve(assign_by_sinkhorn, n, scores);
      check_promises(n, scores, plain);
      for (float& score : scores) score *= scale;
      const Solution scaled = solve(assign_by_sinkhorn, n, scores);
      CHECK(value_of(scores, scaled.column) ==
            doctest::Approx(double{scale} * plain.report.value).epsilon(0.02));
    }
  }
}

TEST_CASE("the identity stays where nothing better is found") {
  const std::size_t n = 20;
  Scores scores = random_scores(n, 9, 1000);
  for (std::size_t i = 0; i < n; ++i) scores[i * n + i] = 2;
  for (Solve* solver : {assign_greedily, assign_by_sinkhorn}) {
    CHECK(solve(solver, n, scores).column == identity(n));
    CHECK(solve(solver, n, Scores(n * n, 0.5f)).column == identity(n));
    // Greedy takes the 3 first and then has to take the -9: 0 is better.
    CHECK(solve(solver, 2, {0, 3, -9, 0}).column == identity(2));
  }
}

TEST_CASE("scores that are not finite keep the identity") {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Scores scores = random_scores(6, 10, 100);
    scores[20] = bad;
    for (Solve* solver : {assign_greedily, assign_by_sinkhorn}) {
      const Solution solution = solve(solver, 6, scores);
      CHECK(solution.report.status == LapStatus::bad_input);
      CHECK(solution.column == identity(6));
      CHECK(solution.report.gap() == 0);
    }
  }
}

}  // namespace
}  // namespace nat::test
