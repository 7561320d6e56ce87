// A network: layers in order, and their parameters. It has no activations; those belong to an
// Execution (engine/execution.h), which is planned for one batch size and mode.
#pragma once

#include "engine/layer.h"

namespace nat {

class Sequential {
 public:
  // `picture` is one input (1, h, w, c). `real` is f32, or f64 for gradient checks: the dtype of
  // parameters and of the output. Activations are bf16 when the context computes in bf16.
  Sequential(Context& ctx, Shape picture, std::vector<std::unique_ptr<Layer>> layers,
             DType real = DType::f32);

  const std::vector<std::unique_ptr<Layer>>& layers() const { return layers_; }
  std::size_t layer_index(const std::string& name) const;  // Error when there is none
  ParameterSet& parameters() { return parameters_; }
  const ParameterSet& parameters() const { return parameters_; }
  Shape picture() const { return picture_; }
  std::int64_t output_features() const { return output_features_; }

  // The input and every layer's output for a batch of n pictures: layers().size() + 1 entries.
  std::vector<TensorSpec> activations(const Context& ctx, std::int64_t n) const;

 private:
  Shape picture_;
  std::vector<std::unique_ptr<Layer>> layers_;
  DType real_;
  ParameterSet parameters_;
  std::int64_t output_features_ = 0;
};

}  // namespace nat
