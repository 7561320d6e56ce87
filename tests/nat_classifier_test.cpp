// The classifier that judges frozen features: its step against plain double loops, and what it
// learns, keeps and refuses.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "engine/init.h"
#include "engine/layers/batchnorm_layer.h"
#include "engine/layers/linear_layer.h"
#include "kernels/cpu_info.h"
#include "nat/evaluate/classifier.h"
#include "tests/opcases/device.h"
#include "tests/opcases/tensor.h"

using namespace nat;
using namespace nat::test;

namespace {

constexpr std::int64_t kBatch = 24, kFeatures = 40, kClasses = 5;

Sequential linear_head(Context& ctx) {
  std::vector<std::unique_ptr<Layer>> layers;
  layers.push_back(std::make_unique<LinearLayer>("fc1", kClasses, Bias::yes));
  return {ctx, Shape(1, 1, 1, kFeatures), std::move(layers)};
}

Sequential hidden_head(Context& ctx, Shape features, float dropout) {
  std::vector<std::unique_ptr<Layer>> layers;
  layers.push_back(std::make_unique<LinearLayer>("fc1", 32, Bias::no));
  layers.push_back(std::make_unique<BatchNormLayer>("bn1", BatchNorm{.dropout = dropout}, 1));
  layers.push_back(std::make_unique<LinearLayer>("fc2", kClasses, Bias::yes));
  return {ctx, features, std::move(layers)};
}

std::vector<double> values_of(Context& ctx, const Sequential& net) {
  const std::vector<float> memory = host_copy<float>(ctx, net.parameters().values());
  std::vector<double> all;
  for (const Parameter& parameter : net.parameters().parameters()) {
    const float* first = memory.data() + parameter.offset;
    all.insert(all.end(), first, first + parameter.shape.elements());
  }
  return all;
}

// Class i mod kClasses lies around a point of its own, so far out that no two overlap.
struct Crowd {
  Tensor features, labels;

  explicit Crowd(Shape shape, std::uint64_t seed)
      : features(shape, DType::f32), labels(Shape(shape[0]), DType::i32) {
    features.fill_uniform(seed, -1, 1);
    const std::int64_t row = shape.row();
    for (std::int64_t i = 0; i < shape[0]; ++i) {
      labels.set(i, static_cast<double>(i % kClasses));
      for (std::int64_t j = i % kClasses; j < row; j += kClasses) {
        features.set(i * row + j, features.get(i * row + j) + 2);
      }
    }
  }
};

std::int64_t count_right(Context& ctx, ConstView logits, const Tensor& labels) {
  const std::vector<float> outputs = host_copy<float>(ctx, logits);
  std::int64_t right = 0;
  for (std::int64_t i = 0; i < labels.size(); ++i) {
    const float* row = outputs.data() + i * kClasses;
    right += std::max_element(row, row + kClasses) - row == std::lround(labels.get(i));
  }
  return right;
}

}  // namespace

namespace {

int flag_of(std::int64_t own, std::int64_t c) {
  if (c == own) return 1;
  return c == (own + 1) % kClasses ? 0 : -1;
}

// What the loss reads: the labels, or for the logistic one the flags that belong to them.
Tensor answers_for(ClassifierLoss kind, const Tensor& labels) {
  const bool flags = kind == ClassifierLoss::logistic;
  Tensor answers(flags ? Shape(kBatch, kClasses) : Shape(kBatch), DType::i32);
  for (std::int64_t i = 0; i < kBatch; ++i) {
    const auto own = static_cast<std::int64_t>(std::lround(labels.get(i)));
    if (!flags) answers.set(i, labels.get(i));
    for (std::int64_t c = 0; flags && c < kClasses; ++c) {
      answers.set(i * kClasses + c, flag_of(own, c));
    }
  }
  return answers;
}

// Loss of the outputs y of a picture of class `own`, and its gradient, in double.
double softmax_loss(const double* y, std::int64_t own, double* dy) {
  double sum = 0;
  for (std::int64_t c = 0; c < kClasses; ++c) sum += std::exp(y[c]);
  for (std::int64_t c = 0; c < kClasses; ++c) dy[c] = std::exp(y[c]) / sum - (c == own ? 1 : 0);
  return std::log(sum) - y[own];
}

// Of flags that say 1 for the own class, 0 for the next and -1 for the others.
double logistic_loss(const double* y, std::int64_t own, double* dy) {
  double loss = 0;
  for (std::int64_t c = 0; c < kClasses; ++c) {
    const int flag = flag_of(own, c);
    loss += flag == 0 ? 0 : std::log(1 + std::exp(-flag * y[c]));
    dy[c] = flag == 0 ? 0 : -flag / (1 + std::exp(flag * y[c]));
  }
  return loss;
}

// |y/|y| - e_own|^2 = 2 - 2 y_own/|y|
double square_loss(const double* y, std::int64_t own, double* dy) {
  double norm = 0;
  for (std::int64_t c = 0; c < kClasses; ++c) norm += y[c] * y[c];
  norm = std::sqrt(norm);
  for (std::int64_t c = 0; c < kClasses; ++c) {
    dy[c] = -2 / norm * ((c == own ? 1 : 0) - y[own] * y[c] / (norm * norm));
  }
  return 2 - 2 * y[own] / norm;
}

}  // namespace

TEST_CASE("one step is that of regression by the loss, which it returns") {
  for (const auto& loss_and_reference : {std::pair{ClassifierLoss::softmax, &softmax_loss},
                                         {ClassifierLoss::square, &square_loss},
                                         {ClassifierLoss::logistic, &logistic_loss}}) {
    const auto& [kind, reference] = loss_and_reference;
    CAPTURE(static_cast<int>(loss_and_reference.first));
    Context ctx(kDevice);
    Sequential head = linear_head(ctx);
    initialize(ctx, Init::torch7, 3, head.parameters());
    const std::vector<double> before = values_of(ctx, head);  // weights row by row, then biases
    Crowd crowd(Shape(kBatch, kFeatures), 4);
    Classifier classifier(ctx, head, kBatch, {}, 1, kind);
    constexpr double kRate = 0.25;
    const Tensor answers = answers_for(kind, crowd.labels);
    const double loss = classifier.train(ctx, crowd.features.view(), answers.view(), 0, kRate);

    double expected_loss = 0;
    std::vector<double> expected = before;
    for (std::int64_t i = 0; i < kBatch; ++i) {
      double y[kClasses], dy[kClasses];
      for (std::int64_t c = 0; c < kClasses; ++c) {
        y[c] = before[static_cast<std::size_t>(kClasses * kFeatures + c)];
        for (std::int64_t j = 0; j < kFeatures; ++j) {
          y[c] += before[static_cast<std::size_t>(c * kFeatures + j)] *
                  crowd.features.get(i * kFeatures + j);
        }
      }
      expected_loss += reference(y, i % kClasses, dy) / kBatch;
      for (std::int64_t c = 0; c < kClasses; ++c) {
        const double move = kRate * dy[c] / kBatch;
        expected[static_cast<std::size_t>(kClasses * kFeatures + c)] -= move;
        for (std::int64_t j = 0; j < kFeatures; ++j) {
          expected[static_cast<std::size_t>(c * kFeatures + j)] -=
              move * crowd.features.get(i * kFeatures + j);
        }
      }
    }
    // Sums of up to 40 products of numbers up to 3 in float32.
    const double tolerance = (8 + std::sqrt(double{kFeatures})) * 0x1p-24 * 3;
    CHECK(std::abs(loss - expected_loss) <= tolerance * expected_loss);
    const std::vector<double> after = values_of(ctx, head);
    double moved = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      CHECK(std::abs(after[i] - expected[i]) <= tolerance);
      moved = std::max(moved, std::abs(after[i] - before[i]));
    }
    CHECK(moved > 1000 * tolerance);
  }
}

TEST_CASE("a head with a hidden block and dropout learns what a crowd of points says") {
  Math math = Math::f32;
  ClassifierLoss kind = ClassifierLoss::softmax;
  SUBCASE("float32") {}
  SUBCASE("the square loss") { kind = ClassifierLoss::square; }
  SUBCASE("the logistic loss") { kind = ClassifierLoss::logistic; }
  SUBCASE("bfloat16") {
    if (!kOnCuda && !cpu_info().bf16) {
      MESSAGE("skipped: no bfloat16 instructions");
      return;
    }
    math = Math::bf16;
  }
  Context ctx(kDevice, math);
  for (const Shape& shape : {Shape(kBatch, kFeatures), Shape(kBatch, 2, 4, 5)}) {
    CAPTURE(to_string(shape));
    Shape one = shape.rank == 4 ? shape : Shape(1, 1, 1, kFeatures);
    one.dim[0] = 1;
    const auto trained = [&](std::uint64_t seed) {
      Sequential head = hidden_head(ctx, one, 0.25f);
      initialize(ctx, Init::he, 3, head.parameters());
      Classifier classifier(ctx, head, kBatch, {.momentum = 0.9f}, seed, kind);
      CHECK(classifier.classes() == kClasses);
      double first = 0, last = 0;
      for (std::uint32_t step = 0; step < 30; ++step) {
        Crowd crowd(shape, 10 + step);
        const Tensor answers = answers_for(kind, crowd.labels);
        last = classifier.train(ctx, crowd.features.view(), answers.view(), step, 0.05);
        if (step == 0) first = last;
      }
      CHECK(last < 0.5 * first);
      const Crowd fresh(shape, 99);
      CHECK(count_right(ctx, classifier.logits(ctx, fresh.features.view()), fresh.labels) ==
            kBatch);
      return values_of(ctx, head);
    };
    const std::vector<double> once = trained(1);
    CHECK(trained(1) == once);  // bit for bit
    CHECK(trained(2) != once);  // other dropout masks
  }
}

TEST_CASE("dropout masks are those of the step that is named") {
  Context ctx(kDevice);
  const auto after = [&](std::uint32_t step) {
    Sequential head = hidden_head(ctx, Shape(1, 1, 1, kFeatures), 0.5f);
    initialize(ctx, Init::he, 3, head.parameters());
    Classifier classifier(ctx, head, kBatch, {}, 1);
    Crowd crowd(Shape(kBatch, kFeatures), 4);
    classifier.train(ctx, crowd.features.view(), crowd.labels.view(), step, 0.1);
    return values_of(ctx, head);
  };
  const std::vector<double> once = after(1);
  CHECK(after(1) == once);
  CHECK(after(2) != once);
}

TEST_CASE("a loss that is not finite is an error and leaves the parameters alone") {
  Context ctx(kDevice);
  Sequential head = linear_head(ctx);
  initialize(ctx, Init::he, 3, head.parameters());
  Classifier classifier(ctx, head, kBatch, {.momentum = 0.9f}, 1);
  Crowd crowd(Shape(kBatch, kFeatures), 4);
  classifier.train(ctx, crowd.features.view(), crowd.labels.view(), 0, 0.1);
  const std::vector<double> before = values_of(ctx, head);
  crowd.features.set(7, std::numeric_limits<double>::quiet_NaN());
  try {
    classifier.train(ctx, crowd.features.view(), crowd.labels.view(), 1, 0.1);
    FAIL("a NaN was accepted");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::not_finite);
  }
  CHECK(values_of(ctx, head) == before);
}

TEST_CASE("features of another size than planned are refused") {
  Context ctx(kDevice);
  Sequential head = linear_head(ctx);
  Classifier classifier(ctx, head, kBatch, {}, 1);
  const Tensor features(Shape(kBatch, kFeatures + 1), DType::f32);
  CHECK_THROWS_AS(classifier.logits(ctx, features.view()), Error);
}

TEST_CASE("the authors' schedule is constant for 20 epochs, then falls as 1 / (1 + 0.3 epochs)") {
  constexpr std::int64_t kSteps = 7;  // an epoch
  const Schedule schedule = official_classifier_schedule(kSteps);
  const auto at = [&](std::int64_t epoch) { return schedule.at(epoch * kSteps, 100 * kSteps); };
  CHECK(at(0) == 1);
  CHECK(at(20) == 1);
  CHECK(at(21) == doctest::Approx(1 / 1.3));
  CHECK(at(30) == doctest::Approx(1.0 / 4));
  CHECK(at(99) == doctest::Approx(1 / (1 + 0.3 * 79)));
}
