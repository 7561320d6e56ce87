// Batch norm fused with pool, ReLU and dropout (kernels/batchnorm.h).
#include "kernels/batchnorm.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include "kernels/memory.h"
#include "tests/opcases/determinism.h"
#include "tests/opcases/device.h"
#include "tests/reference/batchnorm.h"

namespace nat::test {
namespace {

using Values = std::vector<double>;

struct Case {
  Shape x;
  BatchNorm norm = {};
  DType dtype = DType::f32;
  Mode mode = Mode::train;
};

std::string describe(const Case& c) {
  return str(to_string(c.x), " pool ", c.norm.pool, "/", c.norm.pool_stride, " relu ", c.norm.relu,
             " dropout ", c.norm.dropout, " ", name(c.dtype),
             c.mode == Mode::train ? " train" : " eval");
}

DType statistics_dtype(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

// All tensors of one call. Channels have different means; gamma is positive, negative and 0.
struct Block {
  Case c;
  Tensor x, y, dy, dx, gamma, beta, running_mean, running_var, mean, inv_std, argmax, picked,
      dgamma, dbeta, step;
  Context ctx;

  explicit Block(const Case& c_, std::uint64_t seed = 1)
      : c(c_),
        x(c.x, c.dtype),
        y(batchnorm_output(c.norm, c.x), c.dtype),
        dy(y.shape(), c.dtype),
        dx(c.x, c.dtype),
        gamma(per_channel()),
        beta(per_channel()),
        running_mean(per_channel()),
        running_var(per_channel()),
        mean(per_channel()),
        inv_std(per_channel()),
        argmax(y.shape(), DType::u8),
        picked(y.shape(), c.dtype),
        dgamma(per_channel()),
        dbeta(per_channel()),
        step(Shape(1), DType::i32),
        ctx(kDevice) {
    step.set(0, 3);
    x.fill_uniform(seed, -1, 1);
    for (std::int64_t i = 0; i < x.size(); ++i) {
      const auto channel = static_cast<double>(i % channels());
      x.set(i, (1 + 0.1 * channel) * x.get(i) + 2 - 0.3 * channel);
    }
    dy.fill_uniform(seed + 1, -1, 1);
    gamma.fill_uniform(seed + 2, 0.5, 1.5);
    if (channels() > 1) gamma.set(1, -0.75);
    if (channels() > 2) gamma.set(2, 0);
    beta.fill_uniform(seed + 3, -0.4, 0.6);
    running_mean.fill_uniform(seed + 4, -1, 1);
    running_var.fill_uniform(seed + 5, 0.5, 2);
  }

  std::int64_t channels() const { return c.x.channels(); }
  Tensor per_channel() const { return {Shape(channels()), statistics_dtype(c.dtype)}; }
  BatchNormSaved saved() {
    BatchNormSaved views{mean.view(), inv_std.view(), {}, {}};
    if (c.norm.pool > 0) {
      views.argmax = argmax.view();
      views.picked = picked.view();
    }
    return views;
  }
  DropoutKey key() const {
    return {.seed = 11, .step = step.view().as<std::uint32_t>(), .layer = 2};
  }
  bool keeps_y() const { return c.norm.relu && c.norm.pool == 0; }
  void forward(ConstView input_view) {
    batchnorm_forward(ctx, c.norm, c.mode, key(), input_view,
                      {gamma.view(), beta.view(), running_mean.view(), running_var.view()}, saved(),
                      y.view());
    synchronize(ctx);
  }
  void forward() { forward(x.view()); }
  void backward(ConstView input_view, View result, Grad grad = Grad::overwrite) {
    batchnorm_backward(ctx, c.norm, c.mode, input_view, keeps_y() ? y.view() : View(), gamma.view(),
                       saved(), dy.view(), grad, dgamma.view(), dbeta.view(), result);
    synchronize(ctx);
  }
  void backward() { backward(x.view(), dx.view()); }

  reference::BatchNormInput input() const {
    return {c.x,
            x.values(),
            gamma.values(),
            beta.values(),
            running_mean.values(),
            running_var.values()};
  }
};

// Error bounds, with u the unit roundoff of the type of computation (f32 for bf16) and, per
// channel, reach = max |x - pivot|, the pivot being an element of the channel.
//   Sums of K <= 128 terms in the type of computation err by at most about sqrt(128) u sum|terms|;
//   we allow 16 u. Longer sums are continued in double.
//   mean:     16 u reach, and its own rounding u |mean|
//   var:      16 u reach^2 for the squares, and twice reach times the error of the mean
//   inv_std:  half the relative error of var + eps, and 3 u for square root, division, rounding
// f64 adds the error of double sums of n terms in kernel and reference: u grows to (n/16 + 1) u.
struct Bounds {
  double u, stored;  // roundoff of computation and of storage
  Values mean, var, inv_std;

  Bounds(const Block& block, const reference::BatchNormOutput& out) {
    const Case& c = block.c;
    const std::int64_t channels = block.channels();
    u = unit_roundoff(statistics_dtype(c.dtype));
    stored = unit_roundoff(c.dtype);
    if (c.dtype == DType::f64) u *= 1 + static_cast<double>(block.x.size() / channels) / 16;
    for (std::int64_t k = 0; k < channels; ++k) {
      double reach = 0;
      for (std::int64_t i = k; i < block.x.size(); i += channels) {
        reach = std::max(reach, std::abs(block.x.get(i) - block.x.get(k)));
      }
      const auto at = static_cast<std::size_t>(k);
      const double average = out.mean[at], scale = out.inv_std[at];
      const bool train = c.mode == Mode::train;
      mean.push_back(train ? u * (16 * reach + std::abs(average)) : 0);
      var.push_back(train ? u * (16 + 2 * 16) * reach * reach : 0);
      inv_std.push_back(scale * (var.back() * scale * scale / 2 + 3 * u));
    }
  }
};

std::function<double(std::int64_t)> bound(const Values& values) {
  return [&values](std::int64_t i) { return values[static_cast<std::size_t>(i)]; };
}

// `x` holds the values of block.x.
void check_forward(Block& block, ConstView x) {
  const reference::BatchNormInput input = block.input();
  const reference::BatchNormOutput want =
      reference::batchnorm_forward(block.c.norm, block.c.mode, block.key(), input);
  const Bounds bounds(block, want);
  block.forward(x);
  CHECK(close("mean", block.mean, want.mean, bound(bounds.mean)));
  CHECK(close("inv_std", block.inv_std, want.inv_std, bound(bounds.inv_std)));
  // momentum x the error of the statistic (unbiased: at most twice that of var), and roundings.
  CHECK(close("running_mean", block.running_mean, want.running_mean, [&](std::int64_t k) {
    const auto at = static_cast<std::size_t>(k);
    return bounds.mean[at] + 2 * bounds.u * std::abs(want.running_mean[at]);
  }));
  CHECK(close("running_var", block.running_var, want.running_var, [&](std::int64_t k) {
    const auto at = static_cast<std::size_t>(k);
    return 2 * bounds.var[at] + 2 * bounds.u * want.running_var[at];
  }));
  // y = gamma (x - mean) inv_std + beta as scale x + shift: errors of mean and inv_std, and one
  // rounding each of scale x, shift and the sum.
  const std::int64_t channels = block.channels();
  CHECK(close("y", block.y, want.y, [&](std::int64_t i) {
    const auto k = static_cast<std::size_t>(i % channels), at = static_cast<std::size_t>(i);
    const double gain = std::abs(input.gamma[k]) * want.inv_std[k];
    const double v = std::abs(want.before_relu[at]) + std::abs(input.beta[k]);
    const double far = std::abs(want.mean[k]);
    const double error = gain * bounds.mean[k] + v * bounds.inv_std[k] / want.inv_std[k] +
                         4 * bounds.u * (v + gain * far);
    return want.factor[at] * error * 1.01 + bounds.stored * std::abs(want.y[at]);
  }));
  if (block.c.norm.pool > 0) {
    CHECK(close("argmax", block.argmax, want.argmax, [](std::int64_t) { return 0.0; }));
    CHECK(close("picked", block.picked, want.picked, [](std::int64_t) { return 0.0; }));
  }
}

void check_forward(Block& block) { check_forward(block, block.x.view()); }

// After forward.
void check_backward(Block& block) {
  reference::BatchNormInput input = block.input();
  const reference::BatchNormOutput out =
      reference::batchnorm_forward(block.c.norm, block.c.mode, block.key(), input);
  const reference::BatchNormGradient want =
      reference::batchnorm_backward(block.c.norm, block.c.mode, input, out, block.dy.values());
  const Bounds bounds(block, out);
  block.backward();
  const auto channel = [&](std::int64_t i) {
    return static_cast<std::size_t>(i % block.channels());
  };
  // Sums of g and g xhat, and the error of mean and inv_std inside xhat.
  const auto dbeta_error = [&](std::size_t k) { return 16 * bounds.u * want.abs_dbeta[k]; };
  const auto dgamma_error = [&](std::size_t k) {
    return 16 * bounds.u * want.abs_dgamma[k] +
           bounds.inv_std[k] / out.inv_std[k] * want.abs_dgamma[k] +
           bounds.mean[k] * out.inv_std[k] * want.abs_dbeta[k];
  };
  CHECK(close("dbeta", block.dbeta, want.dbeta,
              [&](std::int64_t i) { return dbeta_error(channel(i)); }));
  CHECK(close("dgamma", block.dgamma, want.dgamma,
              [&](std::int64_t i) { return dgamma_error(channel(i)); }));
  // dx = gamma inv_std (g - dbeta/m - xhat dgamma/m): relative errors of the three factors of each
  // term, absolute errors of the sums, and the roundings of slope x + offset.
  const double m = static_cast<double>(block.x.size() / block.channels());
  const auto dx_bound = [&](std::int64_t i) {
    const auto k = channel(i), at = static_cast<std::size_t>(i);
    const double gain = std::abs(input.gamma[k]) * out.inv_std[k];
    const double relative = bounds.inv_std[k] / out.inv_std[k];
    const double xhat = std::abs(input.x[at] - out.mean[k]) * out.inv_std[k];
    const double far = (std::abs(input.x[at]) + std::abs(out.mean[k])) * out.inv_std[k];
    double error = (relative + 4 * bounds.u) * std::abs(want.g[at]);
    if (block.c.mode == Mode::train) {
      const double dbeta = std::abs(want.dbeta[k]), dgamma = std::abs(want.dgamma[k]);
      error +=
          (dbeta_error(k) + xhat * dgamma_error(k) + (relative + 4 * bounds.u) * dbeta +
           (3 * relative * xhat + 4 * bounds.u * far + bounds.mean[k] * out.inv_std[k]) * dgamma) /
          m;
    }
    return gain * error * 1.01 + bounds.stored * std::abs(want.dx[at]);
  };
  CHECK(close("dx", block.dx, want.dx, dx_bound));

  // The other ways to ask for the same gradient.
  const Values dgamma = block.dgamma.values(), dbeta = block.dbeta.values();
  const auto once = [](std::int64_t) { return 0.0; };
  block.dgamma.poison();
  block.dbeta.poison();
  block.backward(block.x.view(), View());
  CHECK(close("dgamma without dx", block.dgamma, dgamma, once));
  CHECK(close("dbeta without dx", block.dbeta, dbeta, once));
  block.backward(block.x.view(), View(), Grad::accumulate);
  const auto twice = [](Values values) {
    for (double& value : values) value *= 2;
    return values;
  };
  CHECK(close("accumulated dgamma", block.dgamma, twice(dgamma),
              [&](std::int64_t i) { return 2 * bounds.u * std::abs(dgamma[channel(i)]); }));
  CHECK(close("accumulated dbeta", block.dbeta, twice(dbeta),
              [&](std::int64_t i) { return 2 * bounds.u * std::abs(dbeta[channel(i)]); }));
  Tensor overwritten = block.x;
  block.backward(overwritten.view(), overwritten.view());
  CHECK(same_bits(overwritten, block.dx));
}

std::vector<Case> shapes() {
  const BatchNorm plain{}, pool2{.pool = 2, .pool_stride = 2}, pool3{.pool = 3, .pool_stride = 2},
      pool21{.pool = 2, .pool_stride = 1}, pool31{.pool = 3, .pool_stride = 1},
      gaps{.pool = 2, .pool_stride = 3};
  return {
      {.x = Shape(4, 6, 6, 32), .norm = plain},
      {.x = Shape(4, 6, 6, 32), .norm = pool2},
      {.x = Shape(3, 7, 5, 48), .norm = pool2},  // odd sizes: a border without window
      {.x = Shape(3, 7, 9, 48), .norm = pool3},
      {.x = Shape(3, 7, 9, 40), .norm = pool3},
      {.x = Shape(2, 6, 5, 5), .norm = pool3},  // fewer channels than lanes
      {.x = Shape(2, 5, 5, 6), .norm = pool31},
      {.x = Shape(2, 8, 9, 3), .norm = gaps},
      {.x = Shape(1, 5, 4, 19), .norm = plain},  // batch 1
      {.x = Shape(1, 1, 1, 16), .norm = plain},  // m = 1
      {.x = Shape(1, 3, 3, 7), .norm = pool3},
      {.x = Shape(40, 37), .norm = plain},
      {.x = Shape(1, 4), .norm = plain},
      {.x = Shape(700, 3), .norm = plain},   // several runs in a chunk
      {.x = Shape(9, 1030), .norm = plain},  // rows cut into slices
      // More rows than a small batch has on CUDA; one channel; two tiles of channels.
      {.x = Shape(5, 17, 13, 33), .norm = plain},
      {.x = Shape(3, 19, 19, 1), .norm = plain},
      {.x = Shape(2, 23, 23, 70), .norm = plain},
      {.x = Shape(1100, 32), .norm = plain},
      // Overlapping and spaced windows in full vectors of channels.
      {.x = Shape(3, 9, 11, 96), .norm = pool3},
      {.x = Shape(1, 7, 8, 16), .norm = pool21},
      {.x = Shape(2, 6, 7, 16), .norm = pool31},
      {.x = Shape(1, 8, 9, 8), .norm = gaps},
  };
}

// Large tensors take part in three of the twelve combinations, to keep slow configurations fast.
bool is_worth_its_time(const Case& c) {
  const bool train = c.mode == Mode::train;
  return c.x.elements() < 20000 || (train == c.norm.relu && train == (c.dtype != DType::f64));
}

template <class Check>
void for_all_cases(Check&& check) {
  for (const Case& shape : shapes()) {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
      for (const Mode mode : {Mode::train, Mode::eval}) {
        for (const bool relu : {true, false}) {
          Case c = shape;
          c.dtype = dtype;
          c.mode = mode;
          c.norm.relu = relu;
          if (!is_worth_its_time(c)) continue;
          CAPTURE(describe(c));
          Block block(c);
          check(block);
        }
      }
    }
  }
}

TEST_CASE("The constants of a batch norm are PyTorch's") {
  CHECK(BatchNorm().eps == 1e-5f);
  CHECK(BatchNorm().momentum == 0.1f);
}

TEST_CASE("Forward equals the double reference in every mode, type and pool") {
  for_all_cases([](Block& block) { check_forward(block); });
}

TEST_CASE("Backward equals the double reference in every mode, type and pool") {
  for_all_cases([](Block& block) {
    block.forward();
    check_backward(block);
  });
}

TEST_CASE("Dropout keeps the elements that the documented counter says, forward and backward") {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
    for (const Mode mode : {Mode::train, Mode::eval}) {
      // Rows that start inside a random block; more rows than a small batch has.
      for (const Shape x : {Shape(33, 64), Shape(33, 37), Shape(33, 3), Shape(1030, 8)}) {
        const Case c{.x = x, .norm = {.relu = true, .dropout = 0.3f}, .dtype = dtype, .mode = mode};
        CAPTURE(describe(c));
        Block block(c);
        check_forward(block);
        check_backward(block);
      }
    }
  }
}

TEST_CASE("Dropout drops its share of the elements") {
  const Case c{.x = Shape(200, 100), .norm = {.relu = true, .dropout = 0.25f}};
  Block block(c);
  block.gamma.fill(1);
  block.beta.fill(100);  // nothing is clipped
  block.forward();
  const Values y = block.y.values();
  const double dropped = static_cast<double>(std::count(y.begin(), y.end(), 0.0));
  const double n = 20000, p = 0.25;
  CHECK(std::abs(dropped - n * p) < 4 * std::sqrt(n * p * (1 - p)));  // four standard deviations
}

TEST_CASE("The first of equal maxima is picked") {
  for (const std::int64_t channels : {1, 16}) {
    const Case c{.x = Shape(1, 4, 4, channels),
                 .norm = {.pool = 2, .pool_stride = 2, .relu = false},
                 .mode = Mode::eval};
    Block block(c);
    block.gamma.fill(1);
    // Windows: all equal; maximum at taps 1 and 3; at taps 2 and 3; at 0 and 3.
    const Values picture = {5, 5, 1, 7,  //
                            5, 5, 0, 7,  //
                            1, 2, 9, 3,  //
                            4, 4, 3, 9};
    for (std::int64_t i = 0; i < block.x.size(); ++i) {
      block.x.set(i, picture[static_cast<std::size_t>(i / channels)]);
    }
    block.forward();
    const Values taps = {0, 1, 2, 0};
    for (std::int64_t i = 0; i < block.argmax.size(); ++i) {
      CHECK(block.argmax.get(i) == taps[static_cast<std::size_t>(i / channels)]);
    }
  }
}

TEST_CASE("Evaluation that keeps nothing for a backward pass gives the same output") {
  for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
    for (const std::int64_t channels : {3, 32}) {
      for (const int pool : {2, 3, 4}) {
        Block block({.x = Shape(3, 13, 11, channels),
                     .norm = {.pool = pool, .pool_stride = 2},
                     .dtype = dtype,
                     .mode = Mode::eval});
        CAPTURE(describe(block.c));
        block.forward();
        const Values with_picks = block.y.values();
        block.y.fill(-7);
        batchnorm_forward(block.ctx, block.c.norm, Mode::eval, block.key(), block.x.view(),
                          {block.gamma.view(), block.beta.view(), block.running_mean.view(),
                           block.running_var.view()},
                          {block.mean.view(), block.inv_std.view(), {}, {}}, block.y.view());
        synchronize(block.ctx);
        CHECK(block.y.values() == with_picks);
      }
    }
  }
}

TEST_CASE("Without momentum the running statistics are left alone, whatever the batch holds") {
  for (const Shape& shape : {Shape(2, 8, 8, 16), Shape(8, 16)}) {
    Block block({.x = shape, .norm = {.momentum = 0}});
    block.x.set(17, std::nan(""));
    const Values mean = block.running_mean.values(), var = block.running_var.values();
    block.forward();
    CHECK(std::isnan(block.mean.get(1)));
    CHECK(block.running_mean.values() == mean);
    CHECK(block.running_var.values() == var);
  }
}

TEST_CASE("What is exactly zero in front of the ReLU gets no gradient, pooled or not") {
  for (const int pool : {0, 2}) {
    CAPTURE(pool);
    Block block({.x = Shape(2, 4, 4, 16), .norm = {.pool = pool, .pool_stride = pool}});
    block.gamma.fill(0);
    block.beta.fill(0);
    block.forward();
    block.backward();
    for (std::int64_t c = 0; c < 16; ++c) {
      CHECK(block.dbeta.get(c) == 0);
      CHECK(block.dgamma.get(c) == 0);
    }
  }
}

TEST_CASE("A mean far from zero costs no digits of the variance") {
  // x = 10000 + noise: E[x^2] - E[x]^2 in f32 would lose everything. The grid is exact in f32.
  for (const std::int64_t images : {64, 90}) {
    Block block({.x = Shape(images, 4, 4, 16)});
    block.x.fill_uniform(5, -1, 1);
    for (std::int64_t i = 0; i < block.x.size(); ++i) {
      block.x.set(i, 10000 + std::round(block.x.get(i) * 256) / 256);
    }
    check_forward(block);
  }
}

TEST_CASE("Values may start at any element, whatever vectors the kernels prefer") {
  for (const Shape& shape : {Shape(3, 5, 5, 16), Shape(1030, 16)}) {
    for (const int pool : {0, shape.rank == 4 ? 2 : 0}) {
      const Case c{.x = shape, .norm = {.pool = pool, .pool_stride = pool}};
      CAPTURE(describe(c));
      Block block(c);
      Tensor shifted(Shape(block.x.size() + 1), c.dtype);
      Values values = block.x.values();
      values.insert(values.begin(), 0);
      shifted.assign(values);
      check_forward(block, {shifted.view().as<float>() + 1, c.dtype, shape});
    }
  }
}

TEST_CASE("NaN in the input reaches the output") {
  for (const int pool : {0, 2}) {
    Block block({.x = Shape(2, 4, 4, 16), .norm = {.pool = pool, .pool_stride = pool}});
    block.x.set(17, std::nan(""));  // channel 1
    block.forward();
    CHECK(std::isnan(block.y.get(1)));
    CHECK(std::isfinite(block.y.get(2)));
  }
}

// Central differences through the fused block. x is a shuffled grid, so that no two elements of a
// window come closer than the step; the reference says that no v comes close to the ReLU's kink.
TEST_CASE("Float64 gradients agree with central differences to 1e-6") {
  std::vector<Case> cases;
  for (const Mode mode : {Mode::train, Mode::eval}) {
    for (const bool relu : {true, false}) {
      cases.push_back({.x = Shape(2, 4, 5, 4), .norm = {.relu = relu}, .mode = mode});
      cases.push_back({.x = Shape(2, 5, 5, 3),
                       .norm = {.pool = 2, .pool_stride = 2, .relu = relu},
                       .mode = mode});
      cases.push_back({.x = Shape(2, 5, 5, 3),
                       .norm = {.pool = 3, .pool_stride = 2, .relu = relu},
                       .mode = mode});
    }
    cases.push_back({.x = Shape(12, 5), .norm = {.relu = true, .dropout = 0.4f}, .mode = mode});
  }
  for (Case& c : cases) {
    c.dtype = DType::f64;
    CAPTURE(describe(c));
    Block block(c);
    block.x.fill_grid(7, -1.2, 0.01);
    if (c.norm.pool > 0) block.gamma.set(2, 0.3);  // the maximum has a kink at gamma = 0
    const reference::BatchNormOutput out =
        reference::batchnorm_forward(c.norm, c.mode, block.key(), block.input());
    for (std::size_t i = 0; i < out.before_relu.size(); ++i) {
      REQUIRE(std::abs(out.before_relu[i]) > 2e-4);
    }
    block.forward();
    block.backward();
    const Values dx = block.dx.values(), dgamma = block.dgamma.values(),
                 dbeta = block.dbeta.values(), weights = block.dy.values();
    const auto objective = [&] {
      block.forward();
      return dot(block.y, weights);
    };
    CHECK(gradient_error(objective, block.x, dx) <= 1e-6);
    CHECK(gradient_error(objective, block.gamma, dgamma) <= 1e-6);
    CHECK(gradient_error(objective, block.beta, dbeta) <= 1e-6);
  }
}

TEST_CASE("dbeta sums the gradient, and dx is orthogonal to 1 and to xhat in training") {
  Block block({.x = Shape(5, 6, 7, 8), .norm = {.relu = false}, .dtype = DType::f64});
  block.forward();
  block.backward();
  const std::int64_t channels = block.channels();
  for (std::int64_t k = 0; k < channels; ++k) {
    double sum_dy = 0, sum_dx = 0, along_xhat = 0;
    for (std::int64_t i = k; i < block.x.size(); i += channels) {
      sum_dy += block.dy.get(i);
      sum_dx += block.dx.get(i);
      along_xhat += block.dx.get(i) * (block.x.get(i) - block.mean.get(k)) * block.inv_std.get(k);
    }
    // 210 terms of size about 1: 210 u; eps in inv_std leaves eps/var of the second identity.
    CHECK(std::abs(block.dbeta.get(k) - sum_dy) < 1e-12);
    CHECK(std::abs(sum_dx) < 1e-12);
    const double eps_share = 1e-5 * block.inv_std.get(k) * block.inv_std.get(k);
    CHECK(std::abs(along_xhat) < 1e-11 + 1.01 * eps_share * block.inv_std.get(k) *
                                             std::abs(block.gamma.get(k) * block.dgamma.get(k)));
  }
}

TEST_CASE("Every schedule of threads gives the same bits") {
  const std::vector<Case> cases = {
      {.x = Shape(16, 12, 12, 32)},
      {.x = Shape(8, 12, 12, 48), .norm = {.pool = 2, .pool_stride = 2}},
      {.x = Shape(16, 13, 13, 32), .norm = {.pool = 3, .pool_stride = 2}},
      {.x = Shape(3, 13, 13, 24), .norm = {.pool = 3, .pool_stride = 2}},
      {.x = Shape(256, 200), .norm = {.relu = true, .dropout = 0.5f}},
      {.x = Shape(8, 4096)},
      {.x = Shape(12, 12, 12, 48), .dtype = DType::bf16},
  };
  for (const Case& c : cases) {
    CAPTURE(describe(c));
    std::unique_ptr<Block> first;
    for_each_schedule([&] {
      auto again = std::make_unique<Block>(c);
      again->forward();
      again->backward();
      if (first == nullptr) return first.swap(again);
      CHECK(same_bits(first->y, again->y));
      CHECK(same_bits(first->mean, again->mean));
      CHECK(same_bits(first->inv_std, again->inv_std));
      CHECK(same_bits(first->running_mean, again->running_mean));
      CHECK(same_bits(first->running_var, again->running_var));
      CHECK(same_bits(first->argmax, again->argmax));
      CHECK(same_bits(first->picked, again->picked));
      CHECK(same_bits(first->dgamma, again->dgamma));
      CHECK(same_bits(first->dbeta, again->dbeta));
      CHECK(same_bits(first->dx, again->dx));
    });
  }
}

TEST_CASE("Scratch memory stops growing after the first call") {
  Block block({.x = Shape(16, 12, 12, 32), .norm = {.pool = 2, .pool_stride = 2}});
  const auto step = [&] {
    block.forward();
    block.backward();
    return block.ctx.scratch.high_water();
  };
  const std::size_t first = step();
  CHECK(step() == first);
}

TEST_CASE("Wrong shapes, types and options are refused with one clear line") {
  const auto refused = [](Case c, const std::function<void(Block&)>& spoil) {
    Block block(c);
    spoil(block);
    CHECK_THROWS_AS(block.forward(), Error);
  };
  const Case good{.x = Shape(2, 4, 4, 8)};
  refused(good, [](Block& b) { b.y = Tensor(Shape(2, 4, 4, 4), DType::f32); });
  refused(good, [](Block& b) { b.y = Tensor(Shape(2, 4, 4, 8), DType::f64); });
  refused(good, [](Block& b) { b.gamma = Tensor(Shape(7), DType::f32); });
  refused(good, [](Block& b) { b.running_var = Tensor(Shape(8), DType::f64); });
  refused(good, [](Block& b) { b.c.norm.dropout = 0.5f; });
  refused(good, [](Block& b) { b.c.norm.pool = 5, b.c.norm.pool_stride = 2; });
  refused(good, [](Block& b) { b.c.norm.pool = 2, b.c.norm.pool_stride = 0; });
  refused({.x = Shape(0, 8)}, [](Block&) {});
  refused({.x = Shape(8, 8), .norm = {.relu = false}}, [](Block& b) { b.c.norm.dropout = 0.5f; });
  Block pooled({.x = Shape(2, 4, 4, 8), .norm = {.pool = 2, .pool_stride = 2}});
  const auto without_picks = [&pooled](Mode mode, View argmax) {
    batchnorm_forward(pooled.ctx, pooled.c.norm, mode, DropoutKey{}, pooled.x.view(),
                      {pooled.gamma.view(), pooled.beta.view(), pooled.running_mean.view(),
                       pooled.running_var.view()},
                      {pooled.mean.view(), pooled.inv_std.view(), argmax, {}}, pooled.y.view());
  };
  without_picks(Mode::eval, {});
  CHECK_THROWS_AS(without_picks(Mode::train, {}), Error);
  CHECK_THROWS_AS(without_picks(Mode::eval, pooled.argmax.view()), Error);
  // Taps of larger windows would not fit into the bytes of argmax.
  CHECK(batchnorm_output({.pool = 15, .pool_stride = 1}, Shape(1, 16, 16, 8)) == Shape(1, 2, 2, 8));
  CHECK_THROWS_AS(batchnorm_output({.pool = 16, .pool_stride = 1}, Shape(1, 16, 16, 8)), Error);
  CHECK_THROWS_AS(batchnorm_output({.pool = 2, .pool_stride = 2}, Shape(4, 8)), Error);
  Block block(good);
  block.forward();
  CHECK_THROWS_AS(block.backward(block.x.view(), block.dgamma.view()), Error);
  Block masked({.x = Shape(8, 8), .norm = {.dropout = 0.5f}});
  masked.forward();
  const auto without_step = [&masked](Mode mode) {
    batchnorm_forward(masked.ctx, masked.c.norm, mode, DropoutKey{}, masked.x.view(),
                      {masked.gamma.view(), masked.beta.view(), masked.running_mean.view(),
                       masked.running_var.view()},
                      masked.saved(), masked.y.view());
  };
  without_step(Mode::eval);
  CHECK_THROWS_WITH_AS(without_step(Mode::train),
                       "batch norm: dropout of 0.5 in training needs the number of the step",
                       Error);
}

}  // namespace
}  // namespace nat::test
