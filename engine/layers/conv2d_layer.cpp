#include "engine/layers/conv2d_layer.h"

namespace nat {

TensorSpec Conv2dLayer::output(const Context&, const TensorSpec& x, DType dtype) const {
  return {conv2d_output(conv_, x.shape, channels_), dtype};
}

Needs Conv2dLayer::needs(const Context& ctx, const TensorSpec& x, const TensorSpec&) const {
  Needs needs;
  const Shape folded = conv2d_folded(ctx.device, conv_, x.shape);
  needs.x = folded == x.shape;
  if (!needs.x) needs.saved.emplace_back(folded, x.dtype);
  needs.saved_in_eval = needs.saved.size();  // forward reads them at once
  return needs;
}

void Conv2dLayer::declare(const TensorSpec& x, const TensorSpec&, ParameterSet& parameters) {
  const std::int64_t in = x.shape[3];
  const std::int64_t taps = std::int64_t{conv_.kernel} * conv_.kernel;
  weight_ = parameters.declare({.name = name() + ".weight",
                                .shape = Shape(channels_, conv_.kernel, conv_.kernel, in),
                                .file_shape = {channels_, in, conv_.kernel, conv_.kernel},
                                .row = {.pixels = taps, .channels = in},
                                .role = Role::weight,
                                .fan_in = taps * in});
}

void Conv2dLayer::forward(Context& ctx, const Pass&, const ParameterSet& parameters,
                          const LayerMemory& memory) const {
  ConstView x = memory.x;
  if (!memory.saved.empty()) {
    conv2d_fold(ctx, conv_, x, memory.saved.front());
    x = memory.saved.front();
  }
  conv2d_forward(ctx, conv_, x, parameters.operand(weight_), memory.y);
}

void Conv2dLayer::backward(Context& ctx, const Pass&, const ParameterSet& parameters,
                           const LayerMemory& memory) const {
  const ConstView x = memory.saved.empty() ? memory.x : ConstView(memory.saved.front());
  conv2d_backward_weights(ctx, conv_, x, memory.dy, Grad::overwrite, parameters.gradient(weight_));
  if (!memory.dx.empty()) {
    conv2d_backward_data(ctx, conv_, parameters.operand(weight_), memory.dy, memory.dx);
  }
}

}  // namespace nat
