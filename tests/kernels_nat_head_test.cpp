// Normalisation and square loss of the method (kernels/nat_head.h).
#include "kernels/nat_head.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "kernels/targets.h"
#include "tests/opcases/determinism.h"
#include "tests/opcases/device.h"
#include "tests/reference/nat_head.h"

namespace nat::test {
namespace {

Tensor unit_rows(std::uint64_t seed, std::int64_t n, std::int64_t d, DType dtype = DType::f32) {
  Context ctx(kDevice);
  Tensor ids(Shape(n), DType::i32), rows(Shape(n, d), dtype);
  for (std::int64_t i = 0; i < n; ++i) ids.set(i, static_cast<double>(i));
  target_rows(ctx, TargetKind::sphere, seed, ids.view(), rows.view());
  return rows;
}

struct Head {
  Tensor z, inv_norm, loss, dx;

  explicit Head(const Tensor& x)
      : z(x.shape(), x.dtype()),
        inv_norm(Shape(x.shape()[0]), x.dtype()),
        loss(Shape(x.shape()[0]), x.dtype()),
        dx(x.shape(), x.dtype()) {}

  static Head fused(float scale, const Tensor& x, const Tensor& targets) {
    Context ctx(kDevice);
    Head head(x);
    nat_head(ctx, scale, x.view(), targets.view(), head.z.view(), head.inv_norm.view(),
             head.loss.view(), head.dx.view());
    return head;
  }
  static Head in_halves(float scale, const Tensor& x, const Tensor& targets) {
    Context ctx(kDevice);
    Head head(x);
    normalize_rows(ctx, x.view(), head.z.view(), head.inv_norm.view());
    nat_loss(ctx, scale, head.z.view(), head.inv_norm.view(), targets.view(), head.loss.view(),
             head.dx.view());
    return head;
  }
};

void check_same_bits(const Head& a, const Head& b) {
  CHECK(same_bits(a.z, b.z));
  CHECK(same_bits(a.inv_norm, b.inv_norm));
  CHECK(same_bits(a.loss, b.loss));
  CHECK(same_bits(a.dx, b.dx));
}

// Bounds against exact arithmetic, targets of unit norm, u the unit roundoff. Sums are accumulated
// in double: free of error beside f32; in f64 a sum of d terms costs at most d u and the reference
// rounds as well, so every bound below is multiplied by 2 d.
//   inv_norm  one rounding                                    2 u
//   z         inv_norm and one product                        3 u |z|
//   loss      (|z - c| + 3 u)^2, and a rounding
//   dx        factor 2 u; cosine 4 u, times |z_j|; then the product, the difference, the product
//             with the factor: |factor| u (4 |c_j| + 12 |z_j|)
void check_against_reference(float scale, const Tensor& x, const Tensor& targets) {
  const auto n = static_cast<std::size_t>(x.shape()[0]);
  const auto d = static_cast<std::size_t>(x.shape()[1]);
  const Head head = Head::fused(scale, x, targets);
  const double exact_scale = static_cast<double>(scale);
  const auto expected = reference::nat_head(n, d, exact_scale, x.values(), targets.values());
  const double sums = x.dtype() == DType::f64 ? 2 * static_cast<double>(d) : 1;
  const double u = unit_roundoff(x.dtype()) * sums;
  const auto at = [](const std::vector<double>& values, std::int64_t i) {
    return std::abs(values[static_cast<std::size_t>(i)]);
  };
  CHECK(close("inv_norm", head.inv_norm, expected.inv_norm,
              [&](std::int64_t i) { return 2 * u * at(expected.inv_norm, i); }));
  CHECK(close("z", head.z, expected.z, [&](std::int64_t i) { return 3 * u * at(expected.z, i); }));
  CHECK(close("loss", head.loss, expected.loss, [&](std::int64_t i) {
    const double loss = at(expected.loss, i);
    return u * (6 * std::sqrt(loss) + 9 * u + 2 * loss);
  }));
  CHECK(close("dx", head.dx, expected.dx, [&](std::int64_t i) {
    const double factor = 2 * exact_scale * at(expected.inv_norm, i / static_cast<std::int64_t>(d));
    return factor * u * (4 * std::abs(targets.get(i)) + 12 * at(expected.z, i));
  }));
}

TEST_CASE("the head agrees with the double reference in f32 and f64 for any size") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const std::int64_t n : {1, 3, 32}) {
      for (const std::int64_t d : {1, 2, 7, 64, 129, 2048}) {
        CAPTURE(std::string(name(dtype)));
        CAPTURE(n);
        CAPTURE(d);
        Tensor x(Shape(n, d), dtype);
        x.fill_uniform(17, -3, 5);
        check_against_reference(0.25f, x, unit_rows(8, n, d, dtype));
      }
    }
  }
}

TEST_CASE("rows of any length are shared out to the last element") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const std::int64_t d : {128, 129, 511, 512, 513, 516, 2052, 8192, 8196, 10001}) {
      CAPTURE(std::string(name(dtype)));
      CAPTURE(d);
      Tensor x(Shape(2, d), dtype);
      x.fill_uniform(19, -3, 5);
      check_against_reference(1, x, unit_rows(8, 2, d, dtype));
    }
  }
}

TEST_CASE("the bits do not depend on the alignment of the rows") {
  Context ctx(kDevice);
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const std::int64_t d : {64, 1024, 4096}) {
      CAPTURE(std::string(name(dtype)));
      CAPTURE(d);
      Tensor x(Shape(2, d), dtype);
      x.fill_uniform(20, -1, 1);
      const Tensor targets = unit_rows(2, 2, d, dtype);
      const Head aligned = Head::fused(1, x, targets);
      Head shifted(x);
      Misaligned shifted_x(x), shifted_targets(targets), z(shifted.z), dx(shifted.dx);
      nat_head(ctx, 1, shifted_x.view(), shifted_targets.view(), z.view(), shifted.inv_norm.view(),
               shifted.loss.view(), dx.view());
      CHECK(same_bits(z.aligned(), aligned.z));
      CHECK(same_bits(dx.aligned(), aligned.dx));
      CHECK(same_bits(shifted.loss, aligned.loss));
      CHECK(z.canaries_intact());
      CHECK(dx.canaries_intact());
    }
  }
}

TEST_CASE("features far too large or small to be squared in float are normalised all the same") {
  for (const double size : {1e-30, 1e-9, 1e19, 1e30}) {
    CAPTURE(size);
    Tensor x(Shape(2, 64), DType::f32);
    x.fill_uniform(18, -size, size);
    check_against_reference(1, x, unit_rows(8, 2, 64));
  }
}

TEST_CASE("the fused pass equals its two halves bit for bit") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const std::int64_t d : {1, 3, 16, 65, 2048}) {
      CAPTURE(std::string(name(dtype)));
      CAPTURE(d);
      Tensor x(Shape(5, d), dtype);
      x.fill_uniform(21, -1, 1);
      const Tensor targets = unit_rows(2, 5, d, dtype);
      check_same_bits(Head::fused(0.3f, x, targets), Head::in_halves(0.3f, x, targets));
    }
  }
}

TEST_CASE("dx may overwrite x") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    CAPTURE(std::string(name(dtype)));
    Tensor x(Shape(9, 77), dtype);
    x.fill_uniform(22, -1, 1);
    const Tensor targets = unit_rows(2, 9, 77, dtype);
    const Head apart = Head::fused(1, x, targets);
    Context ctx(kDevice);
    Head over(x);
    nat_head(ctx, 1, x.view(), targets.view(), over.z.view(), over.inv_norm.view(),
             over.loss.view(), x.view());
    CHECK(same_bits(x, apart.dx));
    CHECK(same_bits(over.z, apart.z));
    CHECK(same_bits(over.loss, apart.loss));
    CHECK(x.canaries_intact());
  }
}

TEST_CASE("the loss is 2 - 2 cos for unit targets") {
  Tensor x(Shape(64, 96), DType::f64);
  x.fill_uniform(23, -1, 1);
  Tensor targets = unit_rows(3, 64, 96, DType::f64);
  Context ctx(kDevice);
  Tensor unit(targets.shape(), DType::f64), ignored(Shape(64), DType::f64);
  normalize_rows(ctx, targets.view(), unit.view(), ignored.view());  // unit to f64 precision
  const Head head = Head::fused(1, x, unit);
  double worst = 0;
  for (std::int64_t i = 0; i < 64; ++i) {
    double cosine = 0;
    for (std::int64_t j = 0; j < 96; ++j) cosine += head.z.get(i * 96 + j) * unit.get(i * 96 + j);
    worst = std::max(worst, std::abs(head.loss.get(i) - (2 - 2 * cosine)));
  }
  CHECK(worst <= 96 * 4 * unit_roundoff(DType::f64));
}

TEST_CASE("before learning the mean loss is 2.000 within three standard errors") {
  // z . c of independent random directions has variance 1/d: a loss has deviation 2 / sqrt(d).
  const std::int64_t n = 1024;
  for (const std::int64_t d : {16, 64, 512}) {
    CAPTURE(d);
    const Head head = Head::fused(1, unit_rows(1001, n, d), unit_rows(1, n, d));
    double mean = 0;
    for (const double loss : head.loss.values()) mean += loss / static_cast<double>(n);
    CHECK(std::abs(mean - 2) <= 3 * 2 / std::sqrt(static_cast<double>(n * d)));
  }
}

TEST_CASE("the gradient is tangential: dx . z = 0") {
  // c - (z . c) z leaves (z . c)(1 - |z|^2) and the roundings of the check above on every product:
  // |dx . z| <= factor u (4 + 12 + 6), by Cauchy and Schwarz.
  Tensor x(Shape(32, 300), DType::f32);
  x.fill_uniform(24, -2, 1);
  const Head head = Head::fused(1, x, unit_rows(5, 32, 300));
  double worst = 0;
  for (std::int64_t i = 0; i < 32; ++i) {
    double product = 0;
    for (std::int64_t j = i * 300; j < (i + 1) * 300; ++j) {
      product += head.dx.get(j) * head.z.get(j);
    }
    worst = std::max(worst, std::abs(product) / (2 * head.inv_norm.get(i)));
  }
  CHECK(worst <= 22 * unit_roundoff(DType::f32));
}

TEST_CASE("dx is the derivative of scale times the summed loss") {
  for (const std::int64_t d : {2, 5, 33}) {
    CAPTURE(d);
    const float scale = 0.375f;
    Tensor x(Shape(4, d), DType::f64);
    x.fill_uniform(25, -1, 2);
    const Tensor targets = unit_rows(6, 4, d, DType::f64);
    const std::vector<double> dx = Head::fused(scale, x, targets).dx.values();
    const auto objective = [&] {
      double total = 0;
      for (const double loss : Head::fused(scale, x, targets).loss.values()) total += loss;
      return static_cast<double>(scale) * total;
    };
    CHECK(gradient_error(objective, x, dx) <= 1e-6);
  }
}

TEST_CASE("a zero row gives z = 0, the loss of its target and a finite gradient") {
  Tensor x(Shape(3, 40), DType::f32);
  x.fill_uniform(26, -1, 1);
  for (std::int64_t j = 40; j < 80; ++j) x.set(j, 0);
  const Tensor targets = unit_rows(7, 3, 40);
  const Head head = Head::fused(1, x, targets);
  std::int64_t wrong = 0;
  for (std::int64_t j = 40; j < 80; ++j) {
    if (head.z.get(j) != 0 || !std::isfinite(head.dx.get(j))) ++wrong;
  }
  CHECK(wrong == 0);
  CHECK(head.inv_norm.get(1) == static_cast<double>(1e10f));
  CHECK(std::abs(head.loss.get(1) - 1) <= 2e-6);  // |c|^2, c a unit row to 1e-6
  check_against_reference(1, x, targets);
}

TEST_CASE("NaN and infinity stay in their row and are seen in z and in the loss") {
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    CAPTURE(bad);
    Tensor x(Shape(3, 40), DType::f32);
    x.fill_uniform(27, -1, 1);
    x.set(50, bad);
    const Head head = Head::fused(1, x, unit_rows(7, 3, 40));
    CHECK(std::isnan(head.z.get(50)));
    CHECK(std::isfinite(head.loss.get(0)));
    CHECK(std::isnan(head.loss.get(1)));
    CHECK(std::isfinite(head.loss.get(2)));
  }
}

TEST_CASE("one thread and two threads give the same bits") {
  Tensor x(Shape(101, 333), DType::f32);
  x.fill_uniform(28, -1, 1);
  const Tensor targets = unit_rows(7, 101, 333);
  with_threads(1, [&] {
    const Head fused = Head::fused(1, x, targets), halves = Head::in_halves(1, x, targets);
    with_threads(2, [&] {
      check_same_bits(fused, Head::fused(1, x, targets));
      check_same_bits(halves, Head::in_halves(1, x, targets));
    });
  });
}

}  // namespace
}  // namespace nat::test
