#include "engine/layers/batchnorm_layer.h"

namespace nat {

namespace {
BatchNormSaved saved_views(const LayerMemory& memory) {
  BatchNormSaved saved{
      .mean = memory.saved[0], .inv_std = memory.saved[1], .argmax = {}, .picked = {}};
  if (memory.saved.size() == 4) {
    saved.argmax = memory.saved[2];
    saved.picked = memory.saved[3];
  }
  return saved;
}
}  // namespace

TensorSpec BatchNormLayer::output(const Context&, const TensorSpec& x, DType) const {
  return {batchnorm_output(norm_, x.shape), x.dtype};
}

Needs BatchNormLayer::needs(const Context&, const TensorSpec& x, const TensorSpec& y) const {
  Needs needs;
  needs.x = true;
  needs.y = norm_.relu && norm_.pool == 0;
  needs.dx_may_replace_x = true;
  const TensorSpec per_channel(Shape(x.shape.channels()), parameter_dtype(x.dtype));
  needs.saved = {per_channel, per_channel};
  if (norm_.pool > 0) {
    needs.saved.emplace_back(y.shape, DType::u8);
    needs.saved.emplace_back(y.shape, x.dtype);
  }
  return needs;
}

void BatchNormLayer::declare(const TensorSpec& x, const TensorSpec&, ParameterSet& parameters) {
  const std::int64_t channels = x.shape.channels();
  const auto vector = [&](const char* suffix, Role role) {
    return parameters.declare({.name = name() + suffix,
                               .shape = Shape(channels),
                               .file_shape = {channels},
                               .row = {},
                               .role = role});
  };
  gamma_ = vector(".weight", Role::scale);
  beta_ = vector(".bias", Role::shift);
  running_mean_ =
      parameters.declare({.name = name() + ".running_mean", .size = channels, .initial = 0});
  running_var_ =
      parameters.declare({.name = name() + ".running_var", .size = channels, .initial = 1});
}

void BatchNormLayer::forward(Context& ctx, const Pass& pass, const ParameterSet& parameters,
                             const LayerMemory& memory) const {
  const DropoutKey key{.seed = pass.seed, .step = pass.step, .layer = index_};
  const BatchNormParameters values{.gamma = parameters.value(gamma_),
                                   .beta = parameters.value(beta_),
                                   .running_mean = parameters.statistic(running_mean_),
                                   .running_var = parameters.statistic(running_var_)};
  BatchNorm norm = norm_;
  if (!pass.update_statistics) norm.momentum = 0;
  batchnorm_forward(ctx, norm, pass.mode, key, memory.x, values, saved_views(memory), memory.y);
}

void BatchNormLayer::backward(Context& ctx, const Pass& pass, const ParameterSet& parameters,
                              const LayerMemory& memory) const {
  batchnorm_backward(ctx, norm_, pass.mode, memory.x, memory.y, parameters.value(gamma_),
                     saved_views(memory), memory.dy, Grad::overwrite, parameters.gradient(gamma_),
                     parameters.gradient(beta_), memory.dx);
}

}  // namespace nat
