// Changes of dtype (kernels/cast.h).
#include "kernels/cast.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>

#include "tests/opcases/determinism.h"
#include "tests/opcases/device.h"
#include "tests/reference/cast.h"

namespace nat::test {
namespace {

constexpr DType kReals[] = {DType::f32, DType::f64, DType::bf16};
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Tensor cast_to(const Tensor& x, DType dtype) {
  Context ctx(kDevice);
  Tensor y(x.shape(), dtype);
  cast(ctx, x.view(), y.view());
  CHECK(y.canaries_intact());
  return y;
}

bool same_number(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

// Every element of y is the value of x that the storage type of y is nearest to.
void check_values(const Tensor& x, const Tensor& y) {
  std::int64_t wrong = 0;
  for (std::int64_t i = 0; i < x.size(); ++i) {
    if (!same_number(y.get(i), reference::nearest(y.dtype(), x.get(i)))) ++wrong;
  }
  CHECK(wrong == 0);
}

// Ties, neighbours of ties, the ends of every range, subnormals and what is not a number.
std::vector<double> special_values() {
  std::vector<double> values = {0,
                                1,
                                1 + 0x1p-8,
                                1 + 0x3p-8,
                                1 + 0x1p-9,
                                0x1p-126,
                                0x1p-130,
                                0x1p-133,
                                0x1p-134,
                                0x3p-134,
                                0x1p-149,
                                0x1p-150,
                                3.3895313892515355e38,
                                3.396e38,
                                1e300,
                                1e-300,
                                M_PI,
                                kInfinity,
                                std::nan("")};
  // Just above and below a bf16 tie, closer than a float can tell: only one rounding gets it right.
  for (const double tie : {1 + 0x1p-8, 1 + 0x3p-8, 1 + 0x1p-24, 1 + 0x3p-24}) {
    values.push_back(std::nextafter(tie, 0.0));
    values.push_back(std::nextafter(tie, 2.0));
  }
  const std::size_t count = values.size();
  for (std::size_t i = 0; i < count; ++i) values.push_back(-values[i]);
  return values;
}

TEST_CASE("every pair of storage types rounds to nearest, ties to even, NaN and infinity kept") {
  const std::vector<double> values = special_values();
  for (const DType from : kReals) {
    for (const DType to : kReals) {
      CAPTURE(std::string(name(from)));
      CAPTURE(std::string(name(to)));
      Tensor x(Shape(static_cast<std::int64_t>(values.size())), from);
      x.assign(values);
      check_values(x, cast_to(x, to));
      Tensor many(Shape(40, 1003), from);
      many.fill_uniform(71, -100, 100);
      check_values(many, cast_to(many, to));
    }
  }
}

TEST_CASE("ties go to the even neighbour") {
  Tensor x(Shape(4), DType::f32);
  x.assign({1 + 0x1p-8, 1 + 0x3p-8, -(1 + 0x1p-8), 1 + 0x1p-8 + 0x1p-23});
  CHECK(cast_to(x, DType::bf16).values() == std::vector<double>{1, 1 + 0x1p-6, -1, 1 + 0x1p-7});
}

TEST_CASE("every bf16 pattern survives the way through f32 and f64") {
  Tensor x(Shape(65536), DType::bf16);
  for (std::int64_t i = 0; i < x.size(); ++i) {
    x.view().as<BFloat16>()[i].bits = static_cast<std::uint16_t>(i);
  }
  for (const DType through : {DType::f32, DType::f64}) {
    const Tensor back = cast_to(cast_to(x, through), DType::bf16);
    std::int64_t wrong = 0;
    for (std::int64_t i = 0; i < x.size(); ++i) {
      if (!same_number(back.get(i), x.get(i))) ++wrong;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("every length and alignment is converted to its last element and no further") {
  Context ctx(kDevice);
  for (const DType from : kReals) {
    for (const DType to : kReals) {
      for (const std::int64_t n : {1, 3, 7, 8, 9, 4097}) {
        CAPTURE(std::string(name(from)));
        CAPTURE(std::string(name(to)));
        CAPTURE(n);
        Tensor x(Shape(n), from);
        x.fill_uniform(75, -100, 100);
        const Tensor y = cast_to(x, to);
        check_values(x, y);
        Misaligned shifted_x(x), shifted_y(Tensor(Shape(n), to));
        cast(ctx, shifted_x.view(), shifted_y.view());
        CHECK(same_bits(shifted_y.aligned(), y));
        CHECK(shifted_y.canaries_intact());
      }
    }
  }
}

TEST_CASE("integers are refused") {
  Context ctx(kDevice);
  Tensor x(Shape(4), DType::i32), y(Shape(4), DType::f32);
  CHECK_THROWS_AS(cast(ctx, x.view(), y.view()), Error);
  CHECK_THROWS_AS(cast(ctx, y.view(), x.view()), Error);
}

TEST_CASE("one thread and two threads give the same bits") {
  Context ctx(kDevice);
  Tensor x(Shape(5, 9, 9, 64), DType::f32);
  x.fill_uniform(74, -1, 1);
  Tensor one(x.shape(), DType::bf16), two(x.shape(), DType::bf16);
  with_threads(1, [&] { cast(ctx, x.view(), one.view()); });
  with_threads(2, [&] { cast(ctx, x.view(), two.view()); });
  CHECK(same_bits(one, two));
}

}  // namespace
}  // namespace nat::test
