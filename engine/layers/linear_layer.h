// A fully connected layer (kernels/gemm.h); pictures are flattened. Parameters: <name>.weight and,
// unless a batch norm follows, <name>.bias.
#pragma once

#include "engine/layer.h"
#include "kernels/gemm.h"

namespace nat {

enum class Bias { no, yes };

class LinearLayer : public Layer {
 public:
  LinearLayer(std::string name, std::int64_t features, Bias bias)
      : Layer(std::move(name)), features_(features), bias_(bias) {}

  TensorSpec output(const Context&, const TensorSpec& x, DType dtype) const override;
  Needs needs(const Context&, const TensorSpec& x, const TensorSpec& y) const override;
  void declare(const TensorSpec& x, const TensorSpec& y, ParameterSet& parameters) override;
  void forward(Context&, const Pass&, const ParameterSet&, const LayerMemory&) const override;
  void backward(Context&, const Pass&, const ParameterSet&, const LayerMemory&) const override;

 private:
  std::int64_t features_;
  Bias bias_;
  std::size_t weight_ = 0, bias_index_ = 0;
};

}  // namespace nat
