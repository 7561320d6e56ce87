#include "kernels/conv2d.h"

#include "kernels/conv2d_check.h"
#include "kernels/cuda/conv2d_plain.h"
#include "kernels/cuda/flat.cuh"
#include "kernels/cuda/libraries/libraries.h"
#include "kernels/cuda/operand.h"
#include "kernels/cuda/pack.cuh"
#include "kernels/dispatch.h"
#include "kernels/space_to_depth.h"

namespace nat::gpu {

namespace {

void check_dtypes(const ConstView& x, DType w, bool w_fits, const ConstView& y) {
  NAT_CHECK(x.dtype == y.dtype && w_fits, ErrorKind::usage, "conv2d: x is ", name(x.dtype), ", w ",
            name(w), ", y ", name(y.dtype),
            "; x and y must agree and w be f32 (f64 with f64, f32 or bf16 with bf16)");
}

// ---- products of operands of one dtype: by cuDNN, or by the plain kernels -----------------------

void forward_product(Context& ctx, const Conv2d& conv, ConstView x, ConstView w, View y) {
  if (libraries::conv2d_forward(ctx, conv, x, w, y)) return;
  plain::conv2d_forward(ctx, conv, x, w, y);
}

void data_product(Context& ctx, const Conv2d& conv, ConstView w, ConstView dy, View dx) {
  if (libraries::conv2d_backward_data(ctx, conv, w, dy, dx)) return;
  plain::conv2d_backward_data(ctx, conv, w, dy, dx);
}

void weights_product(Context& ctx, const Conv2d& conv, ConstView x, ConstView dy, View dw) {
  if (libraries::conv2d_backward_weights(ctx, conv, x, dy, dw)) return;
  plain::conv2d_backward_weights(ctx, conv, x, dy, dw);
}

// ---- gradients of weights, into float32 ---------------------------------------------------------

template <int N, class From>
__global__ void store_gradient_kernel(std::int64_t n, bool accumulate, const From* from,
                                      Compute<From>* to) {
  for_each_pack<N>(n, [&](std::int64_t at, auto pack) {
    constexpr int kPack = pack.value;
    auto sum = widen(load_pack<kPack>(from + at));
    if (accumulate) {
      const auto before = load_pack<kPack>(to + at);
      for (int i = 0; i < kPack; ++i) sum[i] = before.value[i] + sum[i];
    }
    store_pack(narrow<Compute<From>>(sum), to + at);
  });
}

// to = from or to += from; `from` is f32 or bf16 with an f32 gradient, or both are f64.
void store_gradient(Context& ctx, ConstView from, Grad grad, View to) {
  const std::int64_t n = to.shape.elements();
  const bool accumulate = grad == Grad::accumulate;
  dispatch_storage(from.dtype, "conv2d", [&](auto tag) {
    using From = typename decltype(tag)::type;
    using To = Compute<From>;
    constexpr int kPack = kFullPack<To>;
    const bool fits =
        fits_pack<To>(kPack, kPack, {to.data}) && fits_pack<From>(kPack, kPack, {from.data});
    const auto kernel = fits ? store_gradient_kernel<kPack, From> : store_gradient_kernel<1, From>;
    launch(ctx, flat_shape(ctx, n, fits ? kPack : 1), kernel, n, accumulate, from.as<From>(),
           to.as<To>());
  });
}

}  // namespace

void conv2d_forward(Context& ctx, const Conv2d& conv, ConstView x, ConstView w, View y) {
  check_conv2d_operands(conv, x.shape, w.shape, y.shape);
  check_dtypes(x, w.dtype, fits_as_weights(w.dtype, x.dtype), y);
  Scratch::Frame frame(ctx.scratch);
  const ConstView z = as_folded(ctx, frame, conv, x, w.shape);
  if (is_folded(conv, z.shape, w.shape)) {
    const View v = scratch_view(frame, x.dtype, folded_weights(conv, w.shape));
    fold_weights(ctx, conv, w, v);
    return forward_product(ctx, folded_conv(conv), z, v, y);
  }
  forward_product(ctx, conv, x, as_operand(ctx, frame, w, x.dtype), y);
}

void conv2d_backward_data(Context& ctx, const Conv2d& conv, ConstView w, ConstView dy, View dx) {
  check_conv2d_shapes(conv, dx.shape, w.shape, dy.shape);
  check_dtypes(dx, w.dtype, fits_as_weights(w.dtype, dx.dtype), dy);
  Scratch::Frame frame(ctx.scratch);
  data_product(ctx, conv, as_operand(ctx, frame, w, dx.dtype), dy, dx);
}

void conv2d_backward_weights(Context& ctx, const Conv2d& conv, ConstView x, ConstView dy, Grad grad,
                             View dw) {
  check_conv2d_operands(conv, x.shape, dw.shape, dy.shape);
  check_dtypes(x, dw.dtype, dw.dtype == parameter_dtype(x.dtype), dy);
  Scratch::Frame frame(ctx.scratch);
  const ConstView z = as_folded(ctx, frame, conv, x, dw.shape);
  if (is_folded(conv, z.shape, dw.shape)) {
    const View dv = scratch_view(frame, x.dtype, folded_weights(conv, dw.shape));
    weights_product(ctx, folded_conv(conv), z, dy, dv);
    return unfold_weight_gradient(ctx, conv, dv, grad, dw);
  }
  if (x.dtype == dw.dtype && grad == Grad::overwrite) {
    return weights_product(ctx, conv, x, dy, dw);
  }
  const View product = scratch_view(frame, x.dtype, dw.shape);
  weights_product(ctx, conv, x, dy, product);
  store_gradient(ctx, product, grad, dw);
}

}  // namespace nat::gpu
