// Algorithm 1 on a small network: the loss before learning, that re-assignment takes effect in the
// same step, and that training learns.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "nat/trainer.h"
#include "tests/error_message.h"
#include "tests/tiny_pictures.h"
#include "tests/trainer_run.h"

using namespace nat;
using namespace nat::test;
using Run = TrainerRun;

TEST_CASE("before learning the loss is 2 per image") {
  // Targets are independent of the features: z . c has mean 0 and variance 1/d, so the batch mean
  // of 2 - 2 z . c has standard error 2 / sqrt(d n).
  constexpr std::int64_t kImages = 256;
  const TinyPictures pictures(kImages);
  for (const std::int64_t d : {8, 64, 256}) {
    for (const std::uint64_t seed : {1u, 2u, 3u}) {
      CAPTURE(d);
      CAPTURE(seed);
      Run run(kImages, kImages, d, seed);
      const StepReport report = run.step(pictures.batch(0, kImages), {});
      const double standard_error = 2 / std::sqrt(static_cast<double>(d * kImages));
      CHECK(std::abs(report.loss - 2) <= 3 * standard_error);
      CHECK(report.cosine_before == report.cosine_after);
      CHECK(report.cosine_after == doctest::Approx(1 - report.loss / 2));
      CHECK(report.moved == 0);
    }
  }
}

TEST_CASE("a dead network has no cosine to its targets") {
  constexpr std::int64_t kImages = 32;
  const TinyPictures pictures(kImages);
  Run run(kImages, kImages, 16);
  fill_zero(run.ctx, run.net.parameters().values());
  run.net.parameters().refresh_operands(run.ctx);
  for (const bool reassign : {false, true}) {
    const StepReport report = run.step(pictures.batch(0, kImages), {.reassign = reassign});
    CHECK(report.loss == doctest::Approx(1));  // |0 - c|^2
    CHECK(report.cosine_before == 0);
    CHECK(report.cosine_after == 0);
  }
}

TEST_CASE("a step trains on the targets that it has just re-assigned") {
  constexpr std::int64_t kImages = 64;
  const TinyPictures pictures(kImages);
  const ImageBatch batch = pictures.batch(0, kImages);
  Run reassigning(kImages, kImages, 16), given(kImages, kImages, 16);

  const StepReport report = reassigning.step(batch, {.reassign = true, .learning_rate = 0.05});
  CHECK(report.moved > kImages / 2);
  CHECK(report.cosine_after > report.cosine_before + 0.1);
  CHECK(report.lap.gap() == 0);

  // A run that was given the new targets from the start does the very same step.
  given.targets.restore(given.ctx, reassigning.permutation());
  const StepReport same = given.step(batch, {.reassign = false, .learning_rate = 0.05});
  CHECK(same.loss == report.loss);
  CHECK(same.moved == 0);
  CHECK(given.copy_of(given.net.parameters().values()) ==
        reassigning.copy_of(reassigning.net.parameters().values()));
}

TEST_CASE("the assignment stays a permutation, whatever batches come") {
  constexpr std::int64_t kImages = 96, kBatch = 32;
  const TinyPictures pictures(kImages);
  Run run(kImages, kBatch, 16);
  const std::vector<std::int32_t> identity = run.permutation();
  std::int64_t moved = 0;
  for (std::uint32_t step = 0; step < 12; ++step) {
    const auto first = static_cast<std::int32_t>(step * 16 % (kImages - kBatch + 1));
    moved += run.step(pictures.batch(first, kBatch),
                      {.step = step, .reassign = true, .learning_rate = 0.05})
                 .moved;
    REQUIRE(is_permutation_of_rows(run.permutation()));
  }
  CHECK(moved > kImages);
  CHECK(run.permutation() != identity);
}

TEST_CASE("the loss falls over 60 steps") {
  constexpr std::int64_t kImages = 128, kBatch = 32;
  const TinyPictures pictures(kImages);
  Run run(kImages, kBatch, 16, 1, {.mean_loss = true, .sgd = {.momentum = 0.9f}});
  std::vector<double> losses;
  for (std::uint32_t step = 0; step < 60; ++step) {
    const auto first = static_cast<std::int32_t>(step * kBatch % kImages);
    const std::int64_t epoch = std::int64_t{step} * kBatch / kImages;
    losses.push_back(run.step(pictures.batch(first, kBatch),
                              {.step = step, .reassign = reassigns(epoch, 3), .learning_rate = 0.1})
                         .loss);
  }
  // Below 2 at once by re-assignment, then by learning.
  CHECK(losses.front() < 1.5);
  CHECK(*std::max_element(losses.end() - 4, losses.end()) < 0.5 * losses.front());
}

TEST_CASE("a summed loss has the gradient of the mean loss times the batch size") {
  constexpr std::int64_t kImages = 32;  // a power of two: the factor is exact
  const TinyPictures pictures(kImages);
  Run summed(kImages, kImages, 16), mean(kImages, kImages, 16, 1, {.mean_loss = true, .sgd = {}});
  const ImageBatch batch = pictures.batch(0, kImages);
  CHECK(summed.step(batch, {.learning_rate = 0.01}).loss ==
        mean.step(batch, {.learning_rate = 0.01 * kImages}).loss);
  const auto a = summed.copy_of(summed.net.parameters().gradients());
  const auto b = mean.copy_of(mean.net.parameters().gradients());
  double largest = 0, worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(a[i])));
    worst =
        std::max(worst, std::abs(static_cast<double>(a[i]) - kImages * static_cast<double>(b[i])));
  }
  CHECK(largest > 0);
  CHECK(worst == 0);
}

TEST_CASE("an absurd learning rate ends in an error that keeps the parameters of the step before") {
  constexpr std::int64_t kImages = 32;
  const TinyPictures pictures(kImages);
  Run run(kImages, kImages, 16);
  std::vector<float> before;
  bool stopped = false;
  for (std::uint32_t step = 0; step < 10 && !stopped; ++step) {
    before = run.copy_of(run.net.parameters().values());
    try {
      run.step(pictures.batch(0, kImages), {.step = step, .learning_rate = 1e30});
    } catch (const Error& error) {
      stopped = true;
      CHECK(error.kind() == ErrorKind::not_finite);
      const std::string line = error.what();
      CHECK(line.find("new run with a lower --lr") != std::string::npos);
      CHECK(line.find(str("step ", step + 1, " is ")) != std::string::npos);
      CHECK(line.find("-nan") == std::string::npos);
    }
  }
  CHECK(stopped);
  const auto after = run.copy_of(run.net.parameters().values());
  CHECK(std::memcmp(before.data(), after.data(), before.size() * sizeof(float)) == 0);
}

TEST_CASE(
    "features that the last update has made infinite are found, though its loss was a number") {
  constexpr std::int64_t kImages = 32;
  const TinyPictures pictures(kImages);
  Run run(kImages, kImages, 16);
  run.trainer.check_features(run.ctx);  // nothing to look at yet
  run.step(pictures.batch(0, kImages), {.learning_rate = 1e20});
  CHECK(message_of(ErrorKind::not_finite, [&] { run.trainer.check_features(run.ctx); }) ==
        "after step 1 the features hold NaN or infinity; begin a new run with a lower --lr");
}

TEST_CASE("looking at the features between two steps changes nothing") {
  constexpr std::int64_t kImages = 64, kBatch = 32;
  const TinyPictures pictures(kImages);
  for (const std::int64_t pool : {kBatch, kImages}) {
    CAPTURE(pool);
    const TrainerOptions options{.sgd = {.momentum = 0.9f}, .pool = pool};
    Run alone(kImages, kBatch, 16, 1, options, 0.3f), looked(kImages, kBatch, 16, 1, options, 0.3f);
    for (std::uint32_t step = 0; step < 8; ++step) {
      const auto parts = static_cast<std::uint32_t>(alone.trainer.parts());
      const Trainer::Order order{
          .step = step, .part = step % parts, .reassign = true, .learning_rate = 0.05};
      StepReport reports[2];
      for (Run* run : {&alone, &looked}) {
        if (order.part == 0) run->trainer.load(run->ctx, pictures.batch(0, pool));
        run->trainer.begin(run->ctx, order);
        reports[run == &looked] = run->trainer.finish(run->ctx);
      }
      const StageSeconds before = looked.trainer.seconds();
      looked.trainer.check_features(looked.ctx);
      CHECK(looked.trainer.seconds().total() == before.total());
      CHECK(reports[0].loss == reports[1].loss);
      CHECK(reports[0].moved == reports[1].moved);
    }
    CHECK(looked.permutation() == alone.permutation());
    CHECK(looked.copy_of(looked.net.parameters().values()) ==
          alone.copy_of(alone.net.parameters().values()));
    CHECK(looked.copy_of(looked.net.parameters().statistic_values()) ==
          alone.copy_of(alone.net.parameters().statistic_values()));
  }
}

TEST_CASE("loading the next batch beside a step changes nothing") {
  constexpr std::int64_t kImages = 96, kBatch = 32;
  const TinyPictures pictures(kImages);
  Run alone(kImages, kBatch, 16), ahead(kImages, kBatch, 16);
  const auto batch = [&](std::uint32_t step) {
    return pictures.batch(static_cast<std::int32_t>(step * kBatch % kImages), kBatch);
  };
  ahead.trainer.load(ahead.ctx, batch(0));
  for (std::uint32_t step = 0; step < 8; ++step) {
    CAPTURE(step);
    const Trainer::Order order{.step = step, .reassign = step % 3 != 1, .learning_rate = 0.05};
    const StepReport expected = alone.step(batch(step), order);
    ahead.trainer.begin(ahead.ctx, order);
    ahead.trainer.load(ahead.ctx, batch(step + 1));
    const StepReport report = ahead.trainer.finish(ahead.ctx);
    CHECK(report.loss == expected.loss);
    CHECK(report.cosine_before == expected.cosine_before);
    CHECK(report.moved == expected.moved);
  }
  CHECK(ahead.permutation() == alone.permutation());
  CHECK(ahead.copy_of(ahead.net.parameters().values()) ==
        alone.copy_of(alone.net.parameters().values()));
}

TEST_CASE("timing the stages changes nothing and accounts for the step") {
  constexpr std::int64_t kImages = 32;
  const TinyPictures pictures(kImages);
  Run plain(kImages, kImages, 16), timed(kImages, kImages, 16, 1, {.sgd = {}, .time_stages = true});
  for (std::uint32_t step = 0; step < 4; ++step) {
    const Trainer::Order order{.step = step, .reassign = true, .learning_rate = 0.05};
    CHECK(timed.step(pictures.batch(0, kImages), order).loss ==
          plain.step(pictures.batch(0, kImages), order).loss);
  }
  const StageSeconds& seconds = timed.trainer.seconds();
  for (const double stage : {seconds.preprocess, seconds.forward, seconds.assign, seconds.head,
                             seconds.backward, seconds.update}) {
    CHECK(stage > 0);
  }
  CHECK(seconds.recorded == 0);
  CHECK((plain.trainer.seconds().recorded > 0) == kOnCuda);
}

TEST_CASE("features and targets of different dimensions are refused") {
  Context ctx(kDevice);
  Sequential net = tiny_network(ctx, {.dimension = 16});
  Targets targets(ctx, 1, 32, 8);
  CHECK_THROWS_WITH_AS(Trainer(ctx, net, targets, {}, Shape(32, 12, 12, 1)),
                       "the network gives 16-dimensional features but targets have dimension 8; "
                       "use the same --dimension",
                       Error);
}

TEST_CASE("calibration changes the running statistics and nothing else, with dropout too") {
  constexpr std::int64_t kImages = 32;
  const TinyPictures pictures(kImages);
  Run run(kImages, kImages, 16, 1, {.sgd = {.momentum = 0.9f}}, 0.5f);
  Execution execution(run.ctx, run.net, kImages, Mode::train);
  ParameterSet& set = run.net.parameters();
  const auto values = run.copy_of(set.values()), momenta = run.copy_of(set.momenta());
  const auto gradients = run.copy_of(set.gradients());
  const auto statistics = run.copy_of(set.statistic_values());
  const ImageBatch batch = pictures.batch(0, kImages);
  const Buffer pixel_memory(kDevice, batch.pixels.bytes(), "pixels");
  const Buffer box_memory(kDevice, batch.boxes.bytes(), "boxes");
  const View pixels(pixel_memory.data(), DType::u8, batch.pixels.shape);
  const View boxes(box_memory.data(), DType::f32, batch.boxes.shape);
  copy_to_device(run.ctx, batch.pixels, pixels);
  copy_to_device(run.ctx, batch.boxes, boxes);
  calibrate_batchnorm(run.ctx, execution, FrontEnd::sobel, pixels, boxes, 1, 0);
  CHECK(run.copy_of(set.values()) == values);
  CHECK(run.copy_of(set.momenta()) == momenta);
  CHECK(run.copy_of(set.gradients()) == gradients);
  CHECK(run.copy_of(set.statistic_values()) != statistics);
}

namespace {

// fc1 -> bn1 with dropout -> fc2 -> bn2, whose statistics show what was dropped.
Sequential net_behind_dropout(Context& ctx, std::int64_t channels) {
  std::vector<std::unique_ptr<Layer>> layers;
  layers.push_back(std::make_unique<LinearLayer>("fc1", 24, Bias::no));
  layers.push_back(std::make_unique<BatchNormLayer>("bn1", BatchNorm{.dropout = 0.5f}, 1));
  layers.push_back(std::make_unique<LinearLayer>("fc2", 16, Bias::no));
  layers.push_back(std::make_unique<BatchNormLayer>("bn2", BatchNorm{.relu = false}, 2));
  return {ctx, Shape(1, 12, 12, channels), std::move(layers)};
}

}  // namespace

TEST_CASE("calibration shows what the front end makes, with the dropout of that seed and step") {
  constexpr std::int64_t kImages = 32;
  const TinyPictures pictures(kImages);
  const ImageBatch batch = pictures.batch(0, kImages);
  Context ctx(kDevice);
  const Buffer pixel_memory(kDevice, batch.pixels.bytes(), "pixels");
  const Buffer box_memory(kDevice, batch.boxes.bytes(), "boxes");
  const View pixels(pixel_memory.data(), DType::u8, batch.pixels.shape);
  const View boxes(box_memory.data(), DType::f32, batch.boxes.shape);
  copy_to_device(ctx, batch.pixels, pixels);
  copy_to_device(ctx, batch.boxes, boxes);
  const auto statistics = [&](FrontEnd front, std::uint64_t seed, std::uint32_t step) {
    Sequential net = net_behind_dropout(ctx, front_end_channels(front, 1));
    initialize(ctx, Init::he, 1, net.parameters());
    Execution execution(ctx, net, kImages, Mode::train);
    calibrate_batchnorm(ctx, execution, front, pixels, boxes, seed, step);
    return host_copy<float>(ctx, net.parameters().statistic_values());
  };
  const auto once = statistics(FrontEnd::clean, 1, 0);
  CHECK(statistics(FrontEnd::clean, 1, 0) == once);
  CHECK(statistics(FrontEnd::clean, 2, 0) != once);
  CHECK(statistics(FrontEnd::clean, 1, 1) != once);
  CHECK(statistics(FrontEnd::high_pass, 1, 0) != once);
  CHECK(statistics(FrontEnd::sobel, 1, 0) != once);
}

TEST_CASE("the seed of the options names the dropout masks, and nothing else") {
  constexpr std::int64_t kImages = 32;
  const TinyPictures pictures(kImages);
  for (const float dropout : {0.0f, 0.5f}) {
    CAPTURE(dropout);
    const auto loss = [&](std::uint64_t seed) {
      Run run(kImages, kImages, 16, 1, {.sgd = {}, .seed = seed}, dropout);
      return run.step(pictures.batch(0, kImages), {}).loss;
    };
    CHECK(loss(5) == loss(5));
    CHECK((loss(5) == loss(6)) == (dropout == 0));
  }
}

TEST_CASE("every solver assigns in a step, and what a device does not have is refused") {
  constexpr std::int64_t kImages = 64;
  const TinyPictures pictures(kImages);
  for (const AssignmentSolver solver : {AssignmentSolver::exact, AssignmentSolver::auction,
                                        AssignmentSolver::greedy, AssignmentSolver::sinkhorn}) {
    CAPTURE(static_cast<int>(solver));
    const TrainerOptions options{.sgd = {}, .solver = solver};
    const bool exact = solver == AssignmentSolver::exact || solver == AssignmentSolver::auction;
    if (kOnCuda && !exact) {
      CHECK_THROWS_WITH_AS(Run(kImages, kImages, 16, 1, options),
                           "--solver greedy and sinkhorn run on the CPU only, not on cuda; use "
                           "--solver exact, or --device cpu",
                           Error);
      continue;
    }
    Run run(kImages, kImages, 16, 1, options);
    const StepReport report = run.step(pictures.batch(0, kImages), {.reassign = true});
    CHECK(is_permutation_of_rows(run.permutation()));
    CHECK(report.cosine_after > report.cosine_before + 0.1);
    CHECK((report.lap.gap() == 0) == exact);
  }
}

TEST_CASE("re-assignment happens in epochs 0, period, 2 period, ...") {
  for (std::int64_t epoch = 0; epoch < 12; ++epoch) {
    CAPTURE(epoch);
    CHECK(reassigns(epoch, 1));
    CHECK(reassigns(epoch, 3) == (epoch == 0 || epoch == 3 || epoch == 6 || epoch == 9));
    CHECK_FALSE(reassigns(epoch, 0));
  }
}
