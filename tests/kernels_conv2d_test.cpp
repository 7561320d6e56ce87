// Convolutions: values against the formula in double, gradients against central differences, every
// dtype, gradient mode and odd size; and that the fast path is the one taken.
#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "kernels/conv2d.h"
#include "kernels/cpu/winograd/toom_cook.h"
#include "kernels/cpu/winograd/winograd.h"
#include "kernels/random.h"
#include "kernels/space_to_depth.h"
#include "nat_config.h"
#include "tests/opcases/determinism.h"
#include "tests/opcases/device.h"
#include "tests/opcases/tensor.h"
#include "tests/reference/conv2d.h"

using namespace nat;
using namespace nat::test;

namespace {

struct Case {
  const char* what;
  Conv2d conv;
  Shape x;
  std::int64_t channels;
};

const std::vector<Case> kCases = {
    {"first layer of the convnet", {5, 2, 2}, {3, 28, 28, 2}, 32},
    {"first layer of AlexNet", {11, 4, 2}, {2, 35, 35, 2}, 96},
    {"first layer, rows of whole packs", {11, 4, 2}, {2, 36, 44, 2}, 8},
    {"strided, one channel, no padding", {5, 4, 0}, {2, 13, 17, 1}, 3},
    {"5x5 with padding", {5, 1, 2}, {2, 9, 9, 32}, 48},
    {"5x5, tiles hang over", {5, 1, 2}, {2, 11, 7, 16}, 32},
    {"5x5, channels are no whole vectors", {5, 1, 2}, {2, 6, 5, 12}, 20},
    {"3x3 with padding", {3, 1, 1}, {3, 14, 14, 32}, 64},
    {"3x3, tiles hang over", {3, 1, 1}, {2, 13, 7, 48}, 32},
    {"1x1", {1, 1, 0}, {2, 5, 6, 16}, 16},
    {"odd everything", {3, 2, 1}, {1, 7, 9, 5}, 7},
    {"batch of one, one channel", {3, 1, 0}, {1, 5, 5, 1}, 1},
    {"no pictures", {3, 1, 1}, {0, 7, 7, 32}, 32},
};

ConvProblem problem(const Case& c) {
  const Shape y = conv2d_output(c.conv, c.x, c.channels);
  return {c.conv, c.x, Shape(c.channels, c.conv.kernel, c.conv.kernel, c.x[3]), y};
}

// Rounding in Winograd's convolution F(m x m, r x r) (kernels/cpu/winograd/toom_cook.h): with the
// matrices B', G, A' for data, taps and outputs, d and dy tiles of data and of output gradients,
// and o for the product of elements,
//   y  = A' [sum over input channels of (G g G') o (B' d B)] A
//   dw = G' [sum over the tiles of all pictures of (A dy A') o (B' d B)] G
//
// Let the elements of both factors be independent with root mean squares r and s. Row k of B' makes
// the variance of an element |B'_k|^2 times what it was, and so do the other matrices. Element (k,
// l) of a sum of T products then has the variance T (r s)^2 q_k q_l, q_k = |B'_k|^2 |G_k|^2 for y
// and |B'_k|^2 |A_k|^2 for dw. If m roundings of at most u of what is rounded, independent of each
// other, lie on the way through an element, the error of result (i, j) has the variance
//   m u^2 T (r s)^2 f_i f_j,   y: f_i = sum_k A_ki^2 q_k,   dw: f_i = sum_k G_ki^2 q_k
// m: where the rows of the three matrices have at most e numbers together that are not 0, two
// dimensions take 2 e products and 2 (e - 3) sums, and the numbers of G are rounded; one product of
// factors; partial sums of t terms have the share t / T of the variance of the whole, together T/2.
// Six standard deviations: of normal errors one in 10^9 is larger. Much larger than what is seen:
// rounding errors spread evenly over [-u, u] of a power of two and have 0.41 u as root mean square,
// and the largest of 10^4 normal errors is at 4 deviations.
template <class Row>
double sum_of_squares(const Row& row) {
  double sum = 0;
  for (const float v : row) sum += static_cast<double>(v) * static_cast<double>(v);
  return sum;
}

template <class Matrix>
int most_entries(const Matrix& matrix) {
  int most = 0;
  for (const auto& row : matrix) {
    const auto zeros = std::count(row.begin(), row.end(), 0.0f);
    most = std::max(most, static_cast<int>(row.size()) - static_cast<int>(zeros));
  }
  return most;
}

// `data` and `other` transform the two factors, `last` the sum of their products.
template <class Data, class Other, class Last>
double winograd_bound(const Data& data, const Other& other, const Last& last, int rounded_entries,
                      double terms, double rms_product) {
  double gain = 0;  // the largest f_i
  for (const auto& row : last) {
    double sum = 0;
    for (std::size_t k = 0; k < row.size(); ++k) {
      const auto factor = static_cast<double>(row[k]);
      sum += factor * factor * sum_of_squares(data[k]) * sum_of_squares(other[k]);
    }
    gain = std::max(gain, sum);
  }
  const double entries = most_entries(data) + most_entries(other) + most_entries(last);
  const double roundings = 2 * entries + 2 * (entries - 3) + 2 * rounded_entries + 1 + terms / 2;
  return 6 * std::sqrt(roundings * terms) * 0x1p-24 * rms_product * gain;
}

template <std::size_t kOutputs, std::size_t kTaps>
double winograd_bound(bool weight_gradient, double terms, double rms_product) {
  using Maps = cpu::ToomCook<kOutputs, kTaps>;
  const int of_taps = most_entries(Maps::Taps::matrix);
  if (weight_gradient) {
    return winograd_bound(Maps::Data::matrix, Maps::OutputGradients::matrix,
                          Maps::TapGradients::matrix, of_taps, terms, rms_product);
  }
  return winograd_bound(Maps::Data::matrix, Maps::Taps::matrix, Maps::Outputs::matrix, of_taps,
                        terms, rms_product);
}

// 0 where another algorithm computes the product.
double winograd_bound(const cpu::WinogradTile& tile, bool weight_gradient, std::int64_t terms,
                      double rms_product) {
  const auto count = static_cast<double>(terms);
  if (kOnCuda || !tile) return 0;
  if (tile.taps == 5) {
    return tile.outputs == 3 ? winograd_bound<3, 5>(weight_gradient, count, rms_product)
                             : winograd_bound<4, 5>(weight_gradient, count, rms_product);
  }
  if (tile.outputs == 4) return winograd_bound<4, 3>(weight_gradient, count, rms_product);
  if (tile.outputs == 5) return winograd_bound<5, 3>(weight_gradient, count, rms_product);
  return winograd_bound<6, 3>(weight_gradient, count, rms_product);
}

// Bound on |error| of an element whose products sum to `magnitude` in absolute value.
//   accumulation in T: a sum of K products has error <= K u magnitude in the worst case and about
//     sqrt(K) u magnitude in practice; every kernel here keeps partial sums, so 8 + sqrt(K) covers
//     it
//   bf16 output: one rounding, |value| 2^-8; weight gradients of bf16 operands are rounded on CUDA,
//     before they are stored or added
double bound(DType dtype, double taps, double value, double magnitude) {
  const double u = unit_roundoff(dtype == DType::f64 ? DType::f64 : DType::f32);
  const double accumulate = (8 + std::sqrt(taps)) * u;
  const double rounding = dtype == DType::bf16 ? 0x1p-8 * std::abs(value) : 0;
  return accumulate * magnitude + rounding + 1e-30;
}

void check_close(const char* what, const Tensor& actual, const ReferenceResult& expected,
                 DType dtype, double taps, double more, double operand_error = 0) {
  CHECK(close(what, actual, expected.value, [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    return bound(dtype, taps, expected.value[at], expected.magnitude[at]) + more +
           operand_error * expected.magnitude[at];
  }));
}

// Weights as the product sees them: rounded to bf16 when the activations are bf16.
std::vector<double> effective(const Tensor& w, DType dtype) {
  std::vector<double> values = w.values();
  if (dtype == DType::bf16) {
    for (double& v : values) v = static_cast<double>(to_float(to_bfloat16(static_cast<float>(v))));
  }
  return values;
}

// The convolution of stride 1 that a first layer may be computed as, and its x.
struct Folded {
  Conv2d conv;
  Shape x;
};
Folded folded(const Case& c) {
  const Shape x = conv2d_folded(kDevice, c.conv, c.x);
  return {x == c.x ? c.conv : folded_conv(c.conv), x};
}

DType weight_dtype(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

void check_case(const Case& c, DType dtype) {
  CAPTURE(c.what);
  CAPTURE(name(dtype));
  Context ctx(kDevice, dtype == DType::bf16 ? Math::bf16 : Math::f32);
  const ConvProblem p = problem(c);
  Tensor x(p.x, dtype), dx(p.x, dtype), y(p.y, dtype), dy(p.y, dtype);
  Tensor w(p.w, weight_dtype(dtype)), dw(p.w, weight_dtype(dtype));
  x.fill_uniform(1, -1, 1);
  w.fill_uniform(2, -1, 1);
  dy.fill_uniform(3, -1, 1);
  constexpr double kProduct = 1. / 3;  // root mean square of a product of two from [-1, 1]
  const double taps = static_cast<double>(p.w.row());
  const std::vector<double> weights = effective(w, dtype);
  const Folded computed = folded(c);
  const cpu::WinogradTile tile =
      cpu::winograd_tile(computed.conv, {x.view().data, dtype, computed.x}, y.view());

  conv2d_forward(ctx, c.conv, x.view(), w.view(), y.view());
  check_close("y", y, conv2d_forward_reference(p, x.values(), weights), dtype, taps,
              winograd_bound(tile, false, computed.x[3], kProduct));

  conv2d_backward_data(ctx, c.conv, w.view(), dy.view(), dx.view());
  check_close(
      "dx", dx, conv2d_backward_data_reference(p, weights, dy.values()), dtype,
      static_cast<double>(p.w[0]) * c.conv.kernel * c.conv.kernel,
      winograd_bound(cpu::winograd_tile(c.conv, dy.view(), dx.view()), false, p.w[0], kProduct));

  const DType gradient_dtype = kOnCuda ? dtype : weight_dtype(dtype);
  const double pixels = static_cast<double>(p.y[0] * p.y[1] * p.y[2]);
  const ReferenceResult expected = conv2d_backward_weights_reference(p, x.values(), dy.values());
  conv2d_backward_weights(ctx, c.conv, x.view(), dy.view(), Grad::overwrite, dw.view());
  const auto tiles = [&](std::int64_t size) { return (size + tile.outputs - 1) / tile.outputs; };
  const double of_tiles =
      tile ? winograd_bound(tile, true, p.y[0] * tiles(p.y[1]) * tiles(p.y[2]), kProduct) : 0;
  check_close("dw", dw, expected, gradient_dtype, pixels, of_tiles);

  constexpr double kBefore = 0.5;
  dw.fill(kBefore);
  ReferenceResult accumulated = expected;
  for (double& v : accumulated.value) v += kBefore;
  for (double& v : accumulated.magnitude) v += kBefore;
  conv2d_backward_weights(ctx, c.conv, x.view(), dy.view(), Grad::accumulate, dw.view());
  const double rounding_of_before = gradient_dtype == DType::bf16 ? 0x1p-8 * kBefore : 0;
  check_close("dw accumulated", dw, accumulated, gradient_dtype, pixels,
              rounding_of_before + of_tiles);
  CHECK(w.canaries_intact());
  CHECK(x.canaries_intact());
}

}  // namespace

TEST_CASE("convolutions equal the formula in float32") {
  for (const Case& c : kCases) check_case(c, DType::f32);
}

TEST_CASE("convolutions equal the formula in bfloat16") {
  for (const Case& c : kCases) check_case(c, DType::bf16);
}

TEST_CASE("convolutions equal the formula in float64") {
  for (const Case& c : kCases) check_case(c, DType::f64);
}

TEST_CASE("convolutions of the tf32 mode equal the formula as far as their operands do") {
  if (!kOnCuda) {
    MESSAGE("skipped: only CUDA has tf32");
    return;
  }
  // Bits behind the tenth are cut off or rounded: each operand is wrong by 2^-10 at most.
  constexpr double kOperands = 2 * 0x1p-10;
  for (const Case& c : {kCases[0], kCases[4], kCases[7], kCases[10]}) {
    CAPTURE(c.what);
    Context ctx(kDevice, Math::tf32), exact(kDevice);
    const ConvProblem p = problem(c);
    Tensor x(p.x, DType::f32), w(p.w, DType::f32), dy(p.y, DType::f32);
    Tensor y(p.y, DType::f32), dx(p.x, DType::f32), dw(p.w, DType::f32), y_exact = y;
    x.fill_uniform(1, -1, 1);
    w.fill_uniform(2, -1, 1);
    dy.fill_uniform(3, -1, 1);
    conv2d_forward(ctx, c.conv, x.view(), w.view(), y.view());
    conv2d_backward_data(ctx, c.conv, w.view(), dy.view(), dx.view());
    conv2d_backward_weights(ctx, c.conv, x.view(), dy.view(), Grad::overwrite, dw.view());
    const double taps = static_cast<double>(p.w.row());
    const double back = static_cast<double>(p.w[0] * c.conv.kernel * c.conv.kernel);
    const double pixels = static_cast<double>(p.y[0] * p.y[1] * p.y[2]);
    check_close("y", y, conv2d_forward_reference(p, x.values(), w.values()), DType::f32, taps, 0,
                kOperands);
    check_close("dx", dx, conv2d_backward_data_reference(p, w.values(), dy.values()), DType::f32,
                back, 0, kOperands);
    check_close("dw", dw, conv2d_backward_weights_reference(p, x.values(), dy.values()), DType::f32,
                pixels, 0, kOperands);
    conv2d_forward(exact, c.conv, x.view(), w.view(), y_exact.view());
    if (kOnSimt) CHECK_FALSE(same_bits(y, y_exact));  // a library may know nothing faster
  }
}

TEST_CASE("convolutions of any size and padding equal the formula") {
  if (kOnCuda) {
    MESSAGE("skipped: for the tiles of Winograd's algorithm, which only the CPU uses");
    return;
  }
  constexpr std::int64_t kChannels[] = {16, 32, 48, 64};
  int tried = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    const auto pick = [&](std::uint64_t which, std::int64_t below) {
      return philox(seed, RandomStream::synthetic, 3, which).value[0] % below;
    };
    const int kernel = pick(0, 2) == 0 ? 3 : 5, pad = static_cast<int>(pick(1, kernel));
    const std::int64_t pictures = 1 + pick(2, 3), height = 1 + pick(3, 19), width = 1 + pick(4, 19);
    if (std::min(height, width) + 2 * pad < kernel) continue;
    const std::string what = str("seed ", seed);
    check_case({what.c_str(),
                {kernel, 1, pad},
                {pictures, height, width, kChannels[pick(5, 4)]},
                kChannels[pick(6, 4)]},
               pick(7, 4) == 0 ? DType::bf16 : DType::f32);
    ++tried;
  }
  CHECK(tried > 40);
}

TEST_CASE("x that was folded before gives the same bits, forward and for the weights") {
  int folds = 0;
  for (const Case& c : kCases) {
    const Shape shape = conv2d_folded(kDevice, c.conv, c.x);
    if (shape == c.x) continue;
    ++folds;
    for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
      CAPTURE(c.what);
      CAPTURE(name(dtype));
      Context ctx(kDevice, dtype == DType::bf16 ? Math::bf16 : Math::f32);
      const ConvProblem p = problem(c);
      Tensor x(p.x, dtype), folded(shape, dtype), y(p.y, dtype), y_folded(p.y, dtype);
      Tensor w(p.w, weight_dtype(dtype)), dw(p.w, weight_dtype(dtype)),
          dw_folded(p.w, weight_dtype(dtype));
      x.fill_uniform(1, -1, 1);
      w.fill_uniform(2, -1, 1);
      conv2d_fold(ctx, c.conv, x.view(), folded.view());
      CHECK(folded.canaries_intact());
      conv2d_forward(ctx, c.conv, x.view(), w.view(), y.view());
      conv2d_forward(ctx, c.conv, folded.view(), w.view(), y_folded.view());
      CHECK(same_bits(y, y_folded));
      conv2d_backward_weights(ctx, c.conv, x.view(), y.view(), Grad::overwrite, dw.view());
      conv2d_backward_weights(ctx, c.conv, folded.view(), y.view(), Grad::overwrite,
                              dw_folded.view());
      CHECK(same_bits(dw, dw_folded));
    }
    Context ctx(kDevice);
    const ConvProblem p = problem(c);
    Tensor x(c.x, DType::f32), wrong(c.x, DType::f32), folded(shape, DType::f32);
    Tensor w(p.w, DType::f32), dy(p.y, DType::f32);
    CHECK_THROWS_AS(conv2d_fold(ctx, c.conv, x.view(), wrong.view()), Error);
    // Nobody needs the gradient of what was folded.
    CHECK_THROWS_AS(conv2d_backward_data(ctx, c.conv, w.view(), dy.view(), folded.view()), Error);
    if (kOnCuda) continue;
    CHECK(cpu::conv2d_forward_implementation(ctx, c.conv, x.view(), w.view(), dy.view()) ==
          cpu::conv2d_forward_implementation(ctx, c.conv, folded.view(), w.view(), dy.view()));
  }
  CHECK(folds == (kOnCuda ? 4 : 2));  // on the CPU where Winograd's algorithm then applies
}

TEST_CASE("float64 gradients of the convolution equal central differences") {
  for (const Case& c :
       {Case{"3x3", {3, 1, 1}, {2, 5, 4, 3}, 4}, Case{"5x5/2", {5, 2, 2}, {2, 7, 7, 2}, 3}}) {
    CAPTURE(c.what);
    Context ctx(kDevice);
    const ConvProblem p = problem(c);
    Tensor x(p.x, DType::f64), w(p.w, DType::f64), y(p.y, DType::f64), dy(p.y, DType::f64);
    Tensor dx(p.x, DType::f64), dw(p.w, DType::f64);
    x.fill_uniform(4, -1, 1);
    w.fill_uniform(5, -1, 1);
    const std::vector<double> r = random_values(6, p.y.elements());
    dy.assign(r);
    const auto objective = [&] {
      conv2d_forward(ctx, c.conv, x.view(), w.view(), y.view());
      return dot(y, r);
    };
    conv2d_backward_data(ctx, c.conv, w.view(), dy.view(), dx.view());
    conv2d_backward_weights(ctx, c.conv, x.view(), dy.view(), Grad::overwrite, dw.view());
    CHECK(gradient_error(objective, x, dx.values()) <= 1e-6);
    CHECK(gradient_error(objective, w, dw.values()) <= 1e-6);
  }
}

TEST_CASE(
    "forward, backward-data and backward-weights are adjoint at the size of the paper's network") {
  // <conv(x, w), dy> = <x, backward_data(w, dy)> = <w, backward_weights(x, dy)>, each a sum of m
  // float32 products: differences stay below 1e-5 of the product of norms.
  Context ctx(kDevice);
  for (const auto& [conv, shape, channels] :
       {std::tuple(Conv2d{5, 1, 2}, Shape(1, 27, 27, 96), std::int64_t{256}),
        std::tuple(Conv2d{3, 1, 1}, Shape(kOnSimt ? 1 : 32, 13, 13, 384), std::int64_t{256})}) {
    const Shape out = conv2d_output(conv, shape, channels);
    const Shape weights(channels, conv.kernel, conv.kernel, shape[3]);
    Tensor x(shape, DType::f32), dx(shape, DType::f32), y(out, DType::f32), dy(out, DType::f32),
        w(weights, DType::f32), dw(weights, DType::f32);
    x.fill_uniform(7, -1, 1);
    w.fill_uniform(8, -1, 1);
    dy.fill_uniform(9, -1, 1);
    conv2d_forward(ctx, conv, x.view(), w.view(), y.view());
    conv2d_backward_data(ctx, conv, w.view(), dy.view(), dx.view());
    conv2d_backward_weights(ctx, conv, x.view(), dy.view(), Grad::overwrite, dw.view());
    const auto norm = [](const Tensor& t) { return std::sqrt(dot(t, t.values())); };
    const double a = dot(y, dy.values()), b = dot(x, dx.values()), c = dot(w, dw.values());
    CHECK(std::abs(a - b) <= 1e-5 * norm(y) * norm(dy));
    CHECK(std::abs(a - c) <= 1e-5 * norm(y) * norm(dy));
  }
}

TEST_CASE("the same bits whatever the number of threads and in every call") {
  for (const auto& [conv, shape, channels] :
       {std::tuple(Conv2d{3, 1, 1}, Shape(kOnSimt ? 4 : 100, 14, 14, 16), std::int64_t{32}),
        std::tuple(Conv2d{5, 1, 2}, Shape(kOnSimt ? 1 : 24, 27, 27, 16), std::int64_t{16})}) {
    const Shape out = conv2d_output(conv, shape, channels);
    const Shape weights(channels, conv.kernel, conv.kernel, shape[3]);
    Tensor x(shape, DType::f32), w(weights, DType::f32), dy(out, DType::f32);
    x.fill_uniform(1, -1, 1);
    w.fill_uniform(2, -1, 1);
    dy.fill_uniform(3, -1, 1);
    std::vector<Tensor> first;
    for_each_schedule([&, conv = conv, shape = shape] {
      Context ctx(kDevice);
      std::vector<Tensor> results = {Tensor(out, DType::f32), Tensor(shape, DType::f32),
                                     Tensor(weights, DType::f32)};
      conv2d_forward(ctx, conv, x.view(), w.view(), results[0].view());
      conv2d_backward_data(ctx, conv, w.view(), dy.view(), results[1].view());
      conv2d_backward_weights(ctx, conv, x.view(), dy.view(), Grad::overwrite, results[2].view());
      if (first.empty()) first = results;
      for (std::size_t i = 0; i < results.size(); ++i) CHECK(same_bits(first[i], results[i]));
    });
  }
}

TEST_CASE("what a context keeps of one convolution is not taken for another of the same shapes") {
  const Shape shape(2, 12, 12, 3), weights(4, 5, 5, 3), out(2, 4, 4, 4);
  Tensor x(shape, DType::f32), w(weights, DType::f32), dy(out, DType::f32);
  x.fill_uniform(1, -1, 1);
  w.fill_uniform(2, -1, 1);
  dy.fill_uniform(3, -1, 1);
  const auto results = [&](Context& ctx, int pad) {
    const Conv2d conv{5, 3, pad};
    std::vector<Tensor> all = {Tensor(out, DType::f32), Tensor(shape, DType::f32),
                               Tensor(weights, DType::f32)};
    conv2d_forward(ctx, conv, x.view(), w.view(), all[0].view());
    conv2d_backward_data(ctx, conv, w.view(), dy.view(), all[1].view());
    conv2d_backward_weights(ctx, conv, x.view(), dy.view(), Grad::overwrite, all[2].view());
    return all;
  };
  Context both(kDevice);
  for (const int pad : {1, 2}) {
    CAPTURE(pad);
    Context own(kDevice);
    const std::vector<Tensor> expected = results(own, pad), actual = results(both, pad);
    for (std::size_t i = 0; i < expected.size(); ++i) CHECK(same_bits(expected[i], actual[i]));
  }
}

TEST_CASE("scratch memory stops growing after the first call") {
  Context ctx(kDevice);
  const Shape shape(4, 14, 14, 32), weights(64, 3, 3, 32), out(4, 14, 14, 64);
  const Conv2d conv{3, 1, 1};
  Tensor x(shape, DType::f32), w(weights, DType::f32), y(out, DType::f32), dw(weights, DType::f32);
  x.fill_uniform(1, -1, 1);
  w.fill_uniform(2, -1, 1);
  const auto step = [&] {
    conv2d_forward(ctx, conv, x.view(), w.view(), y.view());
    conv2d_backward_data(ctx, conv, w.view(), y.view(), x.view());
    conv2d_backward_weights(ctx, conv, x.view(), y.view(), Grad::overwrite, dw.view());
    return ctx.scratch.high_water();
  };
  const std::size_t first = step();
  CHECK(step() == first);
}

TEST_CASE("the convolutions of both networks take the fast way") {
  if (kOnCuda) {
    MESSAGE("skipped: of the CPU, which this test does not use");
    return;
  }
  Context ctx(kDevice);
  const auto implementation = [&](const Case& c) {
    const ConvProblem p = problem(c);
    Tensor x(p.x, DType::f32), y(p.y, DType::f32), w(p.w, DType::f32);
    return cpu::conv2d_forward_implementation(ctx, c.conv, x.view(), w.view(), y.view());
  };
  const std::vector<std::pair<Case, std::string>> layers = {
      {{"AlexNet conv1", {11, 4, 2}, {1, 224, 224, 2}, 96}, "Winograd F(5x5, 3x3)"},
      {{"AlexNet conv2", {5, 1, 2}, {1, 27, 27, 96}, 256}, "Winograd F(4x4, 5x5)"},
      {{"AlexNet conv3", {3, 1, 1}, {1, 13, 13, 256}, 384}, "Winograd F(5x5, 3x3)"},
      {{"convnet conv2", {3, 1, 1}, {1, 14, 14, 32}, 64}, "Winograd F(5x5, 3x3)"},
      {{"convnet conv3", {3, 1, 1}, {1, 7, 7, 64}, 128}, "Winograd F(4x4, 3x3)"}};
  for (const auto& [layer, expected] : layers) {
    CAPTURE(layer.what);
    CHECK(implementation(layer) == expected);
  }
  if (!kHasOneDnn) {
    MESSAGE("skipped: the direct way, which is oneDNN's");
    return;
  }
  const std::string direct = implementation({"convnet conv1", {5, 2, 2}, {1, 28, 28, 2}, 32});
  CAPTURE(direct);
  CHECK(direct.find("ref") == std::string::npos);
  CHECK(direct.find("plain") == std::string::npos);
}

TEST_CASE("bf16 weights count as float32 weights that were rounded") {
  if (!kOnCuda) {
    MESSAGE("skipped: only CUDA takes bf16 weights");
    return;
  }
  for (const Case& c : {kCases[0], kCases[2]}) {
    CAPTURE(c.what);
    Context ctx(kDevice, Math::bf16);
    const ConvProblem p = problem(c);
    Tensor x(p.x, DType::bf16), w(p.w, DType::f32), rounded(p.w, DType::bf16);
    Tensor y(p.y, DType::bf16), y_rounded(p.y, DType::bf16), dx(p.x, DType::bf16),
        dx_rounded(p.x, DType::bf16);
    x.fill_uniform(1, -1, 1);
    w.fill_uniform(2, -1, 1);
    rounded.assign(w.values());
    conv2d_forward(ctx, c.conv, x.view(), w.view(), y.view());
    conv2d_forward(ctx, c.conv, x.view(), rounded.view(), y_rounded.view());
    CHECK(same_bits(y, y_rounded));
    conv2d_backward_data(ctx, c.conv, w.view(), y.view(), dx.view());
    conv2d_backward_data(ctx, c.conv, rounded.view(), y.view(), dx_rounded.view());
    CHECK(same_bits(dx, dx_rounded));
  }
}

TEST_CASE("shapes that do not fit are refused in one line") {
  Context ctx(kDevice);
  Tensor x(Shape(1, 5, 5, 2), DType::f32), w(Shape(3, 3, 3, 2), DType::f32);
  Tensor wrong(Shape(1, 4, 4, 3), DType::f32);
  CHECK_THROWS_WITH_AS(conv2d_forward(ctx, Conv2d{3, 1, 0}, x.view(), w.view(), wrong.view()),
                       "conv2d: y has shape 1x4x4x3, expected 1x3x3x3", Error);
  Tensor y(Shape(1, 3, 3, 3), DType::f32), narrow(Shape(3, 3, 3, 1), DType::f32);
  CHECK_THROWS_WITH_AS(conv2d_forward(ctx, Conv2d{3, 1, 0}, x.view(), narrow.view(), y.view()),
                       "conv2d: w has shape 3x3x3x1, expected 3x3x3x2", Error);
  Tensor rounded(Shape(1, 3, 3, 3), DType::bf16);
  CHECK_THROWS_AS(conv2d_forward(ctx, Conv2d{3, 1, 0}, x.view(), w.view(), rounded.view()), Error);
  CHECK_THROWS_AS(conv2d_output(Conv2d{7, 1, 0}, Shape(1, 5, 9, 2), 1), Error);
  CHECK_THROWS_AS(conv2d_output(Conv2d{7, 1, 0}, Shape(1, 9, 5, 2), 1), Error);
}
