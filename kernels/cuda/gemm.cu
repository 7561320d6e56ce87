#include "kernels/gemm.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/libraries/libraries.h"
#include "kernels/cuda/operand.h"
#include "kernels/cuda/pack.cuh"
#include "kernels/dispatch.h"
#include "kernels/gemm_check.h"

namespace nat::gpu {

namespace {

constexpr auto kNo = Transpose::no;
constexpr auto kYes = Transpose::yes;

// ---- the plain product, for what cuBLASLt does not do -------------------------------------------

constexpr int kTile = 16;

// Sizes of c = op(a) op(b), and how far apart neighbours lie: op(a)(i,p) = a[i*a_row + p*a_column].
struct ProductSizes {
  std::int64_t m, n, k, a_row, a_column, b_row, b_column;
};

// One block computes a tile of c, one thread an element of it; tiles of a and b pass through shared
// memory. Tiles are numbered along x: grids are narrow in y.
template <class In, class Out>
__global__ void __launch_bounds__(kTile* kTile, 1)
    product_kernel(ProductSizes size, std::int64_t tiles_wide, Compute<In> beta,
                   const In* __restrict__ a, const In* __restrict__ b, Out* __restrict__ c) {
  using Sum = Compute<In>;
  __shared__ Sum a_tile[kTile][kTile + 1];
  __shared__ Sum b_tile[kTile][kTile + 1];
  const int row = static_cast<int>(threadIdx.y), column = static_cast<int>(threadIdx.x);
  const std::int64_t i = blockIdx.x / tiles_wide * kTile + row;
  const std::int64_t j = blockIdx.x % tiles_wide * kTile + column;
  Sum sum = 0;
  for (std::int64_t p = 0; p < size.k; p += kTile) {
    const bool a_inside = i < size.m && p + column < size.k;
    const bool b_inside = p + row < size.k && j < size.n;
    a_tile[row][column] =
        a_inside ? widen(a[i * size.a_row + (p + column) * size.a_column]) : Sum{0};
    b_tile[row][column] = b_inside ? widen(b[(p + row) * size.b_row + j * size.b_column]) : Sum{0};
    __syncthreads();
#pragma unroll
    for (int t = 0; t < kTile; ++t) sum += a_tile[row][t] * b_tile[t][column];
    __syncthreads();
  }
  if (i >= size.m || j >= size.n) return;
  Out& result = c[i * size.n + j];
  if (beta != Sum{0}) sum += beta * widen(result);  // what c holds may be NaN
  result = narrow<Out>(sum);
}

template <class In, class Out>
void launch_product(Context& ctx, const ProductSizes& size, float beta, const ConstView& a,
                    const ConstView& b, const View& c) {
  const unsigned tiles_wide = blocks_for(size.n, kTile), tiles_high = blocks_for(size.m, kTile);
  launch(ctx, {.grid = tiles_wide * tiles_high, .block = dim3(kTile, kTile)},
         product_kernel<In, Out>, size, std::int64_t{tiles_wide}, Compute<In>{beta}, a.as<In>(),
         b.as<In>(), c.as<Out>());
}

void plain_product(Context& ctx, Transpose a_transposed, Transpose b_transposed, float beta,
                   ConstView a, ConstView b, View c) {
  const bool ta = a_transposed == kYes, tb = b_transposed == kYes;
  const ProductSizes size{.m = c.shape[0],
                          .n = c.shape[1],
                          .k = a.shape[ta ? 0 : 1],
                          .a_row = ta ? 1 : a.shape[1],
                          .a_column = ta ? a.shape[1] : 1,
                          .b_row = tb ? 1 : b.shape[1],
                          .b_column = tb ? b.shape[1] : 1};
  if (a.dtype == DType::bf16 && c.dtype == DType::f32) {
    return launch_product<BFloat16, float>(ctx, size, beta, a, b, c);
  }
  dispatch_storage(c.dtype, "gemm", [&](auto tag) {
    using T = typename decltype(tag)::type;
    launch_product<T, T>(ctx, size, beta, a, b, c);
  });
}

// ---- bias ---------------------------------------------------------------------------------------

constexpr unsigned kThreads = 256;

template <class T>
__global__ void __launch_bounds__(kThreads, 1)
    add_bias_kernel(std::int64_t elements, std::int64_t out, const Compute<T>* __restrict__ b,
                    T* __restrict__ y) {
  const std::int64_t at = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= elements) return;
  y[at] = narrow<T>(widen(y[at]) + b[at % out]);
}

void add_bias(Context& ctx, ConstView b, View y) {
  dispatch_storage(y.dtype, "linear", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const std::int64_t elements = y.shape.elements();
    launch(ctx, {.grid = blocks_for(elements, kThreads), .block = kThreads}, add_bias_kernel<T>,
           elements, y.shape[1], b.as<Compute<T>>(), y.as<T>());
  });
}

constexpr unsigned kLanes = 32;  // columns of a block
constexpr unsigned kTeams = 8;   // of threads, each sums every kTeams-th row

// db[o] = sum of column o of dy, in an order that depends on nothing but the number of rows.
template <class T>
__global__ void __launch_bounds__(kLanes* kTeams, 1)
    bias_gradient_kernel(std::int64_t n, std::int64_t out, bool accumulate,
                         const T* __restrict__ dy, Compute<T>* __restrict__ db) {
  __shared__ Compute<T> partial[kTeams][kLanes];
  const std::int64_t o = std::int64_t{blockIdx.x} * kLanes + threadIdx.x;
  Compute<T> sum = 0;
  if (o < out) {
    for (std::int64_t i = threadIdx.y; i < n; i += kTeams) sum += widen(dy[i * out + o]);
  }
  partial[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || o >= out) return;
  sum = accumulate ? db[o] : Compute<T>{0};
  for (unsigned team = 0; team < kTeams; ++team) sum += partial[team][threadIdx.x];
  db[o] = sum;
}

void bias_gradient(Context& ctx, ConstView dy, Grad grad, View db) {
  dispatch_storage(dy.dtype, "linear", [&](auto tag) {
    using T = typename decltype(tag)::type;
    launch(ctx, {.grid = blocks_for(dy.shape[1], kLanes), .block = dim3(kLanes, kTeams)},
           bias_gradient_kernel<T>, dy.shape[0], dy.shape[1], grad == Grad::accumulate, dy.as<T>(),
           db.as<Compute<T>>());
  });
}

// ---- products of operands of one dtype ----------------------------------------------------------

// Results are of the dtype of the operands or, with bf16 operands, f32.
void product(Context& ctx, Math math, Transpose a_transposed, Transpose b_transposed, float beta,
             ConstView a, ConstView b, View c) {
  if (libraries::gemm(ctx, math, a_transposed, b_transposed, beta, a, b, ConstView(), c)) return;
  plain_product(ctx, a_transposed, b_transposed, beta, a, b, c);
}

void check_linear_dtypes(const ConstView& x, DType w, bool w_fits, const ConstView& y) {
  NAT_CHECK(w_fits && parameter_dtype(x.dtype) == parameter_dtype(y.dtype), ErrorKind::usage,
            "linear: x is ", name(x.dtype), ", w ", name(w), ", y ", name(y.dtype),
            "; w must be f32 (f64 when x and y are f64)");
}

// y = x w^T + b for operands and a result as `product` takes them.
void forward_product(Context& ctx, ConstView x, ConstView w, ConstView b, View y) {
  const bool fused = !b.empty() && y.dtype == DType::f32;
  if (fused && libraries::gemm(ctx, ctx.math, kNo, kYes, 0, x, w, b, y)) return;
  product(ctx, ctx.math, kNo, kYes, 0, x, w, y);
  if (!b.empty()) add_bias(ctx, b, y);
}

}  // namespace

// Scores and features are float32 in every mode: this product is never rounded to tf32.
void gemm(Context& ctx, Transpose a_transposed, Transpose b_transposed, float beta, ConstView a,
          ConstView b, View c) {
  check_gemm(a_transposed, b_transposed, a, b, c);
  product(ctx, Math::f32, a_transposed, b_transposed, beta, a, b, c);
}

void linear_forward(Context& ctx, ConstView x, ConstView w, ConstView b, View y) {
  check_linear_shapes(x, w, y);
  check_linear_dtypes(x, w.dtype, fits_as_weights(w.dtype, x.dtype), y);
  Scratch::Frame frame(ctx.scratch);
  const ConstView operand = as_operand(ctx, frame, w, x.dtype);
  if (x.dtype == DType::f32 && y.dtype == DType::bf16) {
    const View exact = scratch_view(frame, DType::f32, y.shape);
    forward_product(ctx, x, operand, b, exact);
    return gpu::cast(ctx, exact, y);
  }
  forward_product(ctx, x, operand, b, y);
}

void linear_backward_data(Context& ctx, ConstView w, ConstView dy, View dx) {
  check_linear_shapes(dx, w, dy);
  check_linear_dtypes(dx, w.dtype, fits_as_weights(w.dtype, dx.dtype), dy);
  Scratch::Frame frame(ctx.scratch);
  product(ctx, ctx.math, kNo, kNo, 0, as_operand(ctx, frame, dy, dx.dtype),
          as_operand(ctx, frame, w, dx.dtype), dx);
}

void linear_backward_weights(Context& ctx, ConstView x, ConstView dy, Grad grad, View dw, View db) {
  check_linear_shapes(x, dw, dy);
  check_linear_dtypes(x, dw.dtype, dw.dtype == parameter_dtype(x.dtype), dy);
  if (!db.empty()) bias_gradient(ctx, dy, grad, db);
  Scratch::Frame frame(ctx.scratch);
  product(ctx, ctx.math, kYes, kNo, grad == Grad::accumulate ? 1.0f : 0.0f,
          as_operand(ctx, frame, dy, x.dtype), x, dw);
}

}  // namespace nat::gpu
