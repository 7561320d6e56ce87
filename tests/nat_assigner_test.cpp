// The re-assignment of a batch (nat/assigner.h), against scores in double.
#include "nat/assigner.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "tests/opcases/device.h"
#include "tests/opcases/lap_instances.h"
#include "tests/opcases/tensor.h"
#include "tests/reference/lap.h"

namespace nat::test {
namespace {

Tensor matrix(const std::vector<float>& values, std::size_t n, std::size_t d) {
  Tensor tensor(Shape(static_cast<std::int64_t>(n), static_cast<std::int64_t>(d)), DType::f32);
  tensor.assign({values.begin(), values.end()});
  return tensor;
}

// What an assignment gave, on the host.
struct Outcome {
  std::vector<std::int32_t> column_of_row;
  LapReport lap;
  double mean_cosine_before = 0, mean_cosine_after = 0;
};

Outcome assign(Context& ctx, Assigner& assigner, const Tensor& z, const Tensor& targets) {
  const std::int64_t n = z.shape()[0];
  Tensor column(Shape(n), DType::i32), cosine(Shape(1), DType::f32);
  Tensor report(Shape(sizeof(LapReport)), DType::u8);
  auto* lap = static_cast<LapReport*>(report.view().data);
  assigner.assign(ctx, z.view(), targets.view(),
                  {.column_of_row = column.view(), .cosine_sum = cosine.view(), .lap = lap});
  synchronize(ctx);
  const auto* first = column.view().as<std::int32_t>();
  Outcome outcome{.column_of_row = {first, first + n}, .lap = *lap};
  const auto count = static_cast<double>(n);
  outcome.mean_cosine_before = cosine.get(0) / count;
  outcome.mean_cosine_after =
      outcome.mean_cosine_before + (lap->value - lap->identity_value) / count;
  CHECK(column.canaries_intact());
  CHECK(report.canaries_intact());
  return outcome;
}

struct Batch {
  std::size_t n, d;
  FeaturesAndTargets rows;

  Batch(const LapInstance& instance, std::size_t n_, std::size_t d_, std::uint64_t seed,
        TargetKind kind = TargetKind::sphere)
      : n(n_), d(d_), rows(make_features(instance, n_, d_, seed, kind)) {}
  Tensor z() const { return matrix(rows.z, n, d); }
  Tensor targets() const { return matrix(rows.targets, n, d); }

  double cosine(std::size_t i, std::size_t j) const {
    double product = 0;
    for (std::size_t k = 0; k < d; ++k) {
      product += double{rows.z[i * d + k]} * double{rows.targets[j * d + k]};
    }
    return product;
  }
  double mean_cosine(std::span<const std::int32_t> column) const {
    double total = 0;
    for (std::size_t i = 0; i < n; ++i) total += cosine(i, static_cast<std::size_t>(column[i]));
    return total / static_cast<double>(n);
  }
  double mean_cosine() const {
    double total = 0;
    for (std::size_t i = 0; i < n; ++i) total += cosine(i, i);
    return total / static_cast<double>(n);
  }
  // Of the best of all permutations, in steps of 2^-40.
  double best_mean_cosine() const {
    std::vector<std::int64_t> quanta(n * n);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) quanta[i * n + j] = std::llround(cosine(i, j) * 0x1p40);
    }
    return static_cast<double>(reference::best_by_augmenting_paths(n, quanta)) * 0x1p-40 /
           static_cast<double>(n);
  }
};

Assigner make_assigner(Context& ctx, const Batch& batch) {
  return {ctx, static_cast<std::int64_t>(batch.n), static_cast<std::int64_t>(batch.d)};
}

bool is_identity(std::span<const std::int32_t> column) {
  for (std::size_t i = 0; i < column.size(); ++i) {
    if (column[i] != static_cast<std::int32_t>(i)) return false;
  }
  return true;
}

// Error of one float32 product of d terms of unit rows: |sum| differs by at most d u sum |a_k b_k|
// <= d u, u = 2^-24. Centring adds the rounding of the mean and of the difference, 2 u sqrt(d) at
// most, and quantisation half a step of (range <= 4) / 2^24, 2 u.
double score_error(std::size_t d) {
  const auto terms = static_cast<double>(d);
  return (terms + 2 * std::sqrt(terms) + 2) * 0x1p-24;
}

TEST_CASE("features of every character get the best permutation and exact mean cosines") {
  Context ctx(kDevice);
  for (const TargetKind kind : {TargetKind::sphere, TargetKind::basis}) {
    for (const LapInstance& instance : kLapInstances) {
      for (const std::size_t n : {1, 2, 60}) {
        CAPTURE(static_cast<int>(kind));
        CAPTURE(instance.name);
        CAPTURE(n);
        const Batch batch(instance, n, 48, n, kind);
        Assigner assigner = make_assigner(ctx, batch);
        const Outcome assignment = assign(ctx, assigner, batch.z(), batch.targets());
        const double error = score_error(batch.d);

        REQUIRE(assignment.column_of_row.size() == n);
        CHECK(assignment.lap.status == LapStatus::optimal);
        CHECK(assignment.lap.gap() == 0);
        // The optimum of rounded scores may fall short by the error of both sums.
        CHECK(batch.mean_cosine(assignment.column_of_row) >= batch.best_mean_cosine() - 2 * error);
        CHECK(std::abs(assignment.mean_cosine_before - batch.mean_cosine()) <= error);
        CHECK(std::abs(assignment.mean_cosine_after -
                       batch.mean_cosine(assignment.column_of_row)) <= 3 * error);
        CHECK(assignment.mean_cosine_after >= assignment.mean_cosine_before);
      }
    }
  }
}

TEST_CASE("equal columns, which targets of the basis give, are solved with proof in few steps") {
  Context ctx(kDevice);
  const std::size_t n = 256;
  for (const std::size_t d : {64, 256}) {
    Assigner assigner(ctx, n, static_cast<std::int64_t>(d));
    for (const LapInstance& instance : kLapInstances) {
      CAPTURE(d);
      CAPTURE(instance.name);
      const Batch batch(instance, n, d, d, TargetKind::basis);
      const Outcome assignment = assign(ctx, assigner, batch.z(), batch.targets());
      CHECK(assignment.lap.status == LapStatus::optimal);
      CHECK(assignment.lap.gap() == 0);
      CHECK(batch.mean_cosine(assignment.column_of_row) >=
            batch.best_mean_cosine() - 2 * score_error(d));
      // Measured: at most 19.1 n by jv on the CPU, 9.4 n by the auction on CUDA.
      CHECK(assignment.lap.steps <= std::int64_t{32 * n});
    }
  }
}

TEST_CASE("the auction is held where it is asked for, whatever the size") {
  Context ctx(kDevice);
  const Batch batch({"unrelated", Character::unrelated, 0}, 64, 32, 5);
  Assigner by_itself(ctx, 64, 32), auction(ctx, 64, 32, AssignmentSolver::auction);
  const Outcome held = assign(ctx, auction, batch.z(), batch.targets());
  CHECK(held.lap.rounds > 0);
  CHECK(held.lap.gap() == 0);
  CHECK((assign(ctx, by_itself, batch.z(), batch.targets()).lap.rounds > 0) == kOnCuda);
}

TEST_CASE("features that sit on their targets keep them") {
  Context ctx(kDevice);
  Batch batch({"on target", Character::unrelated, 0}, 64, 32, 5);
  batch.rows.z = batch.rows.targets;
  Assigner assigner = make_assigner(ctx, batch);
  const Outcome assignment = assign(ctx, assigner, batch.z(), batch.targets());
  CHECK(is_identity(assignment.column_of_row));
  CHECK(std::abs(assignment.mean_cosine_before - 1) <= score_error(32));
  CHECK(assignment.mean_cosine_after == assignment.mean_cosine_before);
}

TEST_CASE("a second assignment of the same features changes nothing") {
  Context ctx(kDevice);
  Batch batch({"unrelated", Character::unrelated, 0}, 100, 64, 6);
  Assigner assigner = make_assigner(ctx, batch);
  const Outcome first = assign(ctx, assigner, batch.z(), batch.targets());
  const std::vector<float> before = batch.rows.targets;
  for (std::size_t i = 0; i < batch.n; ++i) {
    const auto from = static_cast<std::size_t>(first.column_of_row[i]);
    std::copy_n(&before[from * batch.d], batch.d, &batch.rows.targets[i * batch.d]);
  }
  const Outcome second = assign(ctx, assigner, batch.z(), batch.targets());
  CHECK(is_identity(second.column_of_row));
  CHECK(std::abs(second.mean_cosine_before - first.mean_cosine_after) <= 4 * score_error(batch.d));
}

TEST_CASE("what tells nearly collapsed features apart decides their assignment") {
  // z = unit(one point + noise) at noise 1e-4: the scores share 1 and differ by 1e-4 / sqrt(d). The
  // gain in units of noise / sqrt(d) is that of unrelated features, about 2.
  Context ctx(kDevice);
  const float noise = 1e-4f;
  const Batch batch({"collapsed", Character::collapsed, noise}, 64, 64, 7);
  Assigner assigner = make_assigner(ctx, batch);
  const Outcome assignment = assign(ctx, assigner, batch.z(), batch.targets());
  const double gain = assignment.mean_cosine_after - assignment.mean_cosine_before;
  CHECK(gain * 8 / double{noise} >= 1.5);
  CHECK(batch.mean_cosine(assignment.column_of_row) - batch.mean_cosine() ==
        doctest::Approx(gain).epsilon(1e-2));
}

TEST_CASE("the first assignment of unrelated features lifts the mean cosine to 2.6-2.7 / sqrt(d)") {
  Context ctx(kDevice);
  const std::size_t n = 256, trials = 10;
  for (const std::size_t d : {64, 128, 2048}) {
    CAPTURE(d);
    Assigner assigner(ctx, n, static_cast<std::int64_t>(d));
    double sum = 0, squares = 0, before = 0;
    for (std::size_t trial = 0; trial < trials; ++trial) {
      const Batch batch({"unrelated", Character::unrelated, 0}, n, d, 100 * d + trial);
      const Outcome assignment = assign(ctx, assigner, batch.z(), batch.targets());
      const double lift = assignment.mean_cosine_after * std::sqrt(static_cast<double>(d));
      sum += lift;
      squares += lift * lift;
      before += assignment.mean_cosine_before / trials;
    }
    const double mean = sum / trials;
    const double standard_error =
        std::sqrt((squares / trials - mean * mean) / static_cast<double>(trials - 1));
    CAPTURE(mean);
    CAPTURE(standard_error);
    CHECK(standard_error < 0.02);
    CHECK(mean >= 2.6 - 3 * standard_error);
    CHECK(mean <= 2.7 + 3 * standard_error);
    // Before, each cosine has mean 0 and variance 1/d.
    CHECK(std::abs(before) <= 4 / std::sqrt(static_cast<double>(n * d * trials)));
  }
}

TEST_CASE("a smaller batch than planned needs no more memory, a larger one is refused") {
  Context ctx(kDevice);
  const Batch large({"unrelated", Character::unrelated, 0}, 40, 16, 8);
  const Batch small({"unrelated", Character::unrelated, 0}, 9, 16, 9);
  const Batch larger({"unrelated", Character::unrelated, 0}, 41, 16, 10);
  const Batch wider({"unrelated", Character::unrelated, 0}, 40, 17, 11);
  Assigner assigner = make_assigner(ctx, large);
  assign(ctx, assigner, large.z(), large.targets());
  const std::size_t borrowed = ctx.scratch.high_water();
  const Outcome assignment = assign(ctx, assigner, small.z(), small.targets());
  CHECK(assignment.column_of_row.size() == 9);
  CHECK(small.mean_cosine(assignment.column_of_row) >=
        small.best_mean_cosine() - 2 * score_error(16));
  CHECK(ctx.scratch.high_water() == borrowed);
  CHECK_THROWS_AS(assign(ctx, assigner, larger.z(), larger.targets()), Error);
  CHECK_THROWS_AS(assign(ctx, assigner, wider.z(), wider.targets()), Error);
  CHECK_THROWS_AS(assign(ctx, assigner, large.z(), small.targets()), Error);
}

TEST_CASE("features that are not finite keep their targets") {
  Context ctx(kDevice);
  Batch batch({"unrelated", Character::unrelated, 0}, 12, 8, 12);
  batch.rows.z[50] = std::numeric_limits<float>::quiet_NaN();
  Assigner assigner = make_assigner(ctx, batch);
  const Outcome assignment = assign(ctx, assigner, batch.z(), batch.targets());
  CHECK(assignment.lap.status == LapStatus::bad_input);
  CHECK(is_identity(assignment.column_of_row));
}

}  // namespace
}  // namespace nat::test
