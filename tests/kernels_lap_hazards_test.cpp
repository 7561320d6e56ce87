// Problems that break solvers of the assignment (kernels/lap.h), and the agreement of devices.
// Kernels that run slowly get a sample of them (tests/opcases/device.h).
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/lap.h"
#include "kernels/lap_auction.h"
#include "kernels/recording.h"
#include "tests/opcases/determinism.h"
#include "tests/opcases/lap_check.h"
#include "tests/opcases/lap_hazards.h"
#include "tests/opcases/lap_instances.h"
#include "tests/reference/lap.h"

namespace nat::test {
namespace {

LapHazard hazard(std::size_t k) { return static_cast<LapHazard>(k % kLapHazards); }

TEST_CASE("ten thousand small problems of every hazard match a plain int64 solver") {
  LapTester tester;
  constexpr std::size_t kProblems = 640 * kLapHazards;
  // Not a multiple of the number of hazards.
  const std::size_t stride = kSlowKernels ? 807 : samples_only() ? 83 : 1;
  for (std::size_t k = 0; k < kProblems; k += stride) {
    const std::uint64_t seed = k / kLapHazards;
    const std::size_t n = seed % 34;
    CAPTURE(k);
    const Scores scores = hazard_scores(hazard(k), n, seed);
    const Solution solution = tester.solve(n, scores);
    check_promises(n, scores, solution);
    if (n > 0) {
      CHECK(solution.report.bound_quanta ==
            reference::best_by_augmenting_paths(n, quantise(scores)));
    }
  }
}

TEST_CASE("problems of every hazard around 256 and at 1024 are solved with proof") {
  LapTester tester;
  for (const std::size_t n : {255, 256, 257, 1024}) {
    if (samples_only()) continue;
    for (std::size_t k = 0; k < kLapHazards; ++k) {
      CAPTURE(n);
      CAPTURE(k);
      const Scores scores = hazard_scores(hazard(k), n, n + k);
      check_promises(n, scores, tester.solve(n, scores));
    }
  }
}

TEST_CASE("features of every character are solved with proof and within a bound on steps") {
  LapTester tester;
  for (const LapInstance& instance : kLapInstances) {
    for (const std::size_t n : {31, 33, 255, 256, 257}) {
      if (samples_only() && n != 33) continue;
      if (kSlowKernels && instance.character != Character::clustered) continue;
      const std::size_t d = 64;
      CAPTURE(instance.name);
      CAPTURE(n);
      const Scores scores = centred_scores(make_features(instance, n, d, n), n, d);
      const Solution solution = tester.solve(n, scores);
      check_promises(n, scores, solution);
      // Measured: at most 7.5 n.
      CHECK(solution.report.steps <= static_cast<std::int64_t>(16 * n));
    }
  }
}

TEST_CASE("features of low rank are solved with proof and within a bound on steps") {
  LapTester tester;
  const LapInstance kinds[] = {{"unrelated", Character::unrelated, 0},
                               {"collapsed 1e-3", Character::collapsed, 1e-3f},
                               {"clustered 1e-2", Character::clustered, 1e-2f}};
  for (const LapInstance& instance : kinds) {
    for (const std::size_t d : {1, 2, 8}) {
      const std::size_t n = kSlowKernels ? 15 : samples_only() ? 63 : 255;
      CAPTURE(instance.name);
      CAPTURE(d);
      const Scores scores = centred_scores(make_features(instance, n, d, d), n, d);
      const Solution solution = tester.solve(n, scores);
      check_promises(n, scores, solution);
      // Measured: at most 37 n, by the auction at d = 2, where all points lie on a circle.
      CHECK(solution.report.steps <= static_cast<std::int64_t>(64 * n));
    }
  }
}

TEST_CASE("collapse down to rounding noise, centred or not, is solved with proof") {
  LapTester tester;
  const std::size_t n = kSlowKernels ? 16 : samples_only() ? 64 : 128, d = 32;
  for (const float noise : {1e-2f, 1e-4f, 1e-6f, 1e-7f}) {
    CAPTURE(noise);
    const auto made = make_features({"collapsed", Character::collapsed, noise}, n, d, 8);
    Scores raw(n * n);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        raw[i * n + j] =
            std::inner_product(&made.z[i * d], &made.z[i * d] + d, &made.targets[j * d], 0.0f);
      }
    }
    for (const Scores& scores : {raw, centred_scores(made, n, d)}) {
      const Solution solution = tester.solve(n, scores);
      check_promises(n, scores, solution);
      // Measured: at most 10.3 n, by the auction; 3.4 n by jv.
      CHECK(solution.report.steps <= static_cast<std::int64_t>(16 * n));
    }
  }
}

TEST_CASE("equal rows, equal columns, two levels and repeated blocks are solved with proof") {
  LapTester tester;
  const std::size_t n = kSlowKernels ? 16 : samples_only() ? 48 : 96;
  const auto made = [&](auto score) {
    Scores scores(n * n);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) scores[i * n + j] = static_cast<float>(score(i, j));
    }
    return scores;
  };
  const Scores base = random_scores(n, 9, 1u << 24);
  const Scores hazards[] = {
      made([&](std::size_t, std::size_t j) { return base[j]; }),
      made([&](std::size_t i, std::size_t) { return base[i * n]; }),
      made([&](std::size_t i, std::size_t j) { return base[i / 16 * n + j]; }),
      made([&](std::size_t i, std::size_t j) { return base[i * n + j / 16]; }),
      made([&](std::size_t i, std::size_t j) { return base[i / 4 * n + j / 4]; }),
      made([n](std::size_t i, std::size_t j) { return i + j < n ? 1 : 0; }),
      made([](std::size_t i, std::size_t j) { return (i * j) % 7 == 0 ? 1 : 0; }),
      made([](std::size_t i, std::size_t j) { return (i + 1) * (j + 1); }),
      made([](std::size_t i, std::size_t j) { return -static_cast<double>((i + 1) * (j + 1)); }),
  };
  for (const Scores& scores : hazards) {
    const Solution solution = tester.solve(n, scores);
    check_promises(n, scores, solution);
    CHECK(solution.report.bound_quanta == reference::best_by_augmenting_paths(n, quantise(scores)));
  }
}

TEST_CASE("the widest and the narrowest ranges of float32 are solved with proof") {
  LapTester tester;
  const std::size_t n = 20;
  const float largest = std::numeric_limits<float>::max();
  const float tiniest = std::numeric_limits<float>::denorm_min();
  Scores wide = random_scores(n, 10, 1000);
  for (float& score : wide) score = (score / 1000 - 0.5f) * largest;
  wide[0] = largest;
  wide[n + 3] = -largest;
  Scores narrow = random_scores(n, 11, 5);
  for (float& score : narrow) score *= tiniest;
  Scores geometric(n * n);
  for (std::size_t i = 0; i < geometric.size(); ++i) {
    geometric[i] = std::ldexp(1.0f, static_cast<int>(i * 37 % 250) - 125);
  }
  for (const Scores& scores : {wide, narrow, geometric}) {
    check_promises(n, scores, tester.solve(n, scores));
  }
}

// ---- counts -------------------------------------------------------------------------------------

TEST_CASE("the counts of fixed problems are what they were") {
  // Integer problems, so that they are the same on every machine. A change of the solver that
  // changes these numbers is to change them knowingly.
  struct Counts {
    std::size_t n;
    std::uint32_t levels;
    std::int64_t rounds, bids, paths, steps;
  };
  Context ctx(kDevice);
  for (const Counts& expected :
       {Counts{100, 1u << 24, 67, 999, 1, 35}, Counts{100, 10, 81, 2504, 52, 1208},
        Counts{512, 1u << 24, 63, 6410, 12, 1638}}) {
    if ((samples_only() && expected.n > 100) || kSlowKernels) continue;
    CAPTURE(expected.n);
    CAPTURE(expected.levels);
    const LapReport report =
        solve(ctx, expected.n, random_scores(expected.n, 1, expected.levels),
              lap::resolved(Device::cpu, static_cast<std::int64_t>(expected.n), kAuction))
            .report;
    CHECK(report.rounds == expected.rounds);
    CHECK(report.bids == expected.bids);
    CHECK(report.paths == expected.paths);
    CHECK(report.steps == expected.steps);
  }
}

TEST_CASE("options change the way but never the value") {
  const std::size_t n = kSlowKernels ? 20 : 70;
  const Scores scores = random_scores(n, 20, 1000);
  Context ctx(kDevice);
  const std::int64_t value = solve(ctx, n, scores, kAuction).report.value_quanta;
  for (const LapOptions& options :
       {LapOptions{LapSolver::auction, 2, 0, 0}, LapOptions{LapSolver::auction, 1000000, 0, 0},
        LapOptions{LapSolver::auction, 0, 1, 0}, LapOptions{LapSolver::auction, 0, 1000000, 0},
        LapOptions{LapSolver::auction, 0, 0, 1}, LapOptions{LapSolver::auction, 0, 0, 1000},
        LapOptions{LapSolver::auction, 0, 0, 0, 1},
        LapOptions{LapSolver::auction, 2, 1000000, 1000000, kLapLevels}}) {
    CAPTURE(options.alpha);
    CAPTURE(options.cut_div);
    CAPTURE(options.round_cap);
    CAPTURE(options.finest_div);
    const Solution solution = solve(ctx, n, scores, options);
    CHECK(is_permutation_of_columns(solution.column));
    CHECK(solution.report.value_quanta == value);
    CHECK(solution.report.gap() == 0);
    CHECK(bound_of(quantise(scores), solution.price) == value);
  }
}

// ---- devices, threads, batches ------------------------------------------------------------------

void check_same(const Solution& actual, const Solution& expected) {
  CHECK(actual.column == expected.column);
  CHECK(actual.price == expected.price);
  CHECK(actual.report == expected.report);
}

// With the options that the device chooses.
Solution solve_on_one_cpu_thread(std::size_t n, const Scores& scores) {
  Context ctx;
  Solution solution;
  const LapOptions options = lap::resolved(kDevice, static_cast<std::int64_t>(n), kAuction);
  with_threads(1, [&] { solution = solve(ctx, n, scores, options); });
  return solution;
}

// What every crew of the device finds is what the CPU finds.
void check_every_crew(std::size_t n, const Scores& scores, int shared_kib = 0) {
  CAPTURE(n);
  Context ctx(kDevice);
  const Solution expected = solve_on_one_cpu_thread(n, scores);
  for (const LapCrew crew : crews()) {
    CAPTURE(static_cast<int>(crew));
    LapOptions options = auction_by(crew);
    options.shared_kib = shared_kib;
    check_same(solve(ctx, n, scores, options), expected);
  }
}

TEST_CASE("the auction is the same bit for bit on every device, by every crew and any threads") {
  for (std::size_t k = 0; k < kLapHazards; ++k) {
    for (const std::size_t n : {2, 31, 33, 64, 600}) {
      if (n == 600 && samples_only()) continue;
      if (kSlowKernels && (n != 33 || k % 5 != 0)) continue;
      CAPTURE(k);
      check_every_crew(n, hazard_scores(hazard(k), n, 100 * n + k));
    }
  }
  // At 1030 a block has more columns than threads.
  for (const std::size_t n : {0, 1, 70, 257, 1030}) {
    if (n > 1 && kSlowKernels) continue;
    check_every_crew(n, random_scores(n, n, 1u << 24));
  }
}

TEST_CASE("the crew that a size gets by itself finds the same") {
  Context ctx(kDevice);
  // Of a cluster that has the scores: one, two and four chunks of columns to a row, eight and
  // sixteen blocks.
  for (const std::size_t n : {256, 257, 600, 1024, 1030, 2048, 2049}) {
    if (samples_only() && (kSlowKernels || (n != 257 && n != 600))) continue;
    CAPTURE(n);
    const Scores scores = random_scores(n, n, 1u << 24);
    check_same(solve(ctx, n, scores, kAuction), solve_on_one_cpu_thread(n, scores));
  }
}

#if defined(NAT_TEST_SIMT)
TEST_CASE("a device without room for sixteen blocks takes eight as far as they go, then a grid") {
  if (kSlowKernels) return;
  const simt::Options before = simt::options();
  simt::options().largest_cluster = 8;
  Context ctx(kDevice);
  for (const std::size_t n : {300, 600, 740}) {
    const Scores scores = random_scores(n, n, 1u << 24);
    check_same(solve(ctx, n, scores, kAuction), solve_on_one_cpu_thread(n, scores));
  }
  simt::options() = before;
}

TEST_CASE("without clusters, in the device or in its code, that crew is refused and not chosen") {
  const simt::Options before = simt::options();
  const std::size_t n = 40;
  const Scores scores = random_scores(n, 1, 50);
  const auto check_without = [&] {
    Context ctx(kDevice);
    CHECK_THROWS_AS(solve(ctx, n, scores, auction_by(LapCrew::cluster)), Error);
    check_same(solve(ctx, n, scores, kAuction), solve_on_one_cpu_thread(n, scores));
    simt::options() = before;
  };
  simt::options().clusters = false;
  check_without();
  simt::options().compiled_for = 80;  // a build for older devices
  check_without();
}
#endif

// Scores lie in the shared memory of a block in three bytes each where a row does not hold both the
// lowest and the highest of 2^24 + 1 levels (docs/decisions/0011-scores-in-shared-memory.md).
TEST_CASE("the lowest and the highest score in one row or in two are solved alike by every crew") {
  for (const std::size_t n : {2, 3, 7, 8, 9, 17, 33, 255, 256, 300}) {
    if (kSlowKernels && n > 33) continue;
    for (const bool in_one_row : {false, true}) {
      CAPTURE(in_one_row);
      Scores scores = random_scores(n, n, kLapLevels);
      for (std::size_t i = 0; i < n; ++i) scores[i * n + i] = static_cast<float>(i);  // not optimal
      scores[n - 1] = kLapLevels;
      scores[0] = in_one_row ? 0 : 1;
      scores[n] = 0;
      check_every_crew(n, scores);
    }
  }
}

// Without the option the vectors of 16,384 rows do not fit on any device, and of 32,768 rows not
// even two of them.
TEST_CASE("what fits into shared memory changes nothing") {
  // What lies there: tests/simt/packed_scores_test.cpp.
  for (const int kib : {5, 6, 7, 9}) {
    for (const std::size_t n : {30, 40, 300}) {
      if (n == 300 && kSlowKernels) continue;
      CAPTURE(kib);
      check_every_crew(n, random_scores(n, n, 1000), kib);
    }
  }
}

TEST_CASE("NaN and infinity are refused alike on every device") {
  Context ctx(kDevice);
  Scores scores = random_scores(40, 21, 1000);
  scores[777] = std::numeric_limits<float>::quiet_NaN();
  const Solution solution = solve(ctx, 40, scores, kAuction);
  CHECK(solution.report.status == LapStatus::bad_input);
  check_same(solution, solve_on_one_cpu_thread(40, scores));
}

TEST_CASE("a batch of problems gives what each gives alone") {
  LapTester tester;
  const std::size_t n = 21, problems = kSlowKernels ? 4 : 2 * kLapHazards;
  Scores all;
  for (std::size_t k = 0; k < problems; ++k) {
    const Scores scores = hazard_scores(hazard(k), n, k);
    all.insert(all.end(), scores.begin(), scores.end());
  }
  const std::vector<Solution> together = solve_batch(tester.ctx, problems, n, all, tester.options);
  for (std::size_t k = 0; k < problems; ++k) {
    CAPTURE(k);
    check_same(together[k], tester.solve(n, Scores(&all[k * n * n], &all[k * n * n] + n * n)));
  }
}

TEST_CASE("a recorded solution follows the scores") {
  LapTester tester;
  Context& ctx = tester.ctx;
  const std::size_t n = 37;
  const Shape square(37, 37);
  const Buffer input(ctx.device, n * n * sizeof(float), "scores");
  const Buffer report(ctx.device, sizeof(LapReport), "report");
  const View scores(input.data(), DType::f32, square);
  Guarded column(ctx, n), price(ctx, n);
  Recording recording;
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    const Scores values = random_scores(n, seed, 50);
    upload(ctx, values, scores);
    recording.run(ctx, [&] {
      lap_solve(ctx, tester.options, scores, column.view(), price.view(), report.as<LapReport>());
    });
    CHECK(column.read(ctx) == tester.solve(n, values).column);
  }
}

}  // namespace
}  // namespace nat::test
