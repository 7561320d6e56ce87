#include "kernels/cpu/onednn/onednn.h"
#include "kernels/cpu/onednn/primitives.h"

namespace nat::cpu::onednn {

namespace {
using dnnl::memory;
using Tag = memory::format_tag;

memory::desc activation(const ConstView& view) {
  return {{view.shape[0], view.shape[3], view.shape[1], view.shape[2]},
          data_type(view.dtype),
          Tag::nhwc};
}

// Our weights are (k, r, s, c); oneDNN counts dimensions as (k, c, r, s).
memory::dims weight_dims(const Conv2d& conv, std::int64_t in, std::int64_t out) {
  return {out, in, conv.kernel, conv.kernel};
}
memory::desc plain_weights(const Conv2d& conv, std::int64_t in, std::int64_t out) {
  return {weight_dims(conv, in, out), memory::data_type::f32, Tag::ohwi};
}

Key key(Operation operation, const Conv2d& conv, const ConstView& x, const ConstView& y) {
  return {static_cast<std::int64_t>(operation),
          conv.kernel,
          conv.stride,
          conv.pad,
          static_cast<std::int64_t>(x.dtype),
          static_cast<std::int64_t>(y.dtype),
          x.shape[0],
          x.shape[1],
          x.shape[2],
          x.shape[3],
          y.shape[1],
          y.shape[2],
          y.shape[3]};
}

// A convolution described for oneDNN.
struct Description {
  const CpuState& state;
  memory::desc x, w, dw, y;
  memory::dims stride, pad;

  Description(const CpuState& state_, const Conv2d& conv, const ConstView& x_view,
              const ConstView& y_view)
      : state(state_), x(activation(x_view)), y(activation(y_view)) {
    const memory::dims dims = weight_dims(conv, x_view.shape[3], y_view.shape[3]);
    w = {dims, data_type(x_view.dtype), Tag::any};
    dw = {dims, memory::data_type::f32, Tag::any};
    stride = {conv.stride, conv.stride};
    pad = {conv.pad, conv.pad};
  }
  static constexpr auto kAlgorithm = dnnl::algorithm::convolution_direct;
  dnnl::convolution_forward::primitive_desc forward() const {
    return describe<dnnl::convolution_forward>(state.engine, user_scratchpad(),
                                               dnnl::prop_kind::forward_training, kAlgorithm, x, w,
                                               y, stride, pad, pad);
  }
  dnnl::convolution_backward_data::primitive_desc backward_data() const {
    return describe_backward<dnnl::convolution_backward_data>(
        state.engine, user_scratchpad(), forward(), kAlgorithm, x, w, y, stride, pad, pad);
  }
  dnnl::convolution_backward_weights::primitive_desc backward_weights() const {
    return describe_backward<dnnl::convolution_backward_weights>(
        state.engine, user_scratchpad(), forward(), kAlgorithm, x, dw, y, stride, pad, pad);
  }
};

Planned* find_forward(Context& ctx, const Conv2d& conv, const ConstView& x, const ConstView& y) {
  CpuState& state = *ctx.cpu;
  return find_or_build(state, key(Operation::conv_forward, conv, x, y), [&] {
    const auto desc = Description(state, conv, x, y).forward();
    auto planned = plan<dnnl::convolution_forward>(state, desc,
                                                   {{DNNL_ARG_SRC, desc.src_desc()},
                                                    {DNNL_ARG_WEIGHTS, desc.weights_desc()},
                                                    {DNNL_ARG_DST, desc.dst_desc()}});
    attach_reorder(state, *planned, plain_weights(conv, x.shape[3], y.shape[3]),
                   desc.weights_desc());
    return planned;
  });
}

Planned* find_backward_data(Context& ctx, const Conv2d& conv, const ConstView& dx,
                            const ConstView& dy) {
  CpuState& state = *ctx.cpu;
  return find_or_build(state, key(Operation::conv_backward_data, conv, dx, dy), [&] {
    const auto desc = Description(state, conv, dx, dy).backward_data();
    auto planned =
        plan<dnnl::convolution_backward_data>(state, desc,
                                              {{DNNL_ARG_DIFF_DST, desc.diff_dst_desc()},
                                               {DNNL_ARG_WEIGHTS, desc.weights_desc()},
                                               {DNNL_ARG_DIFF_SRC, desc.diff_src_desc()}});
    attach_reorder(state, *planned, plain_weights(conv, dx.shape[3], dy.shape[3]),
                   desc.weights_desc());
    return planned;
  });
}

Planned* find_backward_weights(Context& ctx, const Conv2d& conv, const ConstView& x,
                               const ConstView& dy) {
  CpuState& state = *ctx.cpu;
  return find_or_build(state, key(Operation::conv_backward_weights, conv, x, dy), [&] {
    const auto desc = Description(state, conv, x, dy).backward_weights();
    auto planned = plan<dnnl::convolution_backward_weights>(
        state, desc,
        {{DNNL_ARG_SRC, desc.src_desc()},
         {DNNL_ARG_DIFF_DST, desc.diff_dst_desc()},
         {DNNL_ARG_DIFF_WEIGHTS, desc.diff_weights_desc()}});
    attach_reorder(state, *planned, desc.diff_weights_desc(),
                   plain_weights(conv, x.shape[3], dy.shape[3]));
    return planned;
  });
}
}  // namespace

bool conv2d_forward(Context& ctx, const Conv2d& conv, ConstView x, ConstView w, View y) {
  return run_product(ctx, find_forward(ctx, conv, x, y), DNNL_ARG_SRC, x, w, DNNL_ARG_DST, y);
}

bool conv2d_backward_data(Context& ctx, const Conv2d& conv, ConstView w, ConstView dy, View dx) {
  return run_product(ctx, find_backward_data(ctx, conv, dx, dy), DNNL_ARG_DIFF_DST, dy, w,
                     DNNL_ARG_DIFF_SRC, dx);
}

bool conv2d_backward_weights(Context& ctx, const Conv2d& conv, ConstView x, ConstView dy, Grad grad,
                             View dw) {
  return run_weight_gradient(ctx, find_backward_weights(ctx, conv, x, dy), x, dy, grad, dw);
}

std::string conv2d_forward_implementation(Context& ctx, const Conv2d& conv, ConstView x, ConstView,
                                          View y) {
  const Planned* planned = find_forward(ctx, conv, x, y);
  return planned == nullptr ? "" : planned->implementation;
}

}  // namespace nat::cpu::onednn
