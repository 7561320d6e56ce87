// Matrix products and the three products of a fully connected layer: values against the formula in
// double, gradients against central differences, every transpose, dtype and gradient mode.
#include <doctest/doctest.h>

#include <cmath>
#include <tuple>

#include "kernels/gemm.h"
#include "tests/opcases/determinism.h"
#include "tests/opcases/device.h"
#include "tests/opcases/tensor.h"
#include "tests/reference/gemm.h"

using namespace nat;
using namespace nat::test;

namespace {

constexpr auto kNo = Transpose::no;
constexpr auto kYes = Transpose::yes;

DType accumulator(DType dtype) { return dtype == DType::f64 ? DType::f64 : DType::f32; }

// Bound on the error of a sum of k products that add up to `magnitude` in absolute value. In
// accumulation type T it is k u magnitude in the worst case and about sqrt(k) u magnitude in
// practice, and every kernel keeps partial sums: 8 + sqrt(k) covers it. A bf16 result is rounded
// once after the product and, with a bias, once more.
double bound(DType dtype, std::int64_t k, double value, double magnitude, int bf16_roundings = 1) {
  const double accumulate =
      (8 + std::sqrt(static_cast<double>(k))) * unit_roundoff(accumulator(dtype)) * magnitude;
  const double storage = dtype == DType::bf16 ? bf16_roundings * 0x1p-8 * std::abs(value) : 0;
  return accumulate + storage + 1e-30;
}

// Share of its magnitude by which a sum of products may be wrong because of its operands. Of a tf32
// operand the bits behind the tenth are cut off or rounded: it is wrong by 2^-10 at most.
double operand_error(Math math) { return math == Math::tf32 ? 2 * 0x1p-10 : 0; }

void check_close(const char* what, const Tensor& actual, const GemmResult& expected, std::int64_t k,
                 Math math = Math::f32) {
  CHECK(close(what, actual, expected.value, [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    return bound(actual.dtype(), k, expected.value[at], expected.magnitude[at]) +
           operand_error(math) * expected.magnitude[at];
  }));
}

void check_gemm(const GemmProblem& p, DType dtype, float beta, Math math = Math::f32) {
  CAPTURE(name(dtype));
  CAPTURE(p.m);
  CAPTURE(p.n);
  CAPTURE(p.k);
  CAPTURE((p.a_transposed == kYes));
  CAPTURE((p.b_transposed == kYes));
  CAPTURE(beta);
  Context ctx(kDevice, math);
  Tensor a(p.a_transposed == kYes ? Shape(p.k, p.m) : Shape(p.m, p.k), dtype);
  Tensor b(p.b_transposed == kYes ? Shape(p.n, p.k) : Shape(p.k, p.n), dtype);
  Tensor c(Shape(p.m, p.n), dtype);
  a.fill_uniform(1, -1, 1);
  b.fill_uniform(2, -1, 1);
  GemmResult expected = gemm_reference(p, a.values(), b.values());
  if (beta != 0) {  // with beta = 0 the NaN that c holds must not come through
    c.fill_uniform(3, -1, 1);
    for (std::int64_t i = 0; i < c.size(); ++i) {
      const auto at = static_cast<std::size_t>(i);
      expected.value[at] += static_cast<double>(beta) * c.get(i);
      expected.magnitude[at] += std::abs(static_cast<double>(beta) * c.get(i));
    }
  }
  gemm(ctx, p.a_transposed, p.b_transposed, beta, a.view(), b.view(), c.view());
  check_close("c", c, expected, p.k);
  CHECK(a.canaries_intact());
  CHECK(b.canaries_intact());
}

// What a bf16 layer multiplies: weights rounded to bf16.
std::vector<double> effective(const Tensor& w, DType x_dtype) {
  std::vector<double> values = w.values();
  if (x_dtype == DType::bf16) {
    for (double& v : values) v = static_cast<double>(to_float(to_bfloat16(static_cast<float>(v))));
  }
  return values;
}

void add(GemmResult& result, const std::vector<double>& row) {
  for (std::size_t i = 0; i < result.value.size(); ++i) {
    result.value[i] += row[i % row.size()];
    result.magnitude[i] += std::abs(row[i % row.size()]);
  }
}

// A fully connected layer on x (n, in) of x_dtype with y (n, out) of y_dtype.
struct Linear {
  std::int64_t n, in, out;
  DType x_dtype, y_dtype;
  Tensor x, dx, w, dw, b, db, y, dy;

  Linear(std::int64_t n_, std::int64_t in_, std::int64_t out_, DType x_dtype_, DType y_dtype_)
      : n(n_),
        in(in_),
        out(out_),
        x_dtype(x_dtype_),
        y_dtype(y_dtype_),
        x(Shape(n, in), x_dtype),
        dx(Shape(n, in), x_dtype),
        w(Shape(out, in), accumulator(x_dtype)),
        dw(Shape(out, in), accumulator(x_dtype)),
        b(Shape(out), accumulator(x_dtype)),
        db(Shape(out), accumulator(x_dtype)),
        y(Shape(n, out), y_dtype),
        dy(Shape(n, out), y_dtype) {
    x.fill_uniform(4, -1, 1);
    w.fill_uniform(5, -1, 1);
    b.fill_uniform(6, -1, 1);
    dy.fill_uniform(7, -1, 1);
    // A bf16 product may round an f32 dy to bf16: with values that are bf16 already, whether it
    // does changes nothing, and the bounds stay those of the accumulation.
    for (std::int64_t i = 0; i < dy.size(); ++i) {
      if (y_dtype == DType::f32) {
        dy.set(i, static_cast<double>(to_float(to_bfloat16(static_cast<float>(dy.get(i))))));
      }
    }
  }
};

void check_forward(Context& ctx, Linear& layer) {
  GemmResult expected = gemm_reference({kNo, kYes, layer.n, layer.out, layer.in}, layer.x.values(),
                                       effective(layer.w, layer.x_dtype));
  linear_forward(ctx, layer.x.view(), layer.w.view(), ConstView(), layer.y.view());
  check_close("y without bias", layer.y, expected, layer.in, ctx.math);

  const std::vector<double> product = expected.value;
  add(expected, layer.b.values());
  layer.y.poison();
  linear_forward(ctx, layer.x.view(), layer.w.view(), layer.b.view(), layer.y.view());
  CHECK(close("y with bias", layer.y, expected.value, [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    const double larger = std::max(std::abs(product[at]), std::abs(expected.value[at]));
    return bound(layer.y_dtype, layer.in, larger, expected.magnitude[at], 2) +
           operand_error(ctx.math) * expected.magnitude[at];
  }));
}

void check_backward(Context& ctx, Linear& layer) {
  linear_backward_data(ctx, layer.w.view(), layer.dy.view(), layer.dx.view());
  check_close("dx", layer.dx,
              gemm_reference({kNo, kNo, layer.n, layer.in, layer.out}, layer.dy.values(),
                             effective(layer.w, layer.x_dtype)),
              layer.out, ctx.math);

  const std::vector<double> ones(static_cast<std::size_t>(layer.n), 1.0);
  GemmResult dw = gemm_reference({kYes, kNo, layer.out, layer.in, layer.n}, layer.dy.values(),
                                 layer.x.values());
  GemmResult db = gemm_reference({kNo, kNo, 1, layer.out, layer.n}, ones, layer.dy.values());
  linear_backward_weights(ctx, layer.x.view(), layer.dy.view(), Grad::overwrite, layer.dw.view(),
                          layer.db.view());
  check_close("dw", layer.dw, dw, layer.n, ctx.math);
  check_close("db", layer.db, db, layer.n);

  layer.dw.fill(0.5);
  layer.db.fill(-2);
  add(dw, {0.5});
  add(db, {-2});
  linear_backward_weights(ctx, layer.x.view(), layer.dy.view(), Grad::accumulate, layer.dw.view(),
                          layer.db.view());
  check_close("dw accumulated", layer.dw, dw, layer.n, ctx.math);
  check_close("db accumulated", layer.db, db, layer.n);

  layer.dw.fill(0.5);
  linear_backward_weights(ctx, layer.x.view(), layer.dy.view(), Grad::accumulate, layer.dw.view(),
                          View());
  check_close("dw accumulated without bias", layer.dw, dw, layer.n, ctx.math);
}

void check_linear(DType x_dtype, DType y_dtype, Math math = Math::f32) {
  Context ctx(kDevice, math);
  // Around the number of rows at which the product is turned over, odd sizes, and single ones.
  struct Sizes {
    int n, in, out;
  };
  for (const Sizes& size : {Sizes{1, 1, 1},
                            {1, 37, 29},
                            {3, 257, 130},
                            {127, 33, 65},
                            {128, 64, 32},
                            {129, 33, 65},
                            {200, 48, 1}}) {
    CAPTURE(name(x_dtype));
    CAPTURE(name(y_dtype));
    CAPTURE(size.n);
    CAPTURE(size.in);
    CAPTURE(size.out);
    Linear layer(size.n, size.in, size.out, x_dtype, y_dtype);
    check_forward(ctx, layer);
    check_backward(ctx, layer);
    CHECK(layer.x.canaries_intact());
    CHECK(layer.w.canaries_intact());
    CHECK(layer.dy.canaries_intact());
  }
}

}  // namespace

TEST_CASE("matrix products equal the formula for every transpose and beta") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    for (const Transpose a : {kNo, kYes}) {
      for (const Transpose b : {kNo, kYes}) {
        for (const float beta : {0.0f, 1.0f, 0.5f}) {
          check_gemm({a, b, 1, 1, 1}, dtype, beta);
          check_gemm({a, b, 3, 5, 7}, dtype, beta);
          check_gemm({a, b, 65, 33, 129}, dtype, beta);
          check_gemm({a, b, 64, 48, 300}, dtype, beta);
        }
      }
    }
  }
}

TEST_CASE("fully connected layers equal the formula in float32") {
  check_linear(DType::f32, DType::f32);
}

TEST_CASE("fully connected layers equal the formula in float64") {
  check_linear(DType::f64, DType::f64);
}

TEST_CASE("fully connected layers equal the formula in bfloat16 and between bfloat16 and float32") {
  check_linear(DType::bf16, DType::bf16, Math::bf16);
  check_linear(DType::bf16, DType::f32, Math::bf16);
  check_linear(DType::f32, DType::bf16, Math::bf16);
}

TEST_CASE("matrix products are exact in the tf32 mode, fully connected layers are tf32") {
  if (!kOnCuda) {
    MESSAGE("skipped: only CUDA has tf32");
    return;
  }
  for (const float beta : {0.0f, 1.0f}) {
    check_gemm({kNo, kYes, 65, 33, 129}, DType::f32, beta, Math::tf32);
    check_gemm({kNo, kYes, 64, 48, 300}, DType::f32, beta, Math::tf32);
    check_gemm({kYes, kNo, 64, 48, 300}, DType::f32, beta, Math::tf32);
  }
  check_linear(DType::f32, DType::f32, Math::tf32);
  if (!kOnSimt) return;  // a library may know nothing faster than float32 for such sizes
  Context exact(kDevice), rounded(kDevice, Math::tf32);
  Linear a(128, 64, 32, DType::f32, DType::f32), b = a;
  check_forward(exact, a);
  check_backward(exact, a);
  check_forward(rounded, b);
  check_backward(rounded, b);
  CHECK_FALSE(same_bits(a.y, b.y));
  CHECK_FALSE(same_bits(a.dx, b.dx));
  CHECK_FALSE(same_bits(a.dw, b.dw));
  CHECK(same_bits(a.db, b.db));
}

TEST_CASE("float64 gradients of the fully connected layer equal central differences") {
  for (const std::int64_t rows : {3, 130}) {
    Context ctx(kDevice);
    Linear layer(rows, 5, 4, DType::f64, DType::f64);
    const std::vector<double> r = random_values(8, layer.y.size());
    layer.dy.assign(r);
    const auto objective = [&] {
      linear_forward(ctx, layer.x.view(), layer.w.view(), layer.b.view(), layer.y.view());
      return dot(layer.y, r);
    };
    linear_backward_data(ctx, layer.w.view(), layer.dy.view(), layer.dx.view());
    linear_backward_weights(ctx, layer.x.view(), layer.dy.view(), Grad::overwrite, layer.dw.view(),
                            layer.db.view());
    CHECK(gradient_error(objective, layer.x, layer.dx.values()) <= 1e-6);
    CHECK(gradient_error(objective, layer.w, layer.dw.values()) <= 1e-6);
    CHECK(gradient_error(objective, layer.b, layer.db.values()) <= 1e-6);
  }
}

TEST_CASE("bias gradients do not depend on the number of threads") {
  Context ctx(kDevice);
  Linear layer(512, 8, 300, DType::f32, DType::f32);
  Tensor one(Shape(layer.out), DType::f32);
  with_threads(1, [&] {
    linear_backward_weights(ctx, layer.x.view(), layer.dy.view(), Grad::overwrite, layer.dw.view(),
                            one.view());
  });
  with_threads(3, [&] {
    linear_backward_weights(ctx, layer.x.view(), layer.dy.view(), Grad::overwrite, layer.dw.view(),
                            layer.db.view());
  });
  CHECK(same_bits(one, layer.db));
}

TEST_CASE("bf16 weights count as float32 weights that were rounded") {
  if (!kOnCuda) {
    MESSAGE("skipped: only CUDA takes bf16 weights");
    return;
  }
  Context ctx(kDevice, Math::bf16);
  Linear layer(5, 33, 17, DType::bf16, DType::f32);
  Tensor rounded(layer.w.shape(), DType::bf16);
  rounded.assign(layer.w.values());
  Tensor y(layer.y.shape(), DType::f32), dx(layer.x.shape(), DType::bf16);
  linear_forward(ctx, layer.x.view(), layer.w.view(), layer.b.view(), layer.y.view());
  linear_forward(ctx, layer.x.view(), rounded.view(), layer.b.view(), y.view());
  CHECK(same_bits(layer.y, y));
  linear_backward_data(ctx, layer.w.view(), layer.dy.view(), layer.dx.view());
  linear_backward_data(ctx, rounded.view(), layer.dy.view(), dx.view());
  CHECK(same_bits(layer.dx, dx));
}

TEST_CASE("matrices that do not fit are refused in one line") {
  Context ctx(kDevice);
  Tensor a(Shape(2, 3), DType::f32), b(Shape(4, 5), DType::f32), c(Shape(2, 5), DType::f32);
  CHECK_THROWS_WITH_AS(gemm(ctx, kNo, kNo, 0, a.view(), b.view(), c.view()),
                       "gemm: a 2x3 f32 and b 4x5 f32 do not give c 2x5 f32", Error);
  Tensor other(Shape(3, 5), DType::f64);
  CHECK_THROWS_WITH_AS(gemm(ctx, kNo, kNo, 0, a.view(), other.view(), c.view()),
                       "gemm: a 2x3 f32 and b 3x5 f64 do not give c 2x5 f32", Error);
  CHECK_THROWS_WITH_AS(linear_forward(ctx, a.view(), b.view(), ConstView(), c.view()),
                       "linear: x 2x3, w 4x5, y 2x5 do not fit; w must be out x in", Error);
  Tensor w(Shape(5, 3), DType::f64);
  CHECK_THROWS_WITH_AS(linear_forward(ctx, a.view(), w.view(), ConstView(), c.view()),
                       "linear: x is f32, w f64, y f32; w must be f32 (f64 when x and y are f64)",
                       Error);
}
