// SGD over a whole parameter set: the rule, and weight decay on weights alone.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "engine/optimizer.h"
#include "kernels/random.h"
#include "tests/opcases/device.h"
#include "tests/opcases/tensor.h"

using namespace nat;
using namespace nat::test;

namespace {

// One parameter of each role, of sizes that leave gaps between them, filled at random.
struct Example {
  Context ctx;
  ParameterSet set;

  Example() : ctx(kDevice) {
    for (const auto& [name, role, size] :
         {std::tuple("weight", Role::weight, 21), std::tuple("bias", Role::bias, 3),
          std::tuple("scale", Role::scale, 16), std::tuple("shift", Role::shift, 5)}) {
      set.declare(Parameter{
          .name = name, .shape = Shape(size), .file_shape = {size}, .row = {}, .role = role});
    }
    set.allocate(ctx, DType::f64);
    set.keep_gradients(ctx);
    for (std::size_t i = 0; i < set.parameters().size(); ++i) {
      fill(set.value(i), static_cast<std::uint32_t>(i));
      fill(set.gradient(i), static_cast<std::uint32_t>(i) + 100);
    }
  }

  void fill(View view, std::uint32_t epoch) {
    std::vector<double> values;
    for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(view.shape[0]); ++i) {
      const auto word = philox(1, RandomStream::synthetic, epoch, i).value[0];
      values.push_back(static_cast<double>(uniform(word)) - 0.5);
    }
    upload(ctx, values, view);
  }
  std::vector<double> host(View view) { return host_copy<double>(ctx, view); }
  void step(const Sgd& rule, const ConstView& loss = {}) {
    Tensor rate(Shape(1), DType::f32);
    rate.fill(kRate);
    sgd_prepare(ctx, rule, set);
    sgd_step(ctx, rule, rate.view(), loss, set);
    synchronize(ctx);
  }

  static constexpr float kRate = 0.5f;
};

// The largest difference between two steps of sgd_step and the rule by hand.
double error_after_two_steps(Sgd rule, Role decayed_role) {
  Example example;
  double worst = 0;
  std::vector<std::vector<double>> expected;
  for (std::size_t p = 0; p < example.set.parameters().size(); ++p) {
    const std::vector<double> w = example.host(example.set.value(p));
    const std::vector<double> g = example.host(example.set.gradient(p));
    const double rate = Example::kRate, momentum = rule.momentum;
    const double decay =
        example.set.parameters()[p].role == decayed_role ? rule.weight_decay : 0.0f;
    expected.emplace_back();
    for (std::size_t i = 0; i < w.size(); ++i) {
      double value = w[i], velocity = 0;
      for (int repetition = 0; repetition < 2; ++repetition) {
        velocity = momentum * velocity + g[i] + decay * value;
        value -= rate * velocity;
      }
      expected.back().push_back(value);
    }
  }
  for (int i = 0; i < 2; ++i) example.step(rule);
  for (std::size_t p = 0; p < expected.size(); ++p) {
    const std::vector<double> actual = example.host(example.set.value(p));
    for (std::size_t i = 0; i < expected[p].size(); ++i) {
      worst = std::max(worst, std::abs(actual[i] - expected[p][i]));
    }
  }
  return worst;
}

constexpr double kRounding = 1e-15;  // a few operations in double on values below 1

}  // namespace

TEST_CASE("an SGD step with momentum updates every parameter by the rule") {
  CHECK(error_after_two_steps({.momentum = 0.75f}, Role::weight) <= kRounding);
  CHECK(error_after_two_steps({}, Role::weight) <= kRounding);
}

TEST_CASE("momenta are kept where the rule has momentum, from zeros on, and only there") {
  Example example;
  Tensor rate(Shape(1), DType::f32);
  rate.fill(1);
  sgd_prepare(example.ctx, {.weight_decay = 0.1f}, example.set);
  CHECK(example.set.momenta().empty());
  sgd_step(example.ctx, {.weight_decay = 0.1f}, rate.view(), {}, example.set);
  CHECK_THROWS_WITH_AS(sgd_step(example.ctx, {.momentum = 0.5f}, rate.view(), {}, example.set),
                       "sgd: momentum 0.5 needs sgd_prepare() before the first step", Error);
  sgd_prepare(example.ctx, {.momentum = 0.5f}, example.set);
  for (const double momentum : example.host(example.set.momenta())) CHECK(momentum == 0);
  example.step({.momentum = 0.5f});
  const std::vector<double> after = example.host(example.set.momenta());
  CHECK(after == example.host(example.set.gradients()));
  sgd_prepare(example.ctx, {.momentum = 0.5f}, example.set);  // those that are there stay
  CHECK(example.host(example.set.momenta()) == after);
}

TEST_CASE("weight decay applies to weights and to nothing else") {
  const Sgd rule{.momentum = 0.75f, .weight_decay = 0.125f};
  CHECK(error_after_two_steps(rule, Role::weight) <= kRounding);
  CHECK(error_after_two_steps(rule, Role::bias) > 1e-3);  // the comparison can fail
}

TEST_CASE("a loss that is not finite stops the step, with weight decay and without") {
  Tensor loss(Shape(1), DType::f32);
  for (const float decay : {0.0f, 0.125f}) {
    CAPTURE(decay);
    const Sgd rule{.momentum = 0.75f, .weight_decay = decay};
    Example example;
    sgd_prepare(example.ctx, rule, example.set);
    const auto values = example.host(example.set.values());
    const auto momenta = example.host(example.set.momenta());
    for (const double bad : {std::nan(""), HUGE_VAL}) {
      loss.fill(bad);
      example.step(rule, loss.view());
      CHECK(example.host(example.set.values()) == values);
      CHECK(example.host(example.set.momenta()) == momenta);
    }
    loss.fill(1);
    example.step(rule, loss.view());
    CHECK(example.host(example.set.values()) != values);
  }
}

TEST_CASE("the gaps between parameters stay zero") {
  Example example;
  for (const float decay : {0.0f, 0.1f}) {
    example.step({.momentum = 0.9f, .weight_decay = decay});
  }
  std::vector<bool> used(static_cast<std::size_t>(example.set.size()), false);
  for (const Parameter& parameter : example.set.parameters()) {
    std::fill_n(used.begin() + parameter.offset, parameter.shape.elements(), true);
  }
  CHECK(std::count(used.begin(), used.end(), false) == 11 + 13 + 0 + 11);
  const std::vector<double> values = example.host(example.set.values());
  for (std::size_t i = 0; i < used.size(); ++i) {
    if (!used[i]) CHECK(values[i] == 0);
  }
}
