// Means, centring, row products and sums (kernels/reduce.h).
#include "kernels/reduce.h"

#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "tests/opcases/determinism.h"
#include "tests/opcases/device.h"
#include "tests/reference/reduce.h"

namespace nat::test {
namespace {

struct Size {
  std::int64_t n, d;
};
constexpr Size kSizes[] = {{1, 1},    {1, 9},    {3, 64},    {17, 33},
                           {64, 100}, {300, 65}, {1100, 12}, {2, 4100}};

// Calls f(x) for uniform matrices of every size and dtype.
template <class F>
void for_each_matrix(F&& f) {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const Size size : kSizes) {
      CAPTURE(std::string(name(dtype)));
      CAPTURE(size.n);
      CAPTURE(size.d);
      Tensor x(Shape(size.n, size.d), dtype);
      x.fill_uniform(61, -1, 3);
      f(x);
    }
  }
}

// Sums run in double: K terms of size at most `largest` err by at most K 2^-53 K largest, here and
// in the reference; then one rounding to the dtype.
double sum_bound(DType dtype, std::int64_t terms, double largest, double result) {
  const auto k = static_cast<double>(terms);
  return 0x1p-52 * k * k * largest + unit_roundoff(dtype) * std::abs(result);
}

TEST_CASE("column_mean agrees with the double reference") {
  for_each_matrix([](const Tensor& x) {
    Context ctx(kDevice);
    const std::int64_t n = x.shape()[0], d = x.shape()[1];
    Tensor mean(Shape(d), x.dtype());
    column_mean(ctx, x.view(), mean.view());
    const auto expected = reference::column_mean(static_cast<std::size_t>(n),
                                                 static_cast<std::size_t>(d), x.values());
    CHECK(close("mean", mean, expected, [&](std::int64_t j) {
      return sum_bound(x.dtype(), n + 1, 3, expected[static_cast<std::size_t>(j)]);
    }));
  });
}

TEST_CASE("center_rows subtracts the mean with one rounding, also in place") {
  for_each_matrix([](const Tensor& x) {
    Context ctx(kDevice);
    const std::int64_t d = x.shape()[1];
    Tensor mean(Shape(d), x.dtype()), y(x.shape(), x.dtype()), in_place = x;
    mean.fill_uniform(62, -1, 1);
    center_rows(ctx, x.view(), mean.view(), y.view());
    center_rows(ctx, in_place.view(), mean.view(), in_place.view());
    std::vector<double> expected = x.values();
    for (std::int64_t i = 0; i < x.size(); ++i) {
      expected[static_cast<std::size_t>(i)] -= mean.get(i % d);
    }
    CHECK(close("y", y, expected, [&](std::int64_t i) {
      return unit_roundoff(x.dtype()) * std::abs(expected[static_cast<std::size_t>(i)]);
    }));
    CHECK(same_bits(y, in_place));
    CHECK(in_place.canaries_intact());
  });
}

TEST_CASE("rows centred on their mean have mean zero") {
  Context ctx(kDevice);
  Tensor x(Shape(257, 40), DType::f64), mean(Shape(40), DType::f64);
  x.fill_uniform(63, 4, 6);
  column_mean(ctx, x.view(), mean.view());
  center_rows(ctx, x.view(), mean.view(), x.view());
  column_mean(ctx, x.view(), mean.view());
  for (const double value : mean.values()) CHECK(std::abs(value) <= 257 * 0x1p-53 * 6);
}

TEST_CASE("matrices of any alignment are read and written element by element") {
  Context ctx(kDevice);
  for (const DType dtype : {DType::f32, DType::f64}) {
    Tensor x(Shape(20, 64), dtype), mean(Shape(64), dtype), y(x.shape(), dtype);
    Tensor dots(Shape(20), dtype);
    x.fill_uniform(67, -1, 3);
    Misaligned shifted_x(x), shifted_mean(mean), shifted_y(y), shifted_dots(dots);
    column_mean(ctx, x.view(), mean.view());
    column_mean(ctx, shifted_x.view(), shifted_mean.view());
    center_rows(ctx, x.view(), mean.view(), y.view());
    center_rows(ctx, shifted_x.view(), shifted_mean.view(), shifted_y.view());
    row_dot(ctx, y.view(), y.view(), dots.view());
    row_dot(ctx, shifted_y.view(), shifted_y.view(), shifted_dots.view());
    CHECK(same_bits(shifted_mean.aligned(), mean));
    CHECK(same_bits(shifted_y.aligned(), y));
    // The order of summation may follow the alignment; sums of 64 squares of at most 4.
    CHECK(close("dots", shifted_dots.aligned(), dots.values(),
                [&](std::int64_t i) { return sum_bound(dtype, 65, 16, 2 * dots.get(i)); }));
    CHECK(shifted_y.canaries_intact());
  }
}

TEST_CASE("row_dot agrees with the double reference") {
  for_each_matrix([](const Tensor& a) {
    Context ctx(kDevice);
    const std::int64_t n = a.shape()[0], d = a.shape()[1];
    Tensor b(a.shape(), a.dtype()), dots(Shape(n), a.dtype());
    b.fill_uniform(64, -1, 1);
    row_dot(ctx, a.view(), b.view(), dots.view());
    const auto expected = reference::row_dot(static_cast<std::size_t>(n),
                                             static_cast<std::size_t>(d), a.values(), b.values());
    CHECK(close("dots", dots, expected, [&](std::int64_t i) {
      return sum_bound(a.dtype(), d + 1, 3, expected[static_cast<std::size_t>(i)]);
    }));
  });
}

TEST_CASE("sum agrees with the double reference for any length") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const std::int64_t n : {1, 63, 64, 65, 1000, 8192, 8193, 20001}) {
      CAPTURE(std::string(name(dtype)));
      CAPTURE(n);
      Context ctx(kDevice);
      Tensor x(Shape(n), dtype), total(Shape(1), dtype);
      x.fill_uniform(65, -1, 2);
      sum(ctx, x.view(), total.view());
      double expected = 0;
      for (const double value : x.values()) expected += value;
      CHECK(close("total", total, {expected},
                  [&](std::int64_t) { return sum_bound(dtype, n, 2, expected); }));
    }
  }
}

TEST_CASE("sum is accumulated in double: small terms after a large one are not lost") {
  Context ctx(kDevice);
  Tensor x(Shape(1001), DType::f32), total(Shape(1), DType::f32);
  x.fill(1);
  x.set(0, 0x1p24);
  sum(ctx, x.view(), total.view());
  CHECK(total.get(0) == 0x1p24 + 1000);
  x.set(500, std::nan(""));
  sum(ctx, x.view(), total.view());
  CHECK(std::isnan(total.get(0)));
}

TEST_CASE("one thread and two threads give the same bits") {
  struct Results {
    Tensor mean{Shape(77), DType::f32}, centred{Shape(999, 77), DType::f32};
    Tensor dots{Shape(999), DType::f32}, total{Shape(1), DType::f32};
  };
  Tensor x(Shape(999, 77), DType::f32);
  x.fill_uniform(66, -1, 3);
  Results one, two;
  const auto compute = [&x](Results& r) {
    Context ctx(kDevice);
    column_mean(ctx, x.view(), r.mean.view());
    center_rows(ctx, x.view(), r.mean.view(), r.centred.view());
    row_dot(ctx, x.view(), r.centred.view(), r.dots.view());
    sum(ctx, x.view(), r.total.view());
  };
  with_threads(1, [&] { compute(one); });
  with_threads(2, [&] { compute(two); });
  CHECK(same_bits(one.mean, two.mean));
  CHECK(same_bits(one.centred, two.centred));
  CHECK(same_bits(one.dots, two.dots));
  CHECK(same_bits(one.total, two.total));
}

}  // namespace
}  // namespace nat::test
