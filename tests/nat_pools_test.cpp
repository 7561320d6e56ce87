// Pools larger than a batch: the best permutation of all their targets, and training on it batch by
// batch.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "tests/error_message.h"
#include "tests/reference/lap.h"
#include "tests/tiny_pictures.h"
#include "tests/trainer_run.h"

using namespace nat;
using namespace nat::test;
using Run = TrainerRun;

namespace {

// Rows of unit length, in double.
using Matrix = std::vector<std::vector<double>>;

Matrix matrix(const std::vector<float>& values, std::size_t columns) {
  Matrix rows;
  for (auto at = values.begin(); at != values.end(); at += static_cast<std::ptrdiff_t>(columns)) {
    rows.emplace_back(at, at + static_cast<std::ptrdiff_t>(columns));
    double norm = 0;
    for (const double value : rows.back()) norm += value * value;
    for (double& value : rows.back()) value /= std::sqrt(norm);
  }
  return rows;
}

// The features of a network that has not been trained yet, batch by batch.
Matrix features_by_batch(Run& run, const TinyPictures& pictures, std::int64_t images,
                         std::int64_t batch) {
  Execution execution(run.ctx, run.net, batch, Mode::train);
  std::vector<float> all;
  for (std::int64_t first = 0; first < images; first += batch) {
    const ImageBatch some = pictures.batch(static_cast<std::int32_t>(first), batch);
    const Buffer pixel_memory(kDevice, some.pixels.bytes(), "pixels");
    const Buffer box_memory(kDevice, some.boxes.bytes(), "boxes");
    const View pixels(pixel_memory.data(), DType::u8, some.pixels.shape);
    const View boxes(box_memory.data(), DType::f32, some.boxes.shape);
    copy_to_device(run.ctx, some.pixels, pixels);
    copy_to_device(run.ctx, some.boxes, boxes);
    calibrate_batchnorm(run.ctx, execution, FrontEnd::sobel, pixels, boxes, 1, 0);
    const ConstView output = execution.output();
    std::vector<float> host(static_cast<std::size_t>(output.shape.elements()));
    copy_to_host(run.ctx, output, View(host.data(), DType::f32, output.shape));
    synchronize(run.ctx);
    all.insert(all.end(), host.begin(), host.end());
  }
  return matrix(all, static_cast<std::size_t>(execution.output().shape[1]));
}

Matrix rows_of_targets(Run& run, const std::vector<std::int32_t>& held, std::int64_t dimension) {
  const auto n = static_cast<std::int64_t>(held.size());
  const Buffer held_memory(kDevice, held.size() * sizeof(std::int32_t), "held");
  const Buffer row_memory(
      kDevice, held.size() * sizeof(float) * static_cast<std::size_t>(dimension), "rows");
  const View on_device(held_memory.data(), DType::i32, Shape(n));
  const View rows(row_memory.data(), DType::f32, Shape(n, dimension));
  upload(run.ctx, held, on_device);
  run.targets.rows(run.ctx, on_device, rows);
  return matrix(host_copy<float>(run.ctx, rows), static_cast<std::size_t>(dimension));
}

double cosine(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k) sum += a[k] * b[k];
  return sum;
}

double mean_cosine(const Matrix& z, const Matrix& targets,
                   const std::vector<std::int32_t>& row_of_image) {
  double sum = 0;
  for (std::size_t i = 0; i < z.size(); ++i) {
    sum += cosine(z[i], targets[static_cast<std::size_t>(row_of_image[i])]);
  }
  return sum / static_cast<double>(z.size());
}

// Of all permutations, in steps of 2^-40.
double best_mean_cosine(const Matrix& z, const Matrix& targets) {
  std::vector<std::int64_t> quanta;
  for (const auto& feature : z) {
    for (const auto& target : targets) {
      quanta.push_back(std::llround(cosine(feature, target) * 0x1p40));
    }
  }
  return static_cast<double>(reference::best_by_augmenting_paths(z.size(), quanta)) * 0x1p-40 /
         static_cast<double>(z.size());
}

}  // namespace

TEST_CASE("a pool of four batches gets the best permutation of all its targets") {
  constexpr std::int64_t kBatch = 16, kPool = 64, kDimension = 16;
  const TinyPictures pictures(kPool);
  Run pooled(kPool, kBatch, kDimension, 1, {.sgd = {}, .pool = kPool});
  Run untrained(kPool, kBatch, kDimension);
  const std::vector<std::int32_t> identity = pooled.permutation();
  const Matrix z = features_by_batch(untrained, pictures, kPool, kBatch);
  const Matrix targets = rows_of_targets(untrained, identity, kDimension);

  pooled.trainer.load(pooled.ctx, pictures.batch(0, kPool));
  const std::vector<StepReport> reports = pooled.steps_of_pool(0, true);
  // Scores in float32 of features in float32: off by 1e-5 at most, far less than what a batch of
  // 16 could win.
  const double best = best_mean_cosine(z, targets);
  CHECK(mean_cosine(z, targets, pooled.permutation()) >= best - 1e-5);
  CHECK(is_permutation_of_rows(pooled.permutation()));
  CHECK(reports[0].cosine_before ==
        doctest::Approx(mean_cosine(z, targets, identity)).epsilon(1e-4));
  CHECK(reports[0].lap.gap() == 0);
  CHECK(reports[0].judged == kPool);
  std::int64_t moved = 0;
  for (std::size_t i = 0; i < identity.size(); ++i) {
    moved += pooled.permutation()[i] != identity[i];
  }
  CHECK(reports[0].moved == moved);
  for (std::size_t part = 1; part < 4; ++part) {
    CHECK(reports[part].judged == 0);
    CHECK(reports[part].moved == 0);
  }

  Run batchwise(kPool, kBatch, kDimension);
  batchwise.step(pictures.batch(0, kBatch), {.reassign = true});
  const StepReport first = batchwise.step(pictures.batch(0, kBatch), {});
  CHECK(best > first.cosine_after);
}

TEST_CASE("the batches of a pool are trained as by a run that was given their new targets") {
  // Parameters, momenta and running statistics: the pass over the pool leaves no trace in them.
  constexpr std::int64_t kBatch = 16, kPool = 48;
  const TinyPictures pictures(2 * kPool);
  for (const float dropout : {0.0f, 0.5f}) {
    CAPTURE(dropout);
    const Sgd sgd{.momentum = 0.9f};
    Run pooled(2 * kPool, kBatch, 16, 1, {.sgd = sgd, .seed = 5, .pool = kPool}, dropout);
    Run given(2 * kPool, kBatch, 16, 1, {.sgd = sgd, .seed = 5}, dropout);
    std::uint32_t step = 0;
    pooled.trainer.load(pooled.ctx, pictures.batch(0, kPool));
    for (const bool reassign : {true, false, true, true}) {
      const std::uint32_t first = step;
      const std::vector<StepReport> reports = pooled.steps_of_pool(step, reassign);
      given.targets.restore(given.ctx, pooled.permutation());
      for (const StepReport& report : reports) {
        const auto image = static_cast<std::int32_t>(step * kBatch % (2 * kPool));
        const StepReport expected =
            given.step(pictures.batch(image, kBatch), {.step = step, .learning_rate = 0.05});
        CHECK(report.loss == expected.loss);
        CHECK((report.moved > 0) == (reassign && step == first));
        CHECK(report.judged == (!reassign ? kBatch : step == first ? kPool : 0));
        ++step;
      }
      const auto next = static_cast<std::int32_t>(step * kBatch % (2 * kPool));
      pooled.trainer.load(pooled.ctx, pictures.batch(next, kPool));
    }
    ParameterSet &a = pooled.net.parameters(), &b = given.net.parameters();
    CHECK(pooled.copy_of(a.values()) == given.copy_of(b.values()));
    CHECK(pooled.copy_of(a.momenta()) == given.copy_of(b.momenta()));
    CHECK(pooled.copy_of(a.statistic_values()) == given.copy_of(b.statistic_values()));
  }
}

TEST_CASE("a trainer that begins in the middle of a pool trains on what the pool holds") {
  constexpr std::int64_t kBatch = 16, kPool = 64;
  const TinyPictures pictures(kPool);
  Run middle(kPool, kBatch, 16, 1, {.sgd = {}, .pool = kPool}), plain(kPool, kBatch, 16);
  const std::vector<std::int32_t> before = middle.permutation();
  middle.trainer.load(middle.ctx, pictures.batch(0, kPool));
  for (std::uint32_t part = 2; part < 4; ++part) {
    const Trainer::Order order{.step = part, .part = part, .reassign = true, .learning_rate = 0.05};
    middle.trainer.begin(middle.ctx, order);
    const StepReport report = middle.trainer.finish(middle.ctx);
    const auto image = static_cast<std::int32_t>(part * kBatch);
    CHECK(report.loss ==
          plain.step(pictures.batch(image, kBatch), {.step = part, .learning_rate = 0.05}).loss);
  }
  CHECK(middle.permutation() == before);
}

TEST_CASE("a pool with a feature that is no number ends the run, whichever batch it is in") {
  constexpr std::int64_t kImages = 32, kBatch = 16;
  const TinyPictures pictures(kImages);
  Run run(kImages, kBatch, 16, 1, {.sgd = {}, .pool = kImages});
  ImageBatch pool = pictures.batch(0, kImages);
  const auto* given = static_cast<const float*>(pool.boxes.data);
  std::vector<float> boxes(given, given + pool.boxes.shape.elements());
  boxes[(kImages - 1) * 5] = std::numeric_limits<float>::quiet_NaN();  // of the second batch
  pool.boxes.data = boxes.data();
  run.trainer.load(run.ctx, pool);
  const auto step = [&] {
    run.trainer.begin(run.ctx, {.reassign = true, .learning_rate = 0.05});
    run.trainer.finish(run.ctx);
  };
  if (kDevice == Device::cpu) {  // which looks at boxes
    CHECK_THROWS_AS(step(), Error);
  } else {
    CHECK(message_of(ErrorKind::not_finite, step).starts_with("the pool of step 1"));
  }
}

TEST_CASE("a pool that is not a whole number of batches is refused") {
  for (const std::int64_t pool : {8, 24, -16}) {
    CHECK_THROWS_AS(Run(64, 16, 16, 1, {.sgd = {}, .pool = pool}), Error);
  }
}

TEST_CASE("with a period in steps, pools that hold the steps 0, period, ... are re-assigned") {
  for (const std::int64_t period : {1, 2, 3, 5, 8, 30}) {
    for (const std::int64_t steps : {1, 2, 4, 7}) {
      for (std::int64_t first = 0; first < 100; first += steps) {
        bool holds = false;
        for (std::int64_t step = first; step < first + steps; ++step) holds |= step % period == 0;
        CHECK(reassigns_at(first, steps, period) == holds);
      }
    }
  }
  CHECK_FALSE(reassigns_at(0, 1, 0));
}
