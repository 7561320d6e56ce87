#include <optional>

#include "kernels/cpu/onednn/onednn.h"
#include "kernels/cpu/onednn/primitives.h"

namespace nat::cpu::onednn {

namespace {
using dnnl::memory;
using Tag = memory::format_tag;

constexpr std::int64_t kBlock = 16;

memory::desc activation(const ConstView& view, Tag tag) {
  return {{view.shape[0], view.shape[3], view.shape[1], view.shape[2]}, data_type(view.dtype), tag};
}

// The layout that both sides of a convolution have (16 channels are plain and blocked at once).
// oneDNN has only reference loops from one layout to the other; conv2d.cpp converts before it
// calls.
std::optional<Tag> common_layout(const ConstView& x, const ConstView& y) {
  if (x.block == kBlock && y.block == kBlock) return Tag::nChw16c;
  if (x.block == x.shape[3] && y.block == y.shape[3]) return Tag::nhwc;
  return std::nullopt;
}

// Our weights are (k, r, s, c); oneDNN counts dimensions as (k, c, r, s).
memory::dims weight_dims(const Conv2d& conv, std::int64_t in, std::int64_t out) {
  return {out, in, conv.kernel, conv.kernel};
}
memory::desc plain_weights(const Conv2d& conv, std::int64_t in, std::int64_t out) {
  return {weight_dims(conv, in, out), memory::data_type::f32, Tag::ohwi};
}

// Winograd F(4x4, 3x3) does 2.25 times fewer multiplications per output (minus tile overhang) and
// needs float32 in blocks of 16 on both sides.
bool winograd_fits(const Conv2d& conv, const ConstView& x, const ConstView& y) {
  return conv.kernel == 3 && conv.stride == 1 && conv.pad <= 1 && x.dtype == DType::f32 &&
         x.block == kBlock && y.block == kBlock && x.shape[3] % kBlock == 0 &&
         y.shape[3] % kBlock == 0;
}

Key key(Operation operation, const Conv2d& conv, const ConstView& x, const ConstView& y) {
  return {static_cast<std::int64_t>(operation),
          conv.kernel,
          conv.stride,
          conv.pad,
          static_cast<std::int64_t>(x.dtype),
          static_cast<std::int64_t>(y.dtype),
          x.block,
          y.block,
          x.shape[0],
          x.shape[1],
          x.shape[2],
          x.shape[3],
          y.shape[1],
          y.shape[2],
          y.shape[3]};
}

// A convolution described for oneDNN, with one of its algorithms.
struct Description {
  const CpuState& state;
  dnnl::algorithm algorithm;
  memory::desc x, w, dw, y;
  memory::dims stride, pad;

  Description(const CpuState& state_, const Conv2d& conv, const ConstView& x_view,
              const ConstView& y_view, dnnl::algorithm algorithm_)
      : state(state_),
        algorithm(algorithm_),
        x(activation(x_view, *common_layout(x_view, y_view))),
        y(activation(y_view, *common_layout(x_view, y_view))) {
    const memory::dims dims = weight_dims(conv, x_view.shape[3], y_view.shape[3]);
    w = {dims, data_type(x_view.dtype), Tag::any};
    dw = {dims, memory::data_type::f32, Tag::any};
    stride = {conv.stride, conv.stride};
    pad = {conv.pad, conv.pad};
  }
  dnnl::convolution_forward::primitive_desc forward() const {
    return describe<dnnl::convolution_forward>(state.engine, user_scratchpad(),
                                               dnnl::prop_kind::forward_training, algorithm, x, w,
                                               y, stride, pad, pad);
  }
  dnnl::convolution_backward_data::primitive_desc backward_data() const {
    return describe_backward<dnnl::convolution_backward_data>(
        state.engine, user_scratchpad(), forward(), algorithm, x, w, y, stride, pad, pad);
  }
  dnnl::convolution_backward_weights::primitive_desc backward_weights() const {
    return describe_backward<dnnl::convolution_backward_weights>(
        state.engine, user_scratchpad(), forward(), algorithm, x, dw, y, stride, pad, pad);
  }
};

// Tries Winograd where it fits, then the direct algorithm.
template <class Build>
std::unique_ptr<Planned> best_algorithm(const CpuState& state, const Conv2d& conv,
                                        const ConstView& x, const ConstView& y, Build&& build) {
  if (winograd_fits(conv, x, y)) {
    try {
      return build(Description(state, conv, x, y, dnnl::algorithm::convolution_winograd));
    } catch (const dnnl::error&) {
      // This processor has no Winograd kernel for the shape: the direct algorithm follows.
    }
  }
  return build(Description(state, conv, x, y, dnnl::algorithm::convolution_direct));
}

Planned* find_forward(Context& ctx, const Conv2d& conv, const ConstView& x, const ConstView& y) {
  CpuState& state = *ctx.cpu;
  return find_or_build(state, key(Operation::conv_forward, conv, x, y), [&] {
    return best_algorithm(state, conv, x, y, [&](const Description& description) {
      const auto desc = description.forward();
      auto planned = plan<dnnl::convolution_forward>(state, desc,
                                                     {{DNNL_ARG_SRC, desc.src_desc()},
                                                      {DNNL_ARG_WEIGHTS, desc.weights_desc()},
                                                      {DNNL_ARG_DST, desc.dst_desc()}});
      attach_reorder(state, *planned, plain_weights(conv, x.shape[3], y.shape[3]),
                     desc.weights_desc());
      return planned;
    });
  });
}

Planned* find_backward_data(Context& ctx, const Conv2d& conv, const ConstView& dx,
                            const ConstView& dy) {
  CpuState& state = *ctx.cpu;
  return find_or_build(state, key(Operation::conv_backward_data, conv, dx, dy), [&] {
    return best_algorithm(state, conv, dx, dy, [&](const Description& description) {
      const auto desc = description.backward_data();
      auto planned =
          plan<dnnl::convolution_backward_data>(state, desc,
                                                {{DNNL_ARG_DIFF_DST, desc.diff_dst_desc()},
                                                 {DNNL_ARG_WEIGHTS, desc.weights_desc()},
                                                 {DNNL_ARG_DIFF_SRC, desc.diff_src_desc()}});
      attach_reorder(state, *planned, plain_weights(conv, dx.shape[3], dy.shape[3]),
                     desc.weights_desc());
      return planned;
    });
  });
}

Planned* find_backward_weights(Context& ctx, const Conv2d& conv, const ConstView& x,
                               const ConstView& dy) {
  CpuState& state = *ctx.cpu;
  return find_or_build(state, key(Operation::conv_backward_weights, conv, x, dy), [&] {
    return best_algorithm(state, conv, x, dy, [&](const Description& description) {
      const auto desc = description.backward_weights();
      auto planned = plan<dnnl::convolution_backward_weights>(
          state, desc,
          {{DNNL_ARG_SRC, desc.src_desc()},
           {DNNL_ARG_DIFF_DST, desc.diff_dst_desc()},
           {DNNL_ARG_DIFF_WEIGHTS, desc.diff_weights_desc()}});
      attach_reorder(state, *planned, desc.diff_weights_desc(),
                     plain_weights(conv, x.shape[3], dy.shape[3]));
      return planned;
    });
  });
}
}  // namespace

bool conv2d_forward(Context& ctx, const Conv2d& conv, ConstView x, ConstView w, View y) {
  return common_layout(x, y) &&
         run_product(ctx, find_forward(ctx, conv, x, y), DNNL_ARG_SRC, x, w, DNNL_ARG_DST, y);
}

bool conv2d_backward_data(Context& ctx, const Conv2d& conv, ConstView w, ConstView dy, View dx) {
  return common_layout(dx, dy) && run_product(ctx, find_backward_data(ctx, conv, dx, dy),
                                              DNNL_ARG_DIFF_DST, dy, w, DNNL_ARG_DIFF_SRC, dx);
}

bool conv2d_backward_weights(Context& ctx, const Conv2d& conv, ConstView x, ConstView dy, Grad grad,
                             View dw) {
  return common_layout(x, dy) &&
         run_weight_gradient(ctx, find_backward_weights(ctx, conv, x, dy), x, dy, grad, dw);
}

const char* conv2d_forward_implementation(Context& ctx, const Conv2d& conv, ConstView x, ConstView,
                                          View y) {
  if (!common_layout(x, y)) return nullptr;
  const Planned* planned = find_forward(ctx, conv, x, y);
  return planned == nullptr ? nullptr : planned->implementation.c_str();
}

}  // namespace nat::cpu::onednn
