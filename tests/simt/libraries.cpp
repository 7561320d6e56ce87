// cuDNN and cuBLASLt do not run on the CPU. As where they have no plan, every product falls to the
// plain kernels, which are executed like all others. Only of tf32, which these do not know, there
// is a model: products of operands that are rounded to it.
#include "kernels/cuda/libraries/libraries.h"

#include "kernels/cuda/conv2d_plain.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/scratch_view.h"

namespace nat::gpu {

void destroy_libraries(Libraries*) {}

namespace {

constexpr unsigned kThreads = 256;

// To 10 bits behind the point, to nearest. NaN and infinities do not come.
__device__ float tf32(float exact) {
  constexpr std::uint32_t kDropped = 0x1fff, kHalf = 0x1000;
  return __builtin_bit_cast(float, (__builtin_bit_cast(std::uint32_t, exact) + kHalf) & ~kDropped);
}

__global__ void round_kernel(std::int64_t n, const float* from, float* to) {
  const std::int64_t at = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at < n) to[at] = tf32(from[at]);
}

// c (m,n) = a b + beta c; neighbours in a column of a lie a_row apart, in a row a_column.
struct Product {
  std::int64_t m, n, k, a_row, a_column, b_row, b_column;
};

__global__ void product_kernel(Product size, float beta, const float* a, const float* b, float* c) {
  const std::int64_t at = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= size.m * size.n) return;
  const std::int64_t i = at / size.n, j = at % size.n;
  float sum = beta == 0 ? 0 : beta * c[at];
  for (std::int64_t p = 0; p < size.k; ++p) {
    sum +=
        tf32(a[i * size.a_row + p * size.a_column]) * tf32(b[p * size.b_row + j * size.b_column]);
  }
  c[at] = sum;
}

ConstView as_tf32(Context& ctx, Scratch::Frame& frame, ConstView exact) {
  const View rounded = scratch_view(frame, DType::f32, exact.shape);
  const std::int64_t n = exact.shape.elements();
  launch(ctx, {.grid = blocks_for(n, kThreads), .block = kThreads}, round_kernel, n,
         exact.as<float>(), rounded.as<float>());
  return rounded;
}

bool is_rounded(Math math, ConstView operand) {
  return math == Math::tf32 && operand.dtype == DType::f32;
}

}  // namespace

namespace libraries {

std::string unavailable_reason() { return ""; }

bool conv2d_forward(Context& ctx, const Conv2d& conv, ConstView x, ConstView w, View y) {
  if (!is_rounded(ctx.math, x)) return false;
  Scratch::Frame frame(ctx.scratch);
  plain::conv2d_forward(ctx, conv, as_tf32(ctx, frame, x), as_tf32(ctx, frame, w), y);
  return true;
}

bool conv2d_backward_data(Context& ctx, const Conv2d& conv, ConstView w, ConstView dy, View dx) {
  if (!is_rounded(ctx.math, dy)) return false;
  Scratch::Frame frame(ctx.scratch);
  plain::conv2d_backward_data(ctx, conv, as_tf32(ctx, frame, w), as_tf32(ctx, frame, dy), dx);
  return true;
}

bool conv2d_backward_weights(Context& ctx, const Conv2d& conv, ConstView x, ConstView dy, View dw) {
  if (!is_rounded(ctx.math, x)) return false;
  Scratch::Frame frame(ctx.scratch);
  plain::conv2d_backward_weights(ctx, conv, as_tf32(ctx, frame, x), as_tf32(ctx, frame, dy), dw);
  return true;
}

bool gemm(Context& ctx, Math math, Transpose a_transposed, Transpose b_transposed, float beta,
          ConstView a, ConstView b, ConstView bias, View c) {
  if (!is_rounded(math, a) || !bias.empty()) return false;
  const bool ta = a_transposed == Transpose::yes, tb = b_transposed == Transpose::yes;
  const Product size{.m = c.shape[0],
                     .n = c.shape[1],
                     .k = a.shape[ta ? 0 : 1],
                     .a_row = ta ? 1 : a.shape[1],
                     .a_column = ta ? a.shape[1] : 1,
                     .b_row = tb ? 1 : b.shape[1],
                     .b_column = tb ? b.shape[1] : 1};
  launch(ctx, {.grid = blocks_for(size.m * size.n, kThreads), .block = kThreads}, product_kernel,
         size, beta, a.as<float>(), b.as<float>(), c.as<float>());
  return true;
}

}  // namespace libraries

}  // namespace nat::gpu
