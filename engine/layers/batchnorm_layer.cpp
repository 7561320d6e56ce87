#include "engine/layers/batchnorm_layer.h"

namespace nat {

namespace {
constexpr std::size_t kChannelVectors = 2;  // mean and inv_std come first

BatchNormSaved saved_views(const BatchNorm& norm, const LayerMemory& memory) {
  BatchNormSaved saved{
      .mean = memory.saved[0], .inv_std = memory.saved[1], .argmax = {}, .picked = {}};
  if (norm.pool > 0 && memory.saved.size() > kChannelVectors) {
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
  needs.saved_in_eval = kChannelVectors;
  if (norm_.pool > 0) {
    needs.saved.emplace_back(y.shape, DType::u8);
    needs.saved.emplace_back(y.shape, x.dtype);
  }
  // The sums of the backward pass, which go nowhere but into dx.
  if (affine_ == Affine::no) needs.saved.insert(needs.saved.end(), {per_channel, per_channel});
  return needs;
}

void BatchNormLayer::declare(const TensorSpec& x, const TensorSpec&, ParameterSet& parameters) {
  const std::int64_t channels = x.shape.channels();
  const auto vector = [&](const char* suffix, Role role, float constant) {
    if (affine_ == Affine::no) {
      return parameters.declare({.name = name() + suffix, .size = channels, .initial = constant});
    }
    return parameters.declare({.name = name() + suffix,
                               .shape = Shape(channels),
                               .file_shape = {channels},
                               .row = {},
                               .role = role});
  };
  gamma_ = vector(".weight", Role::scale, 1);
  beta_ = vector(".bias", Role::shift, 0);
  running_mean_ =
      parameters.declare({.name = name() + ".running_mean", .size = channels, .initial = 0});
  running_var_ =
      parameters.declare({.name = name() + ".running_var", .size = channels, .initial = 1});
}

ConstView BatchNormLayer::constant_or_value(const ParameterSet& parameters,
                                            std::size_t index) const {
  return affine_ == Affine::no ? parameters.statistic(index) : parameters.value(index);
}

void BatchNormLayer::forward(Context& ctx, const Pass& pass, const ParameterSet& parameters,
                             const LayerMemory& memory) const {
  const DropoutKey key{.seed = pass.seed, .step = pass.step, .layer = index_};
  const BatchNormParameters values{.gamma = constant_or_value(parameters, gamma_),
                                   .beta = constant_or_value(parameters, beta_),
                                   .running_mean = parameters.statistic(running_mean_),
                                   .running_var = parameters.statistic(running_var_)};
  BatchNorm norm = norm_;
  if (!pass.update_statistics) norm.momentum = 0;
  batchnorm_forward(ctx, norm, pass.mode, key, memory.x, values, saved_views(norm, memory),
                    memory.y);
}

void BatchNormLayer::backward(Context& ctx, const Pass& pass, const ParameterSet& parameters,
                              const LayerMemory& memory) const {
  View dgamma, dbeta;
  if (affine_ == Affine::no) {
    dgamma = memory.saved.end()[-2];
    dbeta = memory.saved.end()[-1];
  } else {
    dgamma = parameters.gradient(gamma_);
    dbeta = parameters.gradient(beta_);
  }
  batchnorm_backward(ctx, norm_, pass.mode, memory.x, memory.y,
                     constant_or_value(parameters, gamma_), saved_views(norm_, memory), memory.dy,
                     Grad::overwrite, dgamma, dbeta, memory.dx);
}

}  // namespace nat
