// A convolution without bias (kernels/conv2d.h). Parameter: <name>.weight. Where the device folds
// x, that is done once for both passes, and backward needs the folded tensor instead of x.
#pragma once

#include "engine/layer.h"
#include "kernels/conv2d.h"

namespace nat {

class Conv2dLayer : public Layer {
 public:
  Conv2dLayer(std::string name, std::int64_t channels, Conv2d conv)
      : Layer(std::move(name)), channels_(channels), conv_(conv) {}

  TensorSpec output(const Context&, const TensorSpec& x, DType dtype) const override;
  Needs needs(const Context&, const TensorSpec& x, const TensorSpec& y) const override;
  void declare(const TensorSpec& x, const TensorSpec& y, ParameterSet& parameters) override;
  void forward(Context&, const Pass&, const ParameterSet&, const LayerMemory&) const override;
  void backward(Context&, const Pass&, const ParameterSet&, const LayerMemory&) const override;

 private:
  std::int64_t channels_;
  Conv2d conv_;
  std::size_t weight_ = 0;
};

}  // namespace nat
