#include "nat/evaluate/linear_probe.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/check.h"
#include "kernels/parallel.h"
#include "kernels/random.h"
#include "nat/evaluate/lbfgs.h"
#include "nat/evaluate/standardize.h"
#include "tests/error_message.h"

using namespace nat;
using nat::test::message_of;

namespace {

FeatureMatrix gaussian(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  FeatureMatrix x(rows, columns);
  for (std::int64_t i = 0; i < rows * columns; ++i) {
    const Random4 random = philox(seed, RandomStream::synthetic, 0, static_cast<std::uint64_t>(i));
    x.values[static_cast<std::size_t>(i)] = normal_pair(random.value[0], random.value[1]).a;
  }
  return x;
}

std::vector<std::int32_t> random_labels(std::int64_t n, int classes, std::uint64_t seed) {
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::uint32_t bits =
        philox(seed, RandomStream::synthetic, 1, static_cast<std::uint64_t>(i)).value[0];
    labels.push_back(static_cast<std::int32_t>(bits % static_cast<std::uint32_t>(classes)));
  }
  return labels;
}

// A centre a class, `distance` along its own axis, in unit noise.
FeatureMatrix clusters(const std::vector<std::int32_t>& labels, std::int64_t columns,
                       float distance, std::uint64_t seed) {
  FeatureMatrix x = gaussian(std::ssize(labels), columns, seed);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    x.row(static_cast<std::int64_t>(i))[labels[i]] += distance;
  }
  return x;
}

// The regularised loss of the header and its gradient, naively in double. Parameters: W, then b.
double reference_loss(const FeatureMatrix& x, const std::vector<std::int32_t>& labels, int classes,
                      double decay, const std::vector<double>& w, std::vector<double>& gradient) {
  const std::size_t columns = static_cast<std::size_t>(x.columns);
  const std::size_t count = static_cast<std::size_t>(classes), weights = count * columns;
  const double n = static_cast<double>(x.rows);
  double loss = 0;
  std::fill(gradient.begin(), gradient.end(), 0.0);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    std::vector<double> p(count);
    double total = 0;
    for (std::size_t c = 0; c < count; ++c) {
      double logit = w[weights + c];
      for (std::size_t j = 0; j < columns; ++j) {
        logit += w[c * columns + j] * static_cast<double>(x.row(i)[j]);
      }
      total += p[c] = std::exp(logit);
    }
    const auto label = static_cast<std::size_t>(labels[static_cast<std::size_t>(i)]);
    loss -= std::log(p[label] / total) / n;
    for (std::size_t c = 0; c < count; ++c) {
      const double d = (p[c] / total - (c == label ? 1 : 0)) / n;
      for (std::size_t j = 0; j < columns; ++j) {
        gradient[c * columns + j] += d * static_cast<double>(x.row(i)[j]);
      }
      gradient[weights + c] += d;
    }
  }
  for (std::size_t i = 0; i < weights; ++i) {
    loss += decay / 2 * w[i] * w[i];
    gradient[i] += decay * w[i];
  }
  return loss;
}

}  // namespace

TEST_CASE("L-BFGS finds the minimum of Rosenbrock's valley") {
  const Objective rosenbrock = [](std::span<const double> x, std::span<double> gradient) {
    const double a = 1 - x[0], b = x[1] - x[0] * x[0];
    gradient[0] = -2 * a - 400 * x[0] * b;
    gradient[1] = 200 * b;
    return a * a + 100 * b * b;
  };
  std::vector<double> x = {-1.2, 1};
  const LbfgsReport report = minimise_lbfgs(rosenbrock, x, {.iterations = 200, .tolerance = 1e-9});
  CHECK(report.gradient_max <= 1e-9);
  CHECK(report.iterations < 200);
  CHECK(report.evaluations > report.iterations);
  CHECK(std::abs(x[0] - 1) <= 1e-6);
  CHECK(std::abs(x[1] - 1) <= 1e-6);
}

TEST_CASE("L-BFGS keeps to its iterations, stops at a minimum and refuses a NaN") {
  const Objective bowl = [](std::span<const double> x, std::span<double> gradient) {
    double value = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double scale = std::pow(10.0, static_cast<double>(i));
      value += scale * x[i] * x[i] / 2;
      gradient[i] = scale * x[i];
    }
    return value;
  };
  std::vector<double> x = {1, 1, 1, 1};
  const LbfgsReport three = minimise_lbfgs(bowl, x, {.iterations = 3, .tolerance = 0});
  CHECK(three.iterations == 3);
  CHECK(three.value < 1111.0 / 2);

  std::vector<double> minimum = {0, 0, 0, 0};
  const LbfgsReport at_rest = minimise_lbfgs(bowl, minimum, {});
  CHECK(at_rest.iterations == 0);
  CHECK(at_rest.evaluations == 1);

  std::vector<double> broken = {std::numeric_limits<double>::quiet_NaN()};
  message_of(ErrorKind::not_finite, [&] { minimise_lbfgs(bowl, broken, {}); });
}

TEST_CASE("L-BFGS remembers as many steps as it may") {
  const Objective parabola = [](std::span<const double> x, std::span<double> gradient) {
    gradient[0] = x[0];
    return x[0] * x[0] / 2;
  };
  const auto end = [&](int memory) {
    std::vector<double> x = {10};
    minimise_lbfgs(parabola, x, {.iterations = 2, .tolerance = 0, .memory = memory});
    return x[0];
  };
  CHECK(end(0) == 8);  // two steps of length 1
  CHECK(end(1) == 0);  // the first one tells the curvature
}

TEST_CASE("the probe reaches the optimum of plain gradient descent in double") {
  Context ctx;
  const int classes = 3;
  const std::int64_t columns = 5;
  const double decay = 0.05;
  const auto labels = random_labels(1100, classes, 1);  // three chunks of rows
  const FeatureMatrix x = clusters(labels, columns, 1.5f, 2);

  std::vector<double> w(static_cast<std::size_t>(classes * (columns + 1)), 0.0), gradient(w);
  double optimum = 0;
  for (int step = 0; step < 1000; ++step) {
    optimum = reference_loss(x, labels, classes, decay, w, gradient);
    for (std::size_t i = 0; i < w.size(); ++i) w[i] -= gradient[i];
  }
  double residual = 0;
  for (const double g : gradient) residual = std::max(residual, std::abs(g));
  REQUIRE(residual <= 1e-10);

  const double tolerance = 1e-5;
  const LinearProbeFit fit =
      fit_linear_probe(ctx, {x, labels}, classes, {.weight_decay = decay, .tolerance = tolerance});
  std::vector<double> fitted;
  for (const float value : fit.classifier.weight) fitted.push_back(static_cast<double>(value));
  for (const float value : fit.classifier.bias) fitted.push_back(static_cast<double>(value));
  const double loss = reference_loss(x, labels, classes, decay, fitted, gradient);

  // The gradient was driven below the tolerance; its own float32 rounding is at most
  // (rows + columns) u times the largest feature, u = 2^-24.
  const double largest = static_cast<double>(
      std::abs(*std::max_element(x.values.begin(), x.values.end(),
                                 [](float a, float b) { return std::abs(a) < std::abs(b); })));
  const double gradient_bound = tolerance + (1100 + 5) * 0x1p-24 * largest;
  for (const double g : gradient) CHECK(std::abs(g) <= gradient_bound);

  // The loss is strongly convex in W with constant `decay`: |dW| <= |gradient| / decay, and the
  // loss exceeds the optimum by at most |gradient|^2 / (2 decay).
  const double length = std::sqrt(static_cast<double>(w.size())) * gradient_bound;
  CHECK(loss - optimum <= length * length / (2 * decay));
  CHECK(loss - optimum >= -1e-12);
  double distance = 0;
  for (std::size_t i = 0; i < static_cast<std::size_t>(classes * columns); ++i) {
    distance += (fitted[i] - w[i]) * (fitted[i] - w[i]);
  }
  CHECK(std::sqrt(distance) <= length / decay);

  // The reported loss was summed in float32: logits, softmax and logarithm, a few u each.
  CHECK(std::abs(fit.loss - loss) <= 16 * 0x1p-24 * (1 + loss) * largest);
}

TEST_CASE("the linear judge reports what the classifier does") {
  Context ctx;
  const int classes = 4;
  const auto train_labels = random_labels(900, classes, 3);
  const auto test_labels = random_labels(1300, classes, 4);
  const FeatureMatrix train = clusters(train_labels, 6, 1.5f, 5);
  const FeatureMatrix test = clusters(test_labels, 6, 1.5f, 6);
  const LinearProbeResult result =
      linear_probe(ctx, {train, train_labels}, {test, test_labels}, classes);
  const LinearProbeFit fit = fit_linear_probe(ctx, {train, train_labels}, classes);

  const auto correct = [&](const FeatureMatrix& x, const std::vector<std::int32_t>& labels) {
    int count = 0;
    for (std::int64_t i = 0; i < x.rows; ++i) {
      std::vector<double> logits;
      for (int c = 0; c < classes; ++c) {
        const float* w = fit.classifier.weight.data() + c * x.columns;
        logits.push_back(std::inner_product(
            w, w + x.columns, x.row(i),
            static_cast<double>(fit.classifier.bias[static_cast<std::size_t>(c)])));
      }
      const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
      count += best == labels[static_cast<std::size_t>(i)];
    }
    return count;
  };
  CHECK(result.accuracy == correct(test, test_labels) / 1300.0);
  CHECK(result.train_accuracy == correct(train, train_labels) / 900.0);
  CHECK(result.accuracy > 0.6);
  CHECK(result.accuracy < 1);
  CHECK(result.standard_error ==
        doctest::Approx(std::sqrt(result.accuracy * (1 - result.accuracy) / 1300)).epsilon(1e-12));
  CHECK(result.n_train == 900);
  CHECK(result.n_test == 1300);
  CHECK(result.classes == classes);
  CHECK(result.loss == fit.loss);
  CHECK(result.iterations == fit.iterations);
}

TEST_CASE("the gradient is that of all rows where a thread takes several blocks of them") {
  Context ctx;
  const int classes = 3;
  const std::int64_t rows = 9000, columns = 4;  // 16 chunks, each of a block of 512 and a rest
  const double decay = 0.05, tolerance = 1e-5;
  const auto labels = random_labels(rows, classes, 11);
  const FeatureMatrix x = clusters(labels, columns, 1.5f, 12);
  const LinearProbeFit fit =
      fit_linear_probe(ctx, {x, labels}, classes, {.weight_decay = decay, .tolerance = tolerance});
  std::vector<double> fitted(fit.classifier.weight.begin(), fit.classifier.weight.end());
  fitted.insert(fitted.end(), fit.classifier.bias.begin(), fit.classifier.bias.end());
  std::vector<double> gradient(fitted.size());
  const double loss = reference_loss(x, labels, classes, decay, fitted, gradient);
  double largest = 0;
  for (const float value : x.values) {
    largest = std::max(largest, std::abs(static_cast<double>(value)));
  }
  // As above: the tolerance, and the rounding of float32 sums of a chunk.
  const double bound = tolerance + static_cast<double>(rows / 16 + columns) * 0x1p-24 * largest;
  for (const double g : gradient) CHECK(std::abs(g) <= bound);
  CHECK(std::abs(fit.loss - loss) <= 16 * 0x1p-24 * (1 + loss) * largest);
}

TEST_CASE("the weight decays of the probe are those of the recipe") {
  CHECK(LinearProbeOptions().weight_decay == 1e-3);
  CHECK(FewLabelsOptions().probe.weight_decay == 5e-2);
}

TEST_CASE("the probe keeps to its iterations") {
  Context ctx;
  const auto labels = random_labels(300, 4, 3);
  const FeatureMatrix x = clusters(labels, 6, 1.5f, 5);
  for (const int iterations : {1, 3}) {
    const LinearProbeFit fit =
        fit_linear_probe(ctx, {x, labels}, 4, {.iterations = iterations, .tolerance = 0});
    CHECK(fit.iterations == iterations);
  }
}

TEST_CASE("separate clusters are learnt without error and noise stays at chance") {
  Context ctx;
  const int classes = 5;
  const auto train_labels = random_labels(1000, classes, 7);
  const auto test_labels = random_labels(2000, classes, 8);
  const LinearProbeResult easy =
      linear_probe(ctx, {clusters(train_labels, 8, 20, 9), train_labels},
                   {clusters(test_labels, 8, 20, 10), test_labels}, classes);
  CHECK(easy.accuracy == 1);
  CHECK(easy.train_accuracy == 1);
  CHECK(easy.standard_error == 0);

  const LinearProbeResult noise = linear_probe(ctx, {gaussian(1000, 8, 11), train_labels},
                                               {gaussian(2000, 8, 12), test_labels}, classes);
  CHECK(std::abs(noise.accuracy - 0.2) <= 4 * std::sqrt(0.2 * 0.8 / 2000));
}

TEST_CASE("after standardisation the unit and the origin of a feature do not matter") {
  Context ctx;
  const int classes = 3;
  const auto train_labels = random_labels(400, classes, 13);
  const auto test_labels = random_labels(500, classes, 14);
  FeatureMatrix train = clusters(train_labels, 4, 2, 15), test = clusters(test_labels, 4, 2, 16);
  FeatureMatrix other_train = train, other_test = test;
  for (FeatureMatrix* x : {&other_train, &other_test}) {
    for (std::int64_t i = 0; i < x->rows; ++i) {
      for (std::int64_t j = 0; j < 4; ++j) {
        x->row(i)[j] = std::ldexp(x->row(i)[j], static_cast<int>(3 * j)) + 8;
      }
    }
  }
  standardize(train, test);
  standardize(other_train, other_test);
  const LinearProbeOptions options{.tolerance = 1e-5};
  const auto a = linear_probe(ctx, {train, train_labels}, {test, test_labels}, classes, options);
  const auto b =
      linear_probe(ctx, {other_train, train_labels}, {other_test, test_labels}, classes, options);
  // Adding 8 rounds a feature by 2^-21 at most; a flipped prediction needs a picture that close to
  // a boundary, and the loss moves in proportion to the weights (below 10).
  CHECK(std::abs(a.loss - b.loss) <= 4 * 10 * 0x1p-21);
  CHECK(a.accuracy == b.accuracy);
}

TEST_CASE("a probe repeats bit by bit, and one thread judges like two") {
  Context ctx;
  const int classes = 4;
  std::int64_t rows = 0;
  SUBCASE("many rows") { rows = 1500; }
  SUBCASE("fewer than a block of them") { rows = 300; }
  const auto train_labels = random_labels(rows, classes, 17);
  const auto test_labels = random_labels(1000, classes, 18);
  const FeatureMatrix train = clusters(train_labels, 33, 2, 19);
  const FeatureMatrix test = clusters(test_labels, 33, 2, 20);
  const auto judge = [&] {
    return linear_probe(ctx, {train, train_labels}, {test, test_labels}, classes);
  };
  const LinearProbeResult first = judge(), again = judge();
  CHECK(first.loss == again.loss);
  CHECK(first.accuracy == again.accuracy);
#if defined(_OPENMP)
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const LinearProbeResult one = judge();
  omp_set_num_threads(2);
  const LinearProbeResult two = judge();
  omp_set_num_threads(threads);
  CHECK(one.loss == two.loss);
  CHECK(one.accuracy == two.accuracy);
#endif
}

TEST_CASE("a balanced subset has equal classes and depends on the seed alone") {
  const int classes = 3;
  const auto labels = random_labels(600, classes, 21);
  const auto chosen = balanced_subset(labels, classes, 101, 5);
  CHECK(chosen.size() == 101);
  CHECK(std::is_sorted(chosen.begin(), chosen.end()));
  CHECK(std::adjacent_find(chosen.begin(), chosen.end()) == chosen.end());
  std::vector<int> members(classes, 0);
  for (const std::int64_t i : chosen)
    ++members[static_cast<std::size_t>(labels[static_cast<std::size_t>(i)])];
  CHECK(members == std::vector<int>{34, 34, 33});

  CHECK(balanced_subset(labels, classes, 101, 5) == chosen);
  CHECK(balanced_subset(labels, classes, 101, 6) != chosen);
  CHECK(balanced_subset(labels, classes, 101, 5, 1) != chosen);

  // A larger subset contains the smaller one, and the largest one takes all of a class.
  const auto more = balanced_subset(labels, classes, 201, 5);
  CHECK(std::includes(more.begin(), more.end(), chosen.begin(), chosen.end()));
  const std::vector<std::int32_t> six = {0, 1, 1, 0, 2, 2};
  CHECK(balanced_subset(six, 3, 6, 9) == std::vector<std::int64_t>{0, 1, 2, 3, 4, 5});
  message_of(ErrorKind::usage, [&] { balanced_subset(six, 3, 7, 9); });
  message_of(ErrorKind::data, [&] { balanced_subset(six, 2, 2, 9); });
}

TEST_CASE("the few-labels judge is the mean over its subsets") {
  Context ctx;
  const int classes = 4;
  const auto train_labels = random_labels(800, classes, 22);
  const auto test_labels = random_labels(700, classes, 23);
  const FeatureMatrix train = clusters(train_labels, 10, 2, 24);
  const FeatureMatrix test = clusters(test_labels, 10, 2, 25);
  const FewLabelsOptions options{.labels = 40, .subsets = 3, .seed = 6};
  const FewLabelsResult result =
      few_labels_probe(ctx, {train, train_labels}, {test, test_labels}, classes, options);
  REQUIRE(result.accuracies.size() == 3);
  double mean = 0, variance = 0;
  for (int subset = 0; subset < 3; ++subset) {
    const auto indices = balanced_subset(train_labels, classes, 40, 6, subset);
    const FeatureMatrix features = select_rows(train, indices);
    const auto labels = select_labels(train_labels, indices);
    const double accuracy =
        linear_probe(ctx, {features, labels}, {test, test_labels}, classes, options.probe).accuracy;
    CHECK(result.accuracies[static_cast<std::size_t>(subset)] == accuracy);
    mean += accuracy / 3;
  }
  for (const double accuracy : result.accuracies) variance += std::pow(accuracy - mean, 2) / 2;
  CHECK(result.accuracy == doctest::Approx(mean).epsilon(1e-12));
  CHECK(result.spread == doctest::Approx(std::sqrt(variance)).epsilon(1e-9));
  CHECK(result.standard_error ==
        doctest::Approx(std::sqrt(mean * (1 - mean) / 700)).epsilon(1e-12));
  CHECK(result.accuracy > 0.5);
  CHECK(result.labels == 40);
  CHECK(result.n_test == 700);
}

TEST_CASE("impossible requests of the linear judge are one clear error") {
  Context ctx;
  FeatureMatrix train = gaussian(6, 3, 26);
  const FeatureMatrix test = gaussian(4, 3, 27), narrow = gaussian(4, 2, 28);
  const std::vector<std::int32_t> labels = {0, 1, 0, 1, 0, 1}, test_labels(4, 1);
  const std::vector<std::int32_t> wrong = {0, 1, 0, 1, 0, 2};
  const auto judge = [&](const FeatureMatrix& x, const std::vector<std::int32_t>& y, int classes) {
    linear_probe(ctx, {train, y}, {x, test_labels}, classes);
  };
  message_of(ErrorKind::usage, [&] { judge(narrow, labels, 2); });
  message_of(ErrorKind::usage, [&] { judge(FeatureMatrix(), labels, 2); });
  message_of(ErrorKind::data, [&] { judge(test, wrong, 2); });
  message_of(ErrorKind::data, [&] { judge(test, {0, 1}, 2); });
  const std::vector<std::int32_t> single(6, 0);
  message_of(ErrorKind::usage, [&] { fit_linear_probe(ctx, {train, single}, 1); });
  message_of(ErrorKind::usage, [&] {
    few_labels_probe(ctx, {train, labels}, {test, test_labels}, 2, {.labels = 8});
  });
  message_of(ErrorKind::usage, [&] {
    few_labels_probe(ctx, {train, labels}, {test, test_labels}, 2, {.labels = 2, .subsets = 0});
  });
  train.row(3)[1] = std::numeric_limits<float>::infinity();
  message_of(ErrorKind::not_finite, [&] { judge(test, labels, 2); });
}
