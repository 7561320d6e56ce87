#include "engine/layers/linear_layer.h"

namespace nat {

TensorSpec LinearLayer::output(const Context&, const TensorSpec& x, DType dtype) const {
  return {Shape(x.shape[0], features_), dtype};
}

Needs LinearLayer::needs(const Context&, const TensorSpec&, const TensorSpec&) const {
  Needs needs;
  needs.x = true;
  return needs;
}

void LinearLayer::declare(const TensorSpec& x, const TensorSpec&, ParameterSet& parameters) {
  const std::int64_t in = x.shape.row();
  RowLayout row;
  if (x.shape.rank == 4) {
    row = {.pixels = x.shape[1] * x.shape[2], .channels = x.shape[3]};
  } else {
    row = {.pixels = 1, .channels = in};
  }
  weight_ = parameters.declare({.name = name() + ".weight",
                                .shape = Shape(features_, in),
                                .file_shape = {features_, in},
                                .row = row,
                                .role = Role::weight,
                                .fan_in = in});
  if (bias_ == Bias::yes) {
    bias_index_ = parameters.declare({.name = name() + ".bias",
                                      .shape = Shape(features_),
                                      .file_shape = {features_},
                                      .row = {},
                                      .role = Role::bias,
                                      .fan_in = in});
  }
}

void LinearLayer::forward(Context& ctx, const Pass&, const ParameterSet& parameters,
                          const LayerMemory& memory) const {
  const ConstView bias =
      bias_ == Bias::yes ? ConstView(parameters.value(bias_index_)) : ConstView();
  linear_forward(ctx, as_matrix(memory.x), parameters.operand(weight_), bias, memory.y);
}

void LinearLayer::backward(Context& ctx, const Pass&, const ParameterSet& parameters,
                           const LayerMemory& memory) const {
  const View bias_gradient = bias_ == Bias::yes ? parameters.gradient(bias_index_) : View();
  linear_backward_weights(ctx, as_matrix(memory.x), memory.dy, Grad::overwrite,
                          parameters.gradient(weight_), bias_gradient);
  if (!memory.dx.empty()) {
    linear_backward_data(ctx, parameters.operand(weight_), memory.dy, as_matrix(memory.dx));
  }
}

}  // namespace nat
