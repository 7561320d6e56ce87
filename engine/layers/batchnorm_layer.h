// Batch norm with its pool, ReLU and dropout (kernels/batchnorm.h).
// Parameters: <name>.weight (gamma), <name>.bias (beta); statistics <name>.running_mean,
// .running_var. With Affine::no the first two stay 1 and 0, as statistics that nobody changes.
#pragma once

#include "engine/layer.h"
#include "kernels/batchnorm.h"

namespace nat {

enum class Affine { yes, no };

class BatchNormLayer : public Layer {
 public:
  // `index` tells the dropout masks of different layers apart.
  BatchNormLayer(std::string name, BatchNorm norm, std::uint32_t index, Affine affine = Affine::yes)
      : Layer(std::move(name)), norm_(norm), index_(index), affine_(affine) {}

  TensorSpec output(const Context&, const TensorSpec& x, DType dtype) const override;
  Needs needs(const Context&, const TensorSpec& x, const TensorSpec& y) const override;
  void declare(const TensorSpec& x, const TensorSpec& y, ParameterSet& parameters) override;
  void forward(Context&, const Pass&, const ParameterSet&, const LayerMemory&) const override;
  void backward(Context&, const Pass&, const ParameterSet&, const LayerMemory&) const override;

 private:
  ConstView constant_or_value(const ParameterSet& parameters, std::size_t index) const;

  BatchNorm norm_;
  std::uint32_t index_;
  Affine affine_;
  std::size_t gamma_ = 0, beta_ = 0, running_mean_ = 0, running_var_ = 0;
};

}  // namespace nat
