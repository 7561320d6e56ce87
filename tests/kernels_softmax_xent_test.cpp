// Softmax cross-entropy (kernels/softmax_xent.h).
#include "kernels/softmax_xent.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "tests/opcases/determinism.h"
#include "tests/opcases/device.h"
#include "tests/reference/softmax_xent.h"

namespace nat::test {
namespace {

Tensor labels_for(std::int64_t n, std::int64_t classes) {
  Tensor labels(Shape(n), DType::i32);
  for (std::int64_t i = 0; i < n; ++i) labels.set(i, static_cast<double>(i * 7 % classes));
  return labels;
}

struct Result {
  Tensor loss, dlogits;

  static Result of(float scale, const Tensor& logits, const Tensor& labels) {
    Context ctx(kDevice);
    Result result{Tensor(labels.shape(), logits.dtype()), Tensor(logits.shape(), logits.dtype())};
    softmax_xent(ctx, scale, logits.view(), labels.view(), result.loss.view(),
                 result.dlogits.view());
    return result;
  }
};

// Bounds, u the unit roundoff and `range` the largest distance of a logit from its row's maximum:
// the argument of exp carries one rounding of its size, exp itself errs by at most an ulp, so an
// exponential and (summed in double) their total are good to (2 + range) u. The loss takes the
// logarithm of the total, the rounded logit of the label, and rounds; the gradient divides by the
// total, multiplies twice and subtracts. In f64 the sum costs another `classes` u and the reference
// rounds as well, which doubles the bounds.
void check_against_reference(float scale, const Tensor& logits, const Tensor& labels) {
  const std::int64_t classes = logits.shape()[1];
  const std::vector<double> values = logits.values();
  const auto expected = reference::softmax_xent(
      static_cast<std::size_t>(logits.shape()[0]), static_cast<std::size_t>(classes),
      static_cast<double>(scale), values, labels.values());
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  const double range = *high - *low;
  const bool f64 = logits.dtype() == DType::f64;
  const double u = unit_roundoff(logits.dtype()) * (f64 ? 2 : 1);
  const double total = 2 + range + (f64 ? static_cast<double>(classes) : 0);
  const Result result = Result::of(scale, logits, labels);
  CHECK(close("loss", result.loss, expected.loss, [&](std::int64_t i) {
    return u * (total + range + 2 * expected.loss[static_cast<std::size_t>(i)] + 1);
  }));
  const auto exact_scale = static_cast<double>(scale);
  CHECK(close("dlogits", result.dlogits, expected.dlogits, [&](std::int64_t i) {
    const bool is_label = static_cast<double>(i % classes) == labels.get(i / classes);
    const double dlogit = expected.dlogits[static_cast<std::size_t>(i)];
    const double p_scaled = is_label ? dlogit + exact_scale : dlogit;
    return u * ((2 * total + 4) * p_scaled + (is_label ? exact_scale : 0));
  }));
}

TEST_CASE("loss and gradient agree with the double reference for any size") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const std::int64_t n : {1, 5, 64}) {
      for (const std::int64_t classes : {1, 2, 10, 37, 1000}) {
        CAPTURE(std::string(name(dtype)));
        CAPTURE(n);
        CAPTURE(classes);
        Tensor logits(Shape(n, classes), dtype);
        logits.fill_uniform(31, -4, 9);
        check_against_reference(1.0f / 64, logits, labels_for(n, classes));
      }
    }
  }
}

TEST_CASE("thousands of classes are summed as exactly as few") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const std::int64_t classes : {1024, 1025, 5003}) {
      CAPTURE(std::string(name(dtype)));
      CAPTURE(classes);
      Tensor logits(Shape(3, classes), dtype);
      logits.fill_uniform(36, -4, 9);
      check_against_reference(0.5f, logits, labels_for(3, classes));
    }
  }
}

TEST_CASE("large logits neither overflow nor lose the loss") {
  Tensor logits(Shape(2, 3), DType::f32);
  logits.assign({1e4, 1e4 - 1, -1e4, 3e38, -3e38, 0});
  Tensor labels(Shape(2), DType::i32);
  labels.assign({1, 0});
  const Result result = Result::of(1, logits, labels);
  // log(1 + e^-1) + 1, to one rounding of exp, log and the result each.
  CHECK(std::abs(result.loss.get(0) - (1 + std::log1p(std::exp(-1.0)))) <= 4 * 0x1p-24);
  CHECK(result.loss.get(1) == 0);
  CHECK(result.dlogits.get(2) == 0);
  CHECK(result.dlogits.get(3) == 0);
}

TEST_CASE("equal logits cost log(classes)") {
  Tensor logits(Shape(4, 10), DType::f64);
  logits.fill(-3);
  const Result result = Result::of(1, logits, labels_for(4, 10));
  for (const double loss : result.loss.values()) CHECK(std::abs(loss - std::log(10.0)) <= 1e-15);
}

TEST_CASE("dlogits is the derivative of scale times the summed loss") {
  const float scale = 0.625f;
  for (const std::int64_t classes : {2, 7, 20}) {
    CAPTURE(classes);
    Tensor logits(Shape(3, classes), DType::f64);
    logits.fill_uniform(32, -2, 2);
    const Tensor labels = labels_for(3, classes);
    const std::vector<double> dlogits = Result::of(scale, logits, labels).dlogits.values();
    const auto objective = [&] {
      double total = 0;
      for (const double loss : Result::of(scale, logits, labels).loss.values()) total += loss;
      return static_cast<double>(scale) * total;
    };
    CHECK(gradient_error(objective, logits, dlogits) <= 1e-6);
  }
}

TEST_CASE("the gradient may be left out or overwrite the logits") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    CAPTURE(std::string(name(dtype)));
    Tensor logits(Shape(6, 19), dtype);
    logits.fill_uniform(33, -1, 1);
    const Tensor labels = labels_for(6, 19);
    const Result apart = Result::of(2, logits, labels);
    CHECK(apart.loss.canaries_intact());
    Context ctx(kDevice);
    Tensor loss(labels.shape(), dtype);
    softmax_xent(ctx, 2, logits.view(), labels.view(), loss.view(), View());
    CHECK(same_bits(loss, apart.loss));
    loss.poison();
    softmax_xent(ctx, 2, logits.view(), labels.view(), loss.view(), logits.view());
    CHECK(same_bits(loss, apart.loss));
    CHECK(same_bits(logits, apart.dlogits));
    CHECK(logits.canaries_intact());
  }
}

TEST_CASE("a label outside the classes makes its row NaN where labels cannot be looked at" *
          doctest::skip(!kOnCuda)) {
  for (const std::int64_t classes : {10, 2000}) {
    Tensor logits(Shape(5, classes), DType::f32);
    logits.fill_uniform(34, -1, 1);
    for (const double bad : {static_cast<double>(classes), -1.0, 2147483647.0}) {
      CAPTURE(classes);
      CAPTURE(bad);
      Tensor labels = labels_for(5, classes);
      labels.set(3, bad);
      const Result result = Result::of(1, logits, labels);
      for (std::int64_t i = 0; i < 5; ++i) {
        CHECK(std::isnan(result.loss.get(i)) == (i == 3));
        CHECK(std::isnan(result.dlogits.get(i * classes)) == (i == 3));
      }
      CHECK(result.loss.canaries_intact());
      CHECK(result.dlogits.canaries_intact());
    }
  }
}

TEST_CASE("a label outside the classes is a data error that names its row and value" *
          doctest::skip(kOnCuda)) {
  Tensor logits(Shape(5, 10), DType::f32);
  logits.fill_uniform(34, -1, 1);
  for (const int bad : {10, -1, 255}) {
    CAPTURE(bad);
    Tensor labels = labels_for(5, 10);
    labels.set(3, bad);
    try {
      Result::of(1, logits, labels);
      FAIL("no error");
    } catch (const Error& error) {
      const std::string message = error.what();
      CHECK(error.kind() == ErrorKind::data);
      CHECK(message.find("row 3 is " + std::to_string(bad)) != std::string::npos);
      CHECK(message.find('\n') == std::string::npos);
    }
  }
}

TEST_CASE("one thread and two threads give the same bits") {
  Tensor logits(Shape(129, 101), DType::f32);
  logits.fill_uniform(35, -5, 5);
  const Tensor labels = labels_for(129, 101);
  with_threads(1, [&] {
    const Result one = Result::of(1, logits, labels);
    with_threads(2, [&] {
      const Result two = Result::of(1, logits, labels);
      CHECK(same_bits(one.loss, two.loss));
      CHECK(same_bits(one.dlogits, two.dlogits));
    });
  });
}

}  // namespace
}  // namespace nat::test
