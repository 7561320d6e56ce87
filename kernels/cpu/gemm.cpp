#include "kernels/gemm.h"

#include <algorithm>

#include "kernels/cpu/onednn/onednn.h"
#include "kernels/cpu/plain_operand.h"
#include "kernels/cpu/stored.h"
#include "kernels/dispatch.h"
#include "kernels/gemm_check.h"
#include "kernels/parallel.h"
#include "kernels/scratch_view.h"
#include "nat_config.h"

namespace nat::cpu {

namespace {

constexpr auto kNo = Transpose::no;
constexpr auto kYes = Transpose::yes;

// c (m,n) = op(a) (m,k) op(b) (k,n) + beta c; row-major, leading dimensions in elements.
template <class T>
void plain_gemm(Transpose a_transposed, Transpose b_transposed, std::int64_t m, std::int64_t n,
                std::int64_t k, const T* a, std::int64_t lda, const T* b, std::int64_t ldb, T beta,
                T* c, std::int64_t ldc) {
  parallel_for(m, m * n * k, [&](std::int64_t i) {
    T* row = c + i * ldc;
    for (std::int64_t j = 0; j < n; ++j) row[j] = beta == T{0} ? T{0} : beta * row[j];
    if (b_transposed == kYes) {
      for (std::int64_t j = 0; j < n; ++j) {
        T total = 0;
        const std::int64_t a_step = a_transposed == kYes ? lda : 1;
        const T* a_row = a_transposed == kYes ? a + i : a + i * lda;
#pragma omp simd reduction(+ : total)
        for (std::int64_t p = 0; p < k; ++p) total += a_row[p * a_step] * b[j * ldb + p];
        row[j] += total;
      }
    } else {
      for (std::int64_t p = 0; p < k; ++p) {
        const T value = a_transposed == kYes ? a[p * lda + i] : a[i * lda + p];
        const T* b_row = b + p * ldb;
#pragma omp simd
        for (std::int64_t j = 0; j < n; ++j) row[j] += value * b_row[j];
      }
    }
  });
}

template <class T>
void product(Transpose a_transposed, Transpose b_transposed, std::int64_t m, std::int64_t n,
             std::int64_t k, const T* a, std::int64_t lda, const T* b, std::int64_t ldb, T beta,
             T* c, std::int64_t ldc) {
  if (m == 0 || n == 0) return;
  if constexpr (kHasOneDnn && std::is_same_v<T, float>) {
    onednn::sgemm(a_transposed, b_transposed, m, n, k, a, lda, b, ldb, beta, c, ldc);
  } else {
    plain_gemm(a_transposed, b_transposed, m, n, k, a, lda, b, ldb, beta, c, ldc);
  }
}

void check_linear(const ConstView& x, const ConstView& w, const ConstView& y) {
  check_linear_shapes(x, w, y);
  NAT_CHECK(w.dtype == parameter_dtype(x.dtype) && w.dtype == parameter_dtype(y.dtype),
            ErrorKind::usage, "linear: x is ", name(x.dtype), ", w ", name(w.dtype), ", y ",
            name(y.dtype), "; w must be f32 (f64 when x and y are f64)");
}

template <class T>
void transpose(const T* from, std::int64_t rows, std::int64_t columns, T* to) {
  parallel_for(columns, rows * columns, [&](std::int64_t j) {
    for (std::int64_t i = 0; i < rows; ++i) to[j * rows + i] = from[i * columns + j];
  });
}

// oneDNN packs both operands of a product; for few rows of x, packing w costs more than the
// product. Written as y^T = w x^T the weights are the operand that is streamed (measured 4 times
// faster at 32 x 9216 x 4096), and only the small result is transposed.
constexpr std::int64_t kFewRows = 128;

template <class T>
void forward_product(Context& ctx, ConstView x, ConstView w, View y) {
  const std::int64_t n = x.shape[0], in = x.shape[1], out = y.shape[1];
  if (n > kFewRows) {
    product<T>(kNo, kYes, n, out, in, x.as<T>(), in, w.as<T>(), in, T{0}, y.as<T>(), out);
    return;
  }
  Scratch::Frame frame(ctx.scratch);
  T* transposed = frame.take<T>(static_cast<std::size_t>(n * out));
  product<T>(kNo, kYes, out, n, in, w.as<T>(), in, x.as<T>(), in, T{0}, transposed, n);
  transpose(transposed, out, n, y.as<T>());
}

void add_bias(ConstView b, View y) {
  dispatch_storage(y.dtype, "linear", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const std::int64_t out = y.shape[1];
    const auto* bias = b.as<Compute<T>>();
    parallel_for(y.shape[0], y.shape.elements(), [&](std::int64_t i) {
      T* row = y.as<T>() + i * out;
#pragma omp simd
      for (std::int64_t o = 0; o < out; ++o) row[o] = store<T>(load(row[o]) + bias[o]);
    });
  });
}

// db[o] = sum over rows, in row order for each column; columns are split into blocks for the
// threads.
void bias_gradient(ConstView dy, Grad grad, View db) {
  dispatch_storage(dy.dtype, "linear", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const std::int64_t n = dy.shape[0], out = dy.shape[1];
    const Chunks blocks(out, std::max<std::int64_t>(1, out / 64));
    parallel_for(blocks.count, dy.shape.elements(), [&](std::int64_t block) {
      auto* sums = db.as<Compute<T>>();
      const std::int64_t begin = blocks.begin(block), end = blocks.end(block);
      if (grad == Grad::overwrite) std::fill(sums + begin, sums + end, Compute<T>{0});
      for (std::int64_t i = 0; i < n; ++i) {
        const T* row = dy.as<T>() + i * out;
#pragma omp simd
        for (std::int64_t o = begin; o < end; ++o) sums[o] += load(row[o]);
      }
    });
  });
}

// A bf16 product takes both operands as bf16: the f32 gradient of a bf16 network's f32 output is
// rounded first.
ConstView as_bf16(Context& ctx, Scratch::Frame& frame, ConstView view) {
  if (view.dtype == DType::bf16) return view;
  const View rounded = scratch_view(frame, DType::bf16, view.shape);
  cpu::cast(ctx, view, rounded);
  return rounded;
}

}  // namespace

void gemm(Context&, Transpose a_transposed, Transpose b_transposed, float beta, ConstView a,
          ConstView b, View c) {
  check_gemm(a_transposed, b_transposed, a, b, c);
  const std::int64_t m = c.shape[0], n = c.shape[1];
  const std::int64_t k = a_transposed == kYes ? a.shape[0] : a.shape[1];
  dispatch_real(c.dtype, "gemm", [&](auto tag) {
    using T = typename decltype(tag)::type;
    product<T>(a_transposed, b_transposed, m, n, k, a.as<T>(), a.shape[1], b.as<T>(), b.shape[1],
               static_cast<T>(beta), c.as<T>(), n);
  });
}

void linear_forward(Context& ctx, ConstView x, ConstView w, ConstView b, View y) {
  check_linear(x, w, y);
  bool done = false;
  if constexpr (kHasOneDnn) {
    if (x.dtype == DType::bf16) done = onednn::linear_forward(ctx, x, w, y);
  }
  if (!done) {
    Scratch::Frame frame(ctx.scratch);
    const ConstView plain_x = plain_input(ctx, frame, x);
    const ConstView plain_w = plain_weights(ctx, frame, w, x.dtype);
    with_plain_output(ctx, frame, y, [&](View plain_y) {
      dispatch_real(plain_y.dtype, "linear", [&](auto tag) {
        forward_product<typename decltype(tag)::type>(ctx, plain_x, plain_w, plain_y);
      });
    });
  }
  if (!b.empty()) add_bias(b, y);
}

void linear_backward_data(Context& ctx, ConstView w, ConstView dy, View dx) {
  check_linear(dx, w, dy);
  Scratch::Frame frame(ctx.scratch);
  if constexpr (kHasOneDnn) {
    if (dx.dtype == DType::bf16 &&
        onednn::linear_backward_data(ctx, w, as_bf16(ctx, frame, dy), dx)) {
      return;
    }
  }
  const ConstView plain_dy = plain_input(ctx, frame, dy);
  const ConstView plain_w = plain_weights(ctx, frame, w, dx.dtype);
  with_plain_output(ctx, frame, dx, [&](View plain_dx) {
    dispatch_real(plain_dx.dtype, "linear", [&](auto tag) {
      using T = typename decltype(tag)::type;
      const std::int64_t n = dx.shape[0], in = dx.shape[1], out = dy.shape[1];
      product<T>(kNo, kNo, n, in, out, plain_dy.as<T>(), out, plain_w.as<T>(), in, T{0},
                 plain_dx.as<T>(), in);
    });
  });
}

void linear_backward_weights(Context& ctx, ConstView x, ConstView dy, Grad grad, View dw, View db) {
  check_linear(x, dw, dy);
  if (!db.empty()) bias_gradient(dy, grad, db);
  Scratch::Frame frame(ctx.scratch);
  if constexpr (kHasOneDnn) {
    if (x.dtype == DType::bf16 &&
        onednn::linear_backward_weights(ctx, x, as_bf16(ctx, frame, dy), grad, dw)) {
      return;
    }
  }
  const ConstView plain_x = plain_input(ctx, frame, x);
  const ConstView plain_dy = plain_input(ctx, frame, dy);
  dispatch_real(dw.dtype, "linear", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const std::int64_t n = x.shape[0], in = x.shape[1], out = dy.shape[1];
    product<T>(kYes, kNo, out, in, n, plain_dy.as<T>(), out, plain_x.as<T>(), in,
               grad == Grad::accumulate ? T{1} : T{0}, dw.as<T>(), in);
  });
}

}  // namespace nat::cpu
