// Stochastic gradient descent (kernels/sgd.h).
#include "kernels/sgd.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/opcases/determinism.h"
#include "tests/opcases/device.h"
#include "tests/reference/sgd.h"

namespace nat::test {
namespace {

constexpr float kRate = 0.1f;

Tensor scalar(double value) {
  Tensor tensor(Shape(1), DType::f32);
  return tensor.fill(value);
}

std::vector<Sgd> every_combination() {
  std::vector<Sgd> all;
  for (const float momentum : {0.0f, 0.9f}) {
    for (const float dampening : {0.0f, 0.25f}) {
      for (const float weight_decay : {0.0f, 0.01f}) {
        for (const bool nesterov : {false, true}) {
          all.push_back({momentum, dampening, weight_decay, nesterov});
        }
      }
    }
  }
  return all;
}

// Steps with fresh gradients; before each the reference takes over the weights and velocities, so
// that every step is judged alone. u the unit roundoff, H = |g| + |decay w|, V = |momentum v| + H:
//   h    a product and a sum                                     2 u H
//   v    1 - dampening, two products and a sum on top of h       5 u V
//   w    the step h + momentum v or v, at most 9 u (H + 2 V), times the rate; then one sum
// In f64 the reference rounds as well, which doubles the bounds.
void check_steps(const Sgd& sgd, std::int64_t n, DType dtype) {
  Context ctx(kDevice);
  const Tensor rate = scalar(kRate);
  Tensor w(Shape(n), dtype), v(Shape(n), dtype), g(Shape(n), dtype);
  w.fill_uniform(41, -1, 1);
  v.fill(0);
  const double u = unit_roundoff(dtype) * (dtype == DType::f64 ? 2 : 1);
  for (std::uint64_t step = 0; step < 4; ++step) {
    g.fill_uniform(50 + step, -2, 2);
    const std::vector<double> before_w = w.values(), before_v = v.values();
    std::vector<double> expected_w = before_w, expected_v = before_v;
    reference::sgd_update(sgd, kRate, g.values(), expected_w, expected_v);
    sgd_update(ctx, sgd, rate.view(), {}, g.view(), w.view(), v.view(), {});
    const auto fresh = [&](std::int64_t i) {  // H
      const auto at = static_cast<std::size_t>(i);
      return std::abs(g.get(i)) + static_cast<double>(sgd.weight_decay) * std::abs(before_w[at]);
    };
    const auto velocity = [&](std::int64_t i) {  // V
      const auto at = static_cast<std::size_t>(i);
      return static_cast<double>(sgd.momentum) * std::abs(before_v[at]) + fresh(i);
    };
    CHECK(close("v", v, expected_v, [&](std::int64_t i) { return 5 * u * velocity(i); }));
    CHECK(close("w", w, expected_w, [&](std::int64_t i) {
      return u * std::abs(expected_w[static_cast<std::size_t>(i)]) +
             static_cast<double>(kRate) * 9 * u * (fresh(i) + 2 * velocity(i));
    }));
  }
}

TEST_CASE("every combination of settings follows the formula, step after step") {
  for (const Sgd& sgd : every_combination()) {
    CAPTURE(sgd.momentum);
    CAPTURE(sgd.dampening);
    CAPTURE(sgd.weight_decay);
    CAPTURE(sgd.nesterov);
    check_steps(sgd, 1001, DType::f32);
    check_steps(sgd, 1001, DType::f64);
  }
}

TEST_CASE("every length is updated to its last element and no further") {
  for (const std::int64_t n : {1, 15, 16, 17, 16383, 16384, 16385, 40001}) {
    CAPTURE(n);
    check_steps({0.9f, 0, 0.01f, false}, n, DType::f32);
    check_steps({0, 0, 0.01f, false}, n, DType::f32);
  }
}

TEST_CASE("the bits do not depend on the alignment of the buffers") {
  Context ctx(kDevice);
  const Tensor rate = scalar(kRate);
  for (const DType dtype : {DType::f32, DType::f64}) {
    const Shape shape(1003);
    Tensor g(shape, dtype), w(shape, dtype), v(shape, dtype), operand(shape, DType::bf16);
    g.fill_uniform(47, -1, 1);
    w.fill_uniform(48, -1, 1);
    v.fill_uniform(49, -1, 1);
    Misaligned shifted_g(g), shifted_w(w), shifted_v(v), shifted_operand(operand);
    const Sgd sgd{.momentum = 0.9f, .weight_decay = 0.01f, .nesterov = true};
    sgd_update(ctx, sgd, rate.view(), {}, g.view(), w.view(), v.view(), operand.view());
    sgd_update(ctx, sgd, rate.view(), {}, shifted_g.view(), shifted_w.view(), shifted_v.view(),
               shifted_operand.view());
    CHECK(same_bits(shifted_w.aligned(), w));
    CHECK(same_bits(shifted_v.aligned(), v));
    CHECK(same_bits(shifted_operand.aligned(), operand));
    CHECK(shifted_operand.canaries_intact());
  }
}

TEST_CASE("without momentum the velocity is left untouched and may be empty") {
  Context ctx(kDevice);
  const Tensor rate = scalar(0.5);
  Tensor g(Shape(100), DType::f32), w(Shape(100), DType::f32), v(Shape(100), DType::f32);
  g.fill_uniform(42, -1, 1);
  w.fill_uniform(43, -1, 1);
  Tensor w_too = w;
  const Tensor untouched = v;
  sgd_update(ctx, {}, rate.view(), {}, g.view(), w.view(), v.view(), {});
  sgd_update(ctx, {}, rate.view(), {}, g.view(), w_too.view(), {}, {});
  CHECK(same_bits(v, untouched));
  CHECK(same_bits(w, w_too));
  CHECK(w.canaries_intact());
}

TEST_CASE("a loss that is not finite stops the update") {
  Context ctx(kDevice);
  const Tensor rate = scalar(kRate);
  for (const double loss : {std::nan(""), HUGE_VAL, -HUGE_VAL, 2.0}) {
    CAPTURE(loss);
    Tensor g(Shape(100), DType::f32), w(Shape(100), DType::f32), v(Shape(100), DType::f32);
    Tensor operand(Shape(100), DType::bf16);
    g.fill_uniform(47, 1, 2);
    w.fill_uniform(48, -1, 1);
    v.fill_uniform(49, 1, 2);
    const Tensor w_before = w, v_before = v, operand_before = operand;
    sgd_update(ctx, {.momentum = 0.9f}, rate.view(), scalar(loss).view(), g.view(), w.view(),
               v.view(), operand.view());
    CHECK(same_bits(w, w_before) == !std::isfinite(loss));
    CHECK(same_bits(v, v_before) == !std::isfinite(loss));
    CHECK(same_bits(operand, operand_before) == !std::isfinite(loss));
  }
}

TEST_CASE("the operand is the new weight in bfloat16, bit for bit") {
  Context ctx(kDevice);
  const Tensor rate = scalar(kRate);
  for (const std::int64_t n : {1, 17, 40001}) {
    for (const float momentum : {0.0f, 0.9f}) {
      Tensor g(Shape(n), DType::f32), w(Shape(n), DType::f32), v(Shape(n), DType::f32);
      Tensor operand(Shape(n), DType::bf16), expected(Shape(n), DType::bf16);
      g.fill_uniform(47, -1, 1);
      w.fill_uniform(48, -1, 1);
      v.fill_uniform(49, -1, 1);
      sgd_update(ctx, {.momentum = momentum}, rate.view(), {}, g.view(), w.view(), v.view(),
                 operand.view());
      expected.assign(w.values());
      CHECK(same_bits(operand, expected));
      CHECK(operand.canaries_intact());
    }
  }
}

TEST_CASE("one thread and two threads give the same bits") {
  const std::int64_t n = 100003;
  Context ctx(kDevice);
  const Tensor rate = scalar(kRate);
  for (const Sgd& sgd : every_combination()) {
    Tensor g(Shape(n), DType::f32), w(Shape(n), DType::f32), v(Shape(n), DType::f32);
    g.fill_uniform(44, -1, 1);
    w.fill_uniform(45, -1, 1);
    v.fill_uniform(46, -1, 1);
    Tensor w_two = w, v_two = v;
    with_threads(1,
                 [&] { sgd_update(ctx, sgd, rate.view(), {}, g.view(), w.view(), v.view(), {}); });
    with_threads(2, [&] {
      sgd_update(ctx, sgd, rate.view(), {}, g.view(), w_two.view(), v_two.view(), {});
    });
    CHECK(same_bits(w, w_two));
    CHECK(same_bits(v, v_two));
  }
}

}  // namespace
}  // namespace nat::test
