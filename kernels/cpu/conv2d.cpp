#include "kernels/conv2d.h"

#include "kernels/conv2d_check.h"
#include "kernels/cpu/conv2d_plain.h"
#include "kernels/cpu/onednn/onednn.h"
#include "kernels/cpu/plain_operand.h"
#include "kernels/cpu/winograd/winograd.h"
#include "kernels/scratch_view.h"
#include "kernels/space_to_depth.h"
#include "nat_config.h"

namespace nat::cpu {

namespace {

void check_dtypes(const ConstView& x, const ConstView& w, const ConstView& y) {
  NAT_CHECK(x.dtype == y.dtype && w.dtype == parameter_dtype(x.dtype), ErrorKind::usage,
            "conv2d: x is ", name(x.dtype), ", w ", name(w.dtype), ", y ", name(y.dtype),
            "; x and y must agree and w be f32 (f64 with f64)");
}

bool use_onednn(const ConstView& x) { return kHasOneDnn && x.dtype != DType::f64; }

// ---- products: by Winograd's algorithm, by oneDNN, or by plain loops ---------------------------

void forward_product(Context& ctx, const Conv2d& conv, ConstView x, ConstView w, View y) {
  if (winograd_tile(conv, x, y)) {
    Scratch::Frame frame(ctx.scratch);
    return winograd_forward(ctx, conv, x, plain_weights(ctx, frame, w, x.dtype), y);
  }
  if constexpr (kHasOneDnn) {
    if (use_onednn(x) && onednn::conv2d_forward(ctx, conv, x, w, y)) return;
  }
  plain::conv2d_forward(ctx, conv, x, w, y);
}

void data_product(Context& ctx, const Conv2d& conv, ConstView w, ConstView dy, View dx) {
  if (winograd_tile(conv, dy, dx)) {
    Scratch::Frame frame(ctx.scratch);
    return winograd_backward_data(ctx, conv, plain_weights(ctx, frame, w, dx.dtype), dy, dx);
  }
  if constexpr (kHasOneDnn) {
    if (use_onednn(dx) && onednn::conv2d_backward_data(ctx, conv, w, dy, dx)) return;
  }
  plain::conv2d_backward_data(ctx, conv, w, dy, dx);
}

void weights_product(Context& ctx, const Conv2d& conv, ConstView x, ConstView dy, Grad grad,
                     View dw) {
  if (winograd_tile(conv, x, dy)) return winograd_backward_weights(ctx, conv, x, dy, grad, dw);
  if constexpr (kHasOneDnn) {
    if (use_onednn(x) && onednn::conv2d_backward_weights(ctx, conv, x, dy, grad, dw)) return;
  }
  plain::conv2d_backward_weights(ctx, conv, x, dy, grad, dw);
}

std::string product_name(Context& ctx, const Conv2d& conv, ConstView x, ConstView w, View y) {
  if (const WinogradTile tile = winograd_tile(conv, x, y)) return winograd_name(tile);
  if constexpr (kHasOneDnn) {
    if (use_onednn(x)) {
      std::string found = onednn::conv2d_forward_implementation(ctx, conv, x, w, y);
      if (!found.empty()) return found;
    }
  }
  return "plain loops";
}

}  // namespace

void conv2d_forward(Context& ctx, const Conv2d& conv, ConstView x, ConstView w, View y) {
  check_conv2d_operands(conv, x.shape, w.shape, y.shape);
  check_dtypes(x, w, y);
  Scratch::Frame frame(ctx.scratch);
  const ConstView z = as_folded(ctx, frame, conv, x, w.shape);
  if (!is_folded(conv, z.shape, w.shape)) return forward_product(ctx, conv, x, w, y);
  const View v = scratch_view(frame, w.dtype, folded_weights(conv, w.shape));
  fold_weights(ctx, conv, w, v);
  forward_product(ctx, folded_conv(conv), z, v, y);
}

void conv2d_backward_data(Context& ctx, const Conv2d& conv, ConstView w, ConstView dy, View dx) {
  check_conv2d_shapes(conv, dx.shape, w.shape, dy.shape);
  check_dtypes(dx, w, dy);
  data_product(ctx, conv, w, dy, dx);
}

void conv2d_backward_weights(Context& ctx, const Conv2d& conv, ConstView x, ConstView dy, Grad grad,
                             View dw) {
  check_conv2d_operands(conv, x.shape, dw.shape, dy.shape);
  check_dtypes(x, dw, dy);
  Scratch::Frame frame(ctx.scratch);
  const ConstView z = as_folded(ctx, frame, conv, x, dw.shape);
  if (!is_folded(conv, z.shape, dw.shape)) return weights_product(ctx, conv, x, dy, grad, dw);
  const View dv = scratch_view(frame, dw.dtype, folded_weights(conv, dw.shape));
  weights_product(ctx, folded_conv(conv), z, dy, Grad::overwrite, dv);
  unfold_weight_gradient(ctx, conv, dv, grad, dw);
}

std::string conv2d_forward_implementation(Context& ctx, const Conv2d& conv, ConstView x,
                                          ConstView w, View y) {
  const Shape shape = conv2d_folded(Device::cpu, conv, x.shape);
  const bool is_computed_folded = shape != x.shape || is_folded(conv, x.shape, w.shape);
  if (!is_computed_folded) return product_name(ctx, conv, x, w, y);
  const ConstView z(x.data, x.dtype, shape), v(w.data, w.dtype, folded_weights(conv, w.shape));
  return product_name(ctx, folded_conv(conv), z, v, y);
}

}  // namespace nat::cpu
