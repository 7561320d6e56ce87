// Logistic loss of several labels a picture (kernels/sigmoid_xent.h).
#include "kernels/sigmoid_xent.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>

#include "tests/error_message.h"
#include "tests/opcases/determinism.h"
#include "tests/opcases/device.h"
#include "tests/reference/sigmoid_xent.h"

namespace nat::test {
namespace {

// Like Pascal VOC: most classes are not in the picture, some are not judged.
Tensor flags_for(std::int64_t n, std::int64_t classes) {
  Tensor flags(Shape(n, classes), DType::i32);
  for (std::int64_t i = 0; i < flags.size(); ++i) {
    const std::int64_t kind = i * 7 % 11;
    flags.set(i, kind < 3 ? 1 : kind < 5 ? 0 : -1);
  }
  return flags;
}

struct Result {
  Tensor loss, dlogits;

  static Result of(float scale, const Tensor& logits, const Tensor& flags,
                   Device device = kDevice) {
    Context ctx(device);
    Result result{Tensor(Shape(logits.shape()[0]), logits.dtype()),
                  Tensor(logits.shape(), logits.dtype())};
    sigmoid_xent(ctx, scale, logits.view(), flags.view(), result.loss.view(),
                 result.dlogits.view());
    return result;
  }
};

// Relative errors, u the unit roundoff. exp errs by an ulp, 2 u: its argument is exact. log1p errs
// by two ulps, 4 u, and does not enlarge the error of its argument; adding the margin costs u: 7 u
// a term. All terms are positive and are summed in double, and the sum is rounded: 8 u, and one
// more for products of errors. The probability divides (u) an exponential (2 u) by 1 + e, whose
// error is at most (e / (1 + e)) 2 u + u <= 2 u, and the scale multiplies: 6 u, and one more.
// In f64 the sum costs another `classes` u.
double loss_error(const Tensor& logits) {
  const bool f64 = logits.dtype() == DType::f64;
  return unit_roundoff(logits.dtype()) * (9 + (f64 ? static_cast<double>(logits.shape()[1]) : 0));
}
double gradient_bound(const Tensor& logits) { return 7 * unit_roundoff(logits.dtype()); }

// In f64 the reference rounds as often, which doubles the bounds; double sums of float32 terms and
// the reference's own roundings hide behind the extra u of float32.
void check_against_reference(float scale, const Tensor& logits, const Tensor& flags) {
  const auto expected = reference::sigmoid_xent(
      static_cast<std::size_t>(logits.shape()[0]), static_cast<std::size_t>(logits.shape()[1]),
      static_cast<double>(scale), logits.values(), flags.values());
  const double rounds = logits.dtype() == DType::f64 ? 2 : 1;
  const Result result = Result::of(scale, logits, flags);
  CHECK(close("loss", result.loss, expected.loss, [&](std::int64_t i) {
    return rounds * loss_error(logits) * expected.loss[static_cast<std::size_t>(i)];
  }));
  CHECK(close("dlogits", result.dlogits, expected.dlogits, [&](std::int64_t i) {
    return rounds * gradient_bound(logits) *
           std::abs(expected.dlogits[static_cast<std::size_t>(i)]);
  }));
}

TEST_CASE("loss and gradient agree with the double reference for any size") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const std::int64_t n : {1, 5, 64}) {
      for (const std::int64_t classes : {1, 2, 20, 33, 1000}) {
        CAPTURE(std::string(name(dtype)));
        CAPTURE(n);
        CAPTURE(classes);
        Tensor logits(Shape(n, classes), dtype);
        logits.fill_uniform(41, -9, 9);
        check_against_reference(1.0f / 64, logits, flags_for(n, classes));
      }
    }
  }
}

TEST_CASE("thousands of classes are summed as exactly as few") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    Tensor logits(Shape(3, 5003), dtype);
    logits.fill_uniform(42, -9, 9);
    check_against_reference(-0.5f, logits, flags_for(3, 5003));
  }
}

TEST_CASE("a decision that is nearly sure keeps its small loss and gradient") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    Tensor logits(Shape(4, 1), dtype), flags(Shape(4, 1), DType::i32);
    logits.assign({50, -50, 80, -80});  // e^-80 is a normal number of float32
    flags.assign({1, -1, 1, -1});
    check_against_reference(1, logits, flags);
    CHECK(Result::of(1, logits, flags).loss.get(0) > 1e-22);
  }
}

TEST_CASE("huge logits neither overflow nor lose the loss") {
  const double infinity = std::numeric_limits<double>::infinity();
  for (const double size : {1e4, 3e38, infinity}) {
    CAPTURE(size);
    Tensor logits(Shape(4, 1), DType::f32), flags(Shape(4, 1), DType::i32);
    logits.assign({size, size, -size, -size});
    flags.assign({1, -1, 1, -1});
    const Result result = Result::of(1, logits, flags);
    const double stored = logits.get(0);
    CHECK(result.loss.values() == std::vector<double>{0, stored, stored, 0});
    CHECK(result.dlogits.values() == std::vector<double>{0, 1, -1, 0});
  }
}

TEST_CASE("a logit of zero costs log 2 and pulls with one half") {
  Tensor logits(Shape(2, 3), DType::f64), flags(Shape(2, 3), DType::i32);
  logits.fill(0);
  flags.assign({1, -1, -1, 0, 1, 0});
  const Result result = Result::of(4, logits, flags);
  CHECK(std::abs(result.loss.get(0) - 3 * std::log(2.0)) <= 1e-15);
  CHECK(std::abs(result.loss.get(1) - std::log(2.0)) <= 1e-15);
  CHECK(result.dlogits.values() == std::vector<double>{-2, 2, 2, 0, -2, 0});
}

TEST_CASE("a class that is not judged costs nothing, whatever its logit") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    const double infinity = std::numeric_limits<double>::infinity();
    Tensor logits(Shape(2, 4), dtype), flags(Shape(2, 4), DType::i32);
    logits.assign({std::nan(""), 0.5, infinity, -infinity, 1, std::nan(""), 3e38, -2});
    flags.assign({0, 1, 0, 0, 0, 0, 0, 0});
    const Result result = Result::of(1, logits, flags);
    const double u = unit_roundoff(dtype);
    CHECK(std::abs(result.loss.get(0) - std::log1p(std::exp(-0.5))) <= 9 * u);
    CHECK(result.loss.get(1) == 0);
    for (std::int64_t i = 0; i < 8; ++i) CHECK((result.dlogits.get(i) == 0) == (i != 1));
  }
}

TEST_CASE("a NaN that is judged reaches the loss") {
  for (const double flag : {1.0, -1.0}) {
    Tensor logits(Shape(2, 3), DType::f32), flags(Shape(2, 3), DType::i32);
    logits.assign({1, 2, 3, 1, std::nan(""), 3});
    flags.assign({1, 1, -1, 1, flag, -1});
    const Result result = Result::of(1, logits, flags);
    CHECK(!std::isnan(result.loss.get(0)));
    CHECK(std::isnan(result.loss.get(1)));
    for (std::int64_t i = 0; i < 6; ++i) CHECK(std::isnan(result.dlogits.get(i)) == (i == 4));
  }
}

TEST_CASE("dlogits is the derivative of scale times the summed loss") {
  const float scale = 0.625f;
  for (const std::int64_t classes : {1, 7, 20}) {
    CAPTURE(classes);
    Tensor logits(Shape(3, classes), DType::f64);
    logits.fill_uniform(43, -2, 2);
    const Tensor flags = flags_for(3, classes);
    const std::vector<double> dlogits = Result::of(scale, logits, flags).dlogits.values();
    const auto objective = [&] {
      double total = 0;
      for (const double loss : Result::of(scale, logits, flags).loss.values()) total += loss;
      return static_cast<double>(scale) * total;
    };
    CHECK(gradient_error(objective, logits, dlogits) <= 1e-6);
  }
}

TEST_CASE("the gradient may be left out or overwrite the logits") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    CAPTURE(std::string(name(dtype)));
    Tensor logits(Shape(6, 35), dtype);
    logits.fill_uniform(44, -3, 3);
    const Tensor flags = flags_for(6, 35);
    const Result apart = Result::of(2, logits, flags);
    CHECK(apart.loss.canaries_intact());
    CHECK(apart.dlogits.canaries_intact());
    Context ctx(kDevice);
    Tensor loss(apart.loss.shape(), dtype);
    sigmoid_xent(ctx, 2, logits.view(), flags.view(), loss.view(), View());
    CHECK(same_bits(loss, apart.loss));
    loss.poison();
    sigmoid_xent(ctx, 2, logits.view(), flags.view(), loss.view(), logits.view());
    CHECK(same_bits(loss, apart.loss));
    CHECK(same_bits(logits, apart.dlogits));
    CHECK(logits.canaries_intact());
  }
}

TEST_CASE("another flag makes its row NaN where flags cannot be looked at" *
          doctest::skip(!kOnCuda)) {
  for (const std::int64_t classes : {20, 70}) {
    Tensor logits(Shape(5, classes), DType::f32);
    logits.fill_uniform(45, -1, 1);
    for (const std::int64_t place : {std::int64_t{0}, classes - 1}) {
      for (const double bad : {2.0, -2.0, 255.0, -2147483648.0, 2147483647.0}) {
        CAPTURE(place);
        CAPTURE(bad);
        Tensor flags = flags_for(5, classes);
        flags.set(3 * classes + place, bad);
        const Result result = Result::of(1, logits, flags);
        for (std::int64_t i = 0; i < 5; ++i) CHECK(std::isnan(result.loss.get(i)) == (i == 3));
        for (std::int64_t i = 0; i < 5 * classes; ++i) {
          CHECK(std::isnan(result.dlogits.get(i)) == (i / classes == 3));
        }
      }
    }
  }
}

TEST_CASE("another flag is a data error that names its row, class and value" *
          doctest::skip(kOnCuda)) {
  Tensor logits(Shape(5, 10), DType::f32);
  logits.fill_uniform(45, -1, 1);
  for (const int bad : {2, -2, 255}) {
    Tensor flags = flags_for(5, 10);
    flags.set(37, bad);
    const std::string message = message_of(ErrorKind::data, [&] { Result::of(1, logits, flags); });
    CHECK(message.find("row 3, class 7 is " + std::to_string(bad)) != std::string::npos);
  }
}

TEST_CASE("CUDA and CPU agree within the errors of both" * doctest::skip(!kOnCuda)) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    CAPTURE(std::string(name(dtype)));
    Tensor logits(Shape(37, 45), dtype);
    logits.fill_uniform(46, -30, 30);
    const Tensor flags = flags_for(37, 45);
    const Result cuda = Result::of(0.25f, logits, flags);
    const Result cpu = Result::of(0.25f, logits, flags, Device::cpu);
    CHECK(close("loss", cuda.loss, cpu.loss.values(),
                [&](std::int64_t i) { return 2 * loss_error(logits) * cpu.loss.get(i); }));
    CHECK(close("dlogits", cuda.dlogits, cpu.dlogits.values(), [&](std::int64_t i) {
      return 2 * gradient_bound(logits) * std::abs(cpu.dlogits.get(i));
    }));
  }
}

TEST_CASE("every schedule gives the same bits") {
  Tensor logits(Shape(129, 101), DType::f32);
  logits.fill_uniform(47, -5, 5);
  const Tensor flags = flags_for(129, 101);
  const Result first = Result::of(1, logits, flags);
  for_each_schedule([&] {
    const Result again = Result::of(1, logits, flags);
    CHECK(same_bits(first.loss, again.loss));
    CHECK(same_bits(first.dlogits, again.dlogits));
  });
}

}  // namespace
}  // namespace nat::test
