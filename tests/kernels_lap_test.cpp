// The exact assignment (kernels/lap.h).
#include "kernels/lap.h"

#include <doctest/doctest.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <numeric>
#include <sstream>
#include <string>
#include <vector>

#include "tests/opcases/determinism.h"
#include "tests/opcases/lap_check.h"
#include "tests/opcases/lap_instances.h"
#include "tests/opcases/tensor.h"
#include "tests/reference/lap.h"

namespace nat::test {
namespace {

// ---- against exhaustive search and a second solver ----------------------------------------------

TEST_CASE("every 1x1, 2x2 and 3x3 matrix of zeros, ones and twos is solved") {
  LapTester tester;
  for (std::size_t n = 1; n <= 3; ++n) {
    std::size_t count = 1;
    for (std::size_t i = 0; i < n * n; ++i) count *= 3;
    const std::size_t stride = samples_only() ? 31 : 1;
    Scores all;
    std::vector<std::int64_t> best;
    for (std::size_t code = 0; code < count; code += stride) {
      Quanta exact(n * n);
      std::size_t digits = code;
      for (std::int64_t& value : exact) {
        value = static_cast<std::int64_t>(digits % 3);
        digits /= 3;
        all.push_back(static_cast<float>(value));
      }
      best.push_back(reference::best_by_enumeration(n, exact));
    }
    const std::vector<Solution> solutions =
        solve_batch(tester.ctx, best.size(), n, all, tester.options);
    std::size_t wrong = 0;
    for (std::size_t k = 0; k < best.size(); ++k) {
      const Solution& solution = solutions[k];
      const Scores scores(&all[k * n * n], &all[k * n * n] + n * n);
      const auto value = static_cast<double>(best[k]);
      if (!is_permutation_of_columns(solution.column) || solution.report.value != value ||
          value_of(scores, solution.column) != value || solution.report.gap() != 0) {
        ++wrong;
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("random matrices up to 7x7, with and without ties, match the best of all permutations") {
  LapTester tester;
  for (std::size_t n = 4; n <= 7; ++n) {
    for (const std::uint32_t levels : {2u, 4u, 10u, 1u << 24}) {
      for (std::uint64_t seed = 0; seed < 12; ++seed) {
        CAPTURE(n);
        CAPTURE(levels);
        CAPTURE(seed);
        const Scores scores = random_scores(n, 100 * n + seed, levels);
        const Solution solution = tester.solve(n, scores);
        check_promises(n, scores, solution);
        CHECK(solution.report.bound_quanta == reference::best_by_enumeration(n, quantise(scores)));
      }
    }
  }
}

TEST_CASE("sizes around the vector width match a plain int64 solver") {
  LapTester tester;
  for (const std::size_t n : {2, 3, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 130}) {
    if (samples_only() && n > 33) continue;
    for (const std::uint32_t levels : {3u, 100u, 1u << 24}) {
      CAPTURE(n);
      CAPTURE(levels);
      const Scores scores = random_scores(n, n, levels);
      const Solution solution = tester.solve(n, scores);
      check_promises(n, scores, solution);
      CHECK(solution.report.bound_quanta ==
            reference::best_by_augmenting_paths(n, quantise(scores)));
    }
  }
}

TEST_CASE("nothing and one are assigned to themselves") {
  LapTester tester;
  const Solution nothing = tester.solve(0, {});
  CHECK(nothing.report.status == LapStatus::optimal);
  CHECK(nothing.report.value == 0);

  const Solution one = tester.solve(1, {-2.5f});
  CHECK(one.column == std::vector<std::int32_t>{0});
  CHECK(one.report.value == -2.5);
  CHECK(one.report.gap() == 0);
}

// ---- public instances, minimisation problems ----------------------------------------------------

const std::filesystem::path kPublicData =
    std::filesystem::path(NAT_SOURCE_DIR) / ".." / "shared" / "data";

TEST_CASE("the OR-Library problems assign100 to assign800 reach their published optima") {
  const std::filesystem::path folder = kPublicData / "orlib-assign";
  if (!std::filesystem::exists(folder)) {
    MESSAGE("skipped: no OR-Library files beside the source tree");
    return;
  }
  LapTester tester;
  const std::int64_t optima[] = {305, 475, 626, 804, 991, 1176, 1362, 1552};
  for (std::size_t k = 0; k < (samples_only() ? 1 : 8); ++k) {
    const std::size_t hundreds = 100 * (k + 1);
    CAPTURE(hundreds);
    std::ifstream file(folder / ("assign" + std::to_string(hundreds) + ".txt"));
    std::size_t n = 0;
    file >> n;
    REQUIRE(n == hundreds);
    Scores scores(n * n);
    for (float& score : scores) {
      double cost = 0;
      file >> cost;
      score = static_cast<float>(-cost);
    }
    REQUIRE(!file.fail());
    const Solution solution = tester.solve(n, scores);
    check_promises(n, scores, solution);
    CHECK(solution.report.value == static_cast<double>(-optima[k]));
  }
}

std::string read_gzip(const std::filesystem::path& path) {
  std::string text;
  const gzFile file = gzopen(path.c_str(), "rb");
  REQUIRE(file != nullptr);
  char chunk[1 << 16];
  for (int got = 0; (got = gzread(file, chunk, sizeof chunk)) > 0;) {
    text.append(chunk, static_cast<std::size_t>(got));
  }
  gzclose(file);
  return text;
}

TEST_CASE("a public 368x368 problem of near ties reaches its published optimum") {
  LapTester tester;
  const std::filesystem::path path = kPublicData / "lap-eps-368" / "cost_eps.csv.gz";
  if (!std::filesystem::exists(path)) {
    MESSAGE("skipped: no lap-eps-368 beside the source tree");
    return;
  }
  std::string text = read_gzip(path);
  std::replace(text.begin(), text.end(), ',', ' ');
  std::istringstream numbers(text);
  std::vector<double> costs;
  for (double cost = 0; numbers >> cost;) costs.push_back(cost);
  const std::size_t n = 368;
  REQUIRE(costs.size() == n * n);
  Scores scores(n * n);
  std::transform(costs.begin(), costs.end(), scores.begin(),
                 [](double cost) { return static_cast<float>(-cost); });

  const Solution solution = tester.solve(n, scores);
  check_promises(n, scores, solution);
  double cost = 0, largest = 0;
  for (std::size_t i = 0; i < n; ++i) {
    cost += costs[i * n + static_cast<std::size_t>(solution.column[i])];
  }
  for (const double value : costs) largest = std::max(largest, std::abs(value));
  // Each score is off by at most half a float32 step and half a quantum, in the result and in the
  // true optimum.
  const double off = largest * 0x1p-24 + solution.report.quantum / 2;
  CHECK(cost - 224.8899507294651 <= 2 * static_cast<double>(n) * off);
  CHECK(cost - 224.8899507294651 >= -1e-12 * static_cast<double>(n));
}

// ---- what must not matter -----------------------------------------------------------------------

TEST_CASE("constants added to rows and columns leave the optimum where it is") {
  LapTester tester;
  const std::size_t n = 60;
  const Scores scores = random_scores(n, 1, 1000);
  Scores shifted = scores;
  double added = 0;
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      shifted[i * n + j] += static_cast<float>(37 * i % 101) - static_cast<float>(53 * j % 211);
    }
    added += static_cast<double>(37 * i % 101) - static_cast<double>(53 * i % 211);
  }
  // All numbers are integers, and n quanta are less than 1: the optimum is found exactly.
  const Solution plain = tester.solve(n, scores), other = tester.solve(n, shifted);
  check_promises(n, shifted, other);
  CHECK(other.report.value == plain.report.value + added);
  CHECK(value_of(scores, other.column) == plain.report.value);
}

TEST_CASE("scaling by a power of two changes neither permutation nor prices") {
  LapTester tester;
  const std::size_t n = 70;
  const Scores scores = random_scores(n, 2, 1u << 20);
  const Solution plain = tester.solve(n, scores);
  for (const int power : {-140, -30, -1, 1, 30, 100}) {
    CAPTURE(power);
    Scores scaled = scores;
    for (float& score : scaled) score = std::ldexp(score, power);
    const Solution other = tester.solve(n, scaled);
    CHECK(other.column == plain.column);
    CHECK(other.price == plain.price);
    CHECK(other.report.value == std::ldexp(plain.report.value, power));
  }
}

TEST_CASE("transposing and renumbering rows and columns leave the value") {
  LapTester tester;
  const std::size_t n = 75;
  const Scores scores = random_scores(n, 3, 1u << 24);
  const std::int64_t value = tester.solve(n, scores).report.value_quanta;
  Scores transposed(n * n), renumbered(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      transposed[j * n + i] = scores[i * n + j];
      renumbered[(i * 7 + 3) % n * n + (j * 11 + 5) % n] = scores[i * n + j];
    }
  }
  CHECK(tester.solve(n, transposed).report.value_quanta == value);
  CHECK(tester.solve(n, renumbered).report.value_quanta == value);
}

TEST_CASE("maximising the negative minimises") {
  LapTester tester;
  const std::size_t n = 40;
  Scores costs = random_scores(n, 4, 500);
  Quanta negative(n * n);
  for (std::size_t i = 0; i < costs.size(); ++i) {
    negative[i] = -static_cast<std::int64_t>(costs[i]);
    costs[i] = -costs[i];
  }
  CHECK(tester.solve(n, costs).report.value ==
        static_cast<double>(reference::best_by_augmenting_paths(n, negative)));
}

TEST_CASE("solutions of one problem are one solution, with any number of threads") {
  const std::size_t n = 64;
  const Scores scores = random_scores(n, 5, 8);  // many optima
  LapTester tester;
  const Solution first = tester.solve(n, scores);
  for (int repeat = 0; repeat < (samples_only() ? 2 : 100); ++repeat) {
    with_threads(1 + repeat % 2, [&] {
      const Solution again = tester.solve(n, scores);
      CHECK(again.column == first.column);
      CHECK(again.price == first.price);
      CHECK(again.report.steps == first.report.steps);
    });
  }
}

TEST_CASE("solving again borrows no more memory") {
  LapTester tester;
  const Scores scores = random_scores(50, 6, 1000);
  tester.solve(50, scores);
  const std::size_t borrowed = tester.ctx.scratch.high_water();
  tester.solve(50, scores);
  tester.solve(20, random_scores(20, 7, 1000));
  CHECK(tester.ctx.scratch.high_water() == borrowed);
}

// ---- the current assignment ---------------------------------------------------------------------

TEST_CASE("the identity is kept when every permutation is as good") {
  LapTester tester;
  for (const std::size_t n : {2, 3, 31, 100}) {
    CAPTURE(n);
    for (const float constant : {0.0f, 0.1f, -3e38f}) {
      const Solution solution = tester.solve(n, Scores(n * n, constant));
      check_promises(n, Scores(n * n, constant), solution);
      CHECK(is_identity(solution.column));
      CHECK(solution.report.steps == 0);
    }
    // Row and column constants: rounding to quanta prefers some permutations, but none is better.
    Scores sums(n * n), rows(n * n);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        sums[i * n + j] = static_cast<float>(17 * i % 23 + 29 * j % 31);
        rows[i * n + j] = static_cast<float>(13 * j % 37);
      }
    }
    for (const Scores& scores : {sums, rows}) {
      const Solution solution = tester.solve(n, scores);
      check_promises(n, scores, solution);
      CHECK(is_identity(solution.column));
    }
  }
}

TEST_CASE("the identity is kept when it is one of several optima") {
  LapTester tester;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const std::size_t n = 24;
    Scores scores = random_scores(n, 40 + seed, 3);
    for (std::size_t i = 0; i < n; ++i) scores[i * n + i] = 2;  // nothing is larger
    CHECK(is_identity(tester.solve(n, scores).column));
    // Nor is it given up for what is less than a quantum, which one large score makes 1.
    for (std::size_t at = 0; at < n * n; ++at) {
      if (at % (n + 1) != 0) scores[at] += 0.25f;
    }
    scores[1] = 0;
    scores[n * n - 1] = kLapLevels;
    const Solution solution = tester.solve(n, scores);
    CHECK(solution.report.quantum == 1);
    CHECK(solution.report.gap() == 0);
    CHECK(is_identity(solution.column));
  }
}

TEST_CASE("the identity is kept where only the rounding to quanta prefers another permutation") {
  LapTester tester;
  // One quantum is 1. In each 2x2 block the identity is worth 20.98 and the exchange 20.91, which
  // round to 20 and 21.
  const std::size_t blocks = 4, n = 2 * blocks + 1;
  Scores scores(n * n, 0);
  for (std::size_t i = 0; i < 2 * blocks; i += 2) {
    scores[i * n + i] = scores[(i + 1) * n + i + 1] = 10.49f;
    scores[i * n + i + 1] = 10.51f;
    scores[(i + 1) * n + i] = 10.4f;
  }
  scores[n * n - 1] = kLapLevels;
  const Solution solution = tester.solve(n, scores);
  check_promises(n, scores, solution);
  CHECK(is_identity(solution.column));
  CHECK(solution.report.quantum == 1);
  CHECK(solution.report.gap() == static_cast<std::int64_t>(blocks));
}

// ---- bad input ----------------------------------------------------------------------------------

TEST_CASE("NaN or infinity anywhere is refused with the identity") {
  LapTester tester;
  const std::size_t n = 19;
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{200}, n * n - 1}) {
      Scores scores = random_scores(n, 12, 1000);
      scores[at] = bad;
      const Solution solution = tester.solve(n, scores);
      CHECK(solution.report.status == LapStatus::bad_input);
      CHECK(is_identity(solution.column));
      CHECK(solution.price == std::vector<std::int32_t>(n, 0));
      CHECK(solution.report.value == 0);
    }
  }
}

TEST_CASE("matrices that are not square or not f32, and results of another size, are refused") {
  Context ctx(kDevice);
  LapReport report;
  Tensor scores(Shape(4, 4), DType::f32), wide(Shape(4, 5), DType::f32),
      f64(Shape(4, 4), DType::f64), tall(Shape(8, 4), DType::f32);
  Tensor four(Shape(4), DType::i32), five(Shape(5), DType::i32), real(Shape(4), DType::f32);
  const auto attempt = [&](Tensor& s, Tensor& column, Tensor& price, LapOptions options = {}) {
    lap_solve(ctx, options, s.view(), column.view(), price.view(), &report);
  };
  CHECK_THROWS_AS(attempt(wide, four, four), Error);
  CHECK_THROWS_AS(attempt(tall, four, four), Error);
  CHECK_THROWS_AS(attempt(f64, four, four), Error);
  CHECK_THROWS_AS(attempt(scores, five, four), Error);
  CHECK_THROWS_AS(attempt(scores, four, five), Error);
  CHECK_THROWS_AS(attempt(scores, real, four), Error);
  CHECK_THROWS_AS(attempt(scores, four, four, {LapSolver::auction, 1, 0, 0}), Error);
  CHECK_THROWS_AS(attempt(scores, four, four, {LapSolver::auction, 0, -1, 0}), Error);
  CHECK_THROWS_AS(attempt(scores, four, four, {LapSolver::auction, 0, 0, -1}), Error);
  CHECK_THROWS_AS(attempt(scores, four, four, {LapSolver::auction, 0, 0, 0, -1}), Error);
  CHECK_THROWS_AS(attempt(scores, four, four, {LapSolver::auction, 0, 0, 0, kLapLevels + 1}),
                  Error);
  CHECK_THROWS_AS(lap_solve(ctx, LapOptions{}, scores.view(), four.view(), four.view(), nullptr),
                  Error);
  CHECK_THROWS_AS(
      lap_solve_batch(ctx, LapOptions{}, wide.view(), four.view(), four.view(), &report), Error);
  CHECK_THROWS_AS(attempt(scores, four, four, {.shared_kib = -1}), Error);
  if (!kOnCuda) return;
  CHECK_THROWS_AS(attempt(scores, four, four, {LapSolver::jv, 0, 0, 0}), Error);
  LapOptions grid;
  grid.crew = LapCrew::grid;
  CHECK_THROWS_AS(lap_solve_batch(ctx, grid, scores.view(), four.view(), four.view(), &report),
                  Error);
}

}  // namespace
}  // namespace nat::test
