// Rows of equal scores (kernels/cpu/lap/twins.cpp): that they are found, and that crowds of them
// are solved exactly, in few steps.
#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "kernels/cpu/lap/problem.h"
#include "kernels/lap.h"
#include "tests/opcases/lap_check.h"
#include "tests/opcases/lap_hazards.h"
#include "tests/opcases/lap_instances.h"
#include "tests/reference/lap.h"

namespace nat::test {
namespace {

constexpr LapOptions kJv{LapSolver::jv, 0, 0, 0};
constexpr LapInstance kDead{"", Character::dead, 0.3f};
constexpr LapInstance kDuplicated{"", Character::duplicated, 4};
constexpr LapInstance kUnrelated{"", Character::unrelated, 0};

Scores scores_of(const LapInstance& instance, std::size_t n, std::size_t d, std::uint64_t seed) {
  return centred_scores(make_features(instance, n, d, seed), n, d);
}

struct Rings {
  std::vector<std::set<std::size_t>> of_row;
  std::int64_t count;
};

// As link_twins() leaves them, of whole numbers.
Rings rings_of(std::size_t n, const Scores& scores) {
  Scratch scratch(Device::cpu);
  Scratch::Frame frame(scratch);
  std::vector<std::int32_t> column_of_row(n);
  cpu::LapProblem problem(frame, static_cast<std::int64_t>(n), column_of_row.data());
  const lap::Quantiser same(0, kLapLevels);
  for (std::size_t i = 0; i < n; ++i) {
    problem.quantise_row(static_cast<std::int64_t>(i), &scores[i * n], same);
  }
  cpu::link_twins(frame, problem);
  Rings rings{{}, problem.distinct_rows};
  for (std::size_t i = 0; i < n; ++i) {
    std::set<std::size_t> ring;
    for (auto row = static_cast<std::int32_t>(i);
         ring.insert(static_cast<std::size_t>(row)).second;) {
      row = problem.next_twin[row];
    }
    rings.of_row.push_back(ring);
  }
  return rings;
}

std::set<std::size_t> equal_to(std::size_t row, std::size_t n, const Scores& scores) {
  std::set<std::size_t> equal;
  for (std::size_t i = 0; i < n; ++i) {
    if (std::equal(&scores[row * n], &scores[row * n] + n, &scores[i * n])) equal.insert(i);
  }
  return equal;
}

TEST_CASE("every row is linked with the rows that equal it") {
  for (const std::size_t n : {1, 2, 7, 8, 9, 64, 257}) {
    const Scores random = random_scores(n, n, 1u << 24);
    for (const std::size_t kinds : {std::size_t{1}, std::size_t{2}, n / 3 + 1, n}) {
      CAPTURE(n);
      CAPTURE(kinds);
      Scores scores(n * n);
      for (std::size_t i = 0; i < n; ++i) {
        std::copy_n(&random[i * 7 % kinds * n], n, &scores[i * n]);
      }
      const Rings rings = rings_of(n, scores);
      CHECK(rings.count ==
            static_cast<std::int64_t>(
                std::set<std::set<std::size_t>>(rings.of_row.begin(), rings.of_row.end()).size()));
      for (std::size_t i = 0; i < n; ++i) CHECK(rings.of_row[i] == equal_to(i, n, scores));
    }
  }
}

TEST_CASE("rows that only begin alike are not linked") {
  constexpr std::size_t n = 40;
  Scores scores = random_scores(n, 3, 1u << 24);
  for (std::size_t i = 1; i < n; ++i) std::copy_n(scores.data(), n - 1, &scores[i * n]);
  for (std::size_t i = 0; i < n; ++i) scores[i * n + n - 1] = static_cast<float>(i % 2);
  // Only the rows like the first are looked for among those of one beginning.
  const Rings rings = rings_of(n, scores);
  CHECK(rings.count == 1 + n / 2);
  for (std::size_t i = 0; i < n; ++i) CHECK(rings.of_row[i].size() == (i % 2 == 0 ? n / 2 : 1));
}

TEST_CASE("crowds of equal rows are solved with proof in few steps") {
  Context ctx;
  for (const LapInstance& instance :
       {kDead, kDuplicated, LapInstance{"", Character::dead, 0.95f}}) {
    for (const std::size_t n : {64, 255, 400}) {
      for (const std::size_t d : {2, 64}) {
        for (const LapOptions& options : {kJv, kAuction}) {
          CAPTURE(instance.amount);
          CAPTURE(n);
          CAPTURE(d);
          CAPTURE(static_cast<int>(options.solver));
          const Scores scores = scores_of(instance, n, d, n + d);
          const Solution solution = solve(ctx, n, scores, options);
          check_promises(n, scores, solution);
          CHECK(solution.report.bound_quanta ==
                reference::best_by_augmenting_paths(n, quantise(scores)));
          // Measured: at most 5.5 n by jv, 22 n by the auction. If each equal row is searched for
          // itself it is 17 n and 182 n.
          CHECK(solution.report.steps <=
                static_cast<std::int64_t>(options.solver == LapSolver::jv ? 8 * n : 32 * n));
        }
      }
    }
  }
}

TEST_CASE(
    "the CPU takes jv for large crowds by itself, and the auction where there are few twins") {
  Context ctx;
  constexpr std::size_t n = kLapAuctionFrom;
  for (const LapInstance& instance : {kDead, kDuplicated}) {
    const Scores scores = scores_of(instance, n, 16, 1);
    const Solution solution = solve(ctx, n, scores);
    check_promises(n, scores, solution);
    CHECK(solution.report.rounds == 0);
    // Measured: at most 10.4 n.
    CHECK(solution.report.steps <= 16 * kLapAuctionFrom);
  }
  CHECK(solve(ctx, n, scores_of(kUnrelated, n, 16, 1)).report.rounds > 0);
  CHECK(solve(ctx, n, scores_of({"", Character::dead, 0.01f}, n, 16, 1)).report.rounds > 0);
}

}  // namespace
}  // namespace nat::test
