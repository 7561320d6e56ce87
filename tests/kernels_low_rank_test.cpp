// Scores of low rank (kernels/cpu/lap/sampled.cpp): when they are taken for it, and that they are
// solved exactly, in few steps.
#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "kernels/cpu/lap/problem.h"
#include "kernels/lap.h"
#include "kernels/lap_auction.h"
#include "tests/opcases/determinism.h"
#include "tests/opcases/lap_check.h"
#include "tests/opcases/lap_hazards.h"
#include "tests/opcases/lap_instances.h"
#include "tests/reference/lap.h"

namespace nat::test {
namespace {

constexpr LapOptions kJv{LapSolver::jv, 0, 0, 0};

Scores scores_of(const LapInstance& instance, std::size_t n, std::size_t d, std::uint64_t seed) {
  return centred_scores(make_features(instance, n, d, seed), n, d);
}

bool low(std::size_t n, const Scores& scores) {
  return cpu::has_low_rank(scores.data(), static_cast<std::int64_t>(n));
}

// On a line, a target and noise of the same size may add to nothing.
bool exists(const LapInstance& instance, std::size_t d) {
  return d > 1 || instance.character != Character::trained || instance.amount != 1;
}

double deviation(const Scores& scores) {
  double squares = 0;
  for (const float score : scores) squares += double{score} * double{score};
  return std::sqrt(squares / static_cast<double>(scores.size()));
}

TEST_CASE("a rank up to 3 is seen, under noise and whatever is added to rows and columns") {
  constexpr std::size_t n = 200;
  for (const LapInstance& instance : kLapInstances) {
    for (const std::size_t d : {1, 2, 3}) {
      if (!exists(instance, d)) continue;
      CAPTURE(instance.name);
      CAPTURE(d);
      const Scores clean = scores_of(instance, n, d, d);
      CHECK(low(n, clean));
      const Scores noise = scores_of({"", Character::unrelated, 0}, n, 64, 5);
      const double much = 0.02 * deviation(clean) / deviation(noise);
      Scores noisy = clean, shifted = clean;
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
          noisy[i * n + j] += static_cast<float>(much) * noise[i * n + j];
          shifted[i * n + j] += static_cast<float>(i * i % 97) - static_cast<float>(j * 7 % 31);
        }
      }
      CHECK(low(n, noisy));
      if (deviation(clean) > 1e-3) CHECK(low(n, shifted));  // else lost in the rounding of float32
    }
  }
}

TEST_CASE("a rank of 5 and more is not low, at any scale") {
  constexpr std::size_t n = 200;
  for (const std::size_t d : {5, 16, 128}) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      CAPTURE(d);
      CAPTURE(seed);
      const Scores scores = scores_of({"", Character::unrelated, 0}, n, d, seed);
      CHECK_FALSE(low(n, scores));
      for (const float scale : {1e-30f, 1e30f}) {
        Scores scaled = scores;
        for (float& score : scaled) score *= scale;
        CHECK_FALSE(low(n, scaled));
      }
    }
  }
  CHECK_FALSE(low(n, random_scores(n, 1, 1 << 24)));
  CHECK_FALSE(low(7, Scores(49, 0)));  // too few to tell
}

TEST_CASE("scores of low rank are solved with proof in few steps") {
  Context ctx;
  for (const LapInstance& instance : kLapInstances) {
    for (const std::size_t d : {1, 2, 3}) {
      for (const std::size_t n : {128, 129, 255, 256, 511, 640}) {
        if (!exists(instance, d)) continue;
        CAPTURE(instance.name);
        CAPTURE(d);
        CAPTURE(n);
        const Scores scores = scores_of(instance, n, d, n + d);
        const Solution solution = solve(ctx, n, scores, kJv);
        check_promises(n, scores, solution);
        CHECK(solution.report.bound_quanta == solve(ctx, n, scores, kAuction).report.bound_quanta);
        // Measured: at most 12.7 n. From column maxima it is 150 n.
        CHECK(solution.report.steps <= static_cast<std::int64_t>(24 * n));
      }
    }
  }
}

// Equal rows and columns have equal positions, and nothing tells them apart.
TEST_CASE("ties of low rank are solved with proof") {
  Context ctx;
  for (const std::size_t n : {128, 150, 257}) {
    for (int k = 0; k < kLapHazards; ++k) {
      CAPTURE(n);
      CAPTURE(k);
      const Scores scores = hazard_scores(static_cast<LapHazard>(k), n, n);
      const Solution solution = solve(ctx, n, scores, kJv);
      check_promises(n, scores, solution);
      CHECK(solution.report.bound_quanta ==
            reference::best_by_augmenting_paths(n, quantise(scores)));
    }
  }
}

TEST_CASE("the CPU takes samples for low rank by itself, and the auction for large high rank") {
  Context ctx;
  constexpr std::size_t n = kLapAuctionFrom;
  const LapInstance collapsed{"", Character::collapsed, 0.1f};
  const Scores low_rank = scores_of(collapsed, n, 2, 1);
  const Solution solution = solve(ctx, n, low_rank);
  check_promises(n, low_rank, solution);
  CHECK(solution.report.rounds == 0);
  CHECK(solution.report.steps <= 16 * kLapAuctionFrom);
  CHECK(solve(ctx, n, scores_of(collapsed, n, 16, 1)).report.rounds > 0);
}

TEST_CASE("a sample gives the same solution with any number of threads") {
  constexpr std::size_t n = 2048;  // from here on rows are quantised by several threads
  const Scores scores = scores_of({"", Character::clustered, 0.3f}, n, 2, 3);
  const auto solve_with = [&](int threads) {
    Context ctx;
    Solution solution;
    with_threads(threads, [&] { solution = solve(ctx, n, scores, kJv); });
    return solution;
  };
  const Solution one = solve_with(1), three = solve_with(3);
  check_promises(n, scores, one);
  CHECK(one.column == three.column);
  CHECK(one.price == three.price);
  CHECK(one.report == three.report);
}

// Its counts are those of the CPU with the same options.
TEST_CASE("the schedule of CUDA leaves low rank few steps") {
  Context ctx;
  constexpr std::size_t n = 512;
  for (const float noise : {0.1f, 0.001f}) {
    CAPTURE(noise);
    LapOptions options = lap::resolved(Device::cuda, n, {});
    options.solver = LapSolver::auction;
    const Scores scores = scores_of({"", Character::collapsed, noise}, n, 2, 7);
    const Solution solution = solve(ctx, n, scores, options);
    CHECK(solution.report.gap() == 0);
    // Measured: 5 n. With 256 rounds in a phase at most it is 25 n.
    CHECK(solution.report.steps <= static_cast<std::int64_t>(10 * n));
  }
}

}  // namespace
}  // namespace nat::test
