#include "engine/sequential.h"

namespace nat {

Sequential::Sequential(Context& ctx, Shape picture, std::vector<std::unique_ptr<Layer>> layers,
                       DType real)
    : picture_(picture), layers_(std::move(layers)), real_(real) {
  const std::vector<TensorSpec> specs = activations(ctx, 1);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    layers_[i]->declare(specs[i], specs[i + 1], parameters_);
  }
  parameters_.allocate(ctx, real);
  output_features_ = specs.back().shape.row();
}

std::size_t Sequential::layer_index(const std::string& name) const {
  std::string known;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    if (layers_[i]->name() == name) return i;
    known += (i == 0 ? "" : ", ") + layers_[i]->name();
  }
  throw Error(ErrorKind::usage, str("layer '", name, "' does not exist; the network has ", known));
}

std::vector<TensorSpec> Sequential::activations(const Context& ctx, std::int64_t n) const {
  const DType stored = ctx.math == Math::bf16 && real_ == DType::f32 ? DType::bf16 : real_;
  std::vector<TensorSpec> specs;
  specs.emplace_back(Shape(n, picture_[1], picture_[2], picture_[3]), stored);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const bool is_last = i + 1 == layers_.size();
    specs.push_back(layers_[i]->output(ctx, specs.back(), is_last ? real_ : stored));
  }
  return specs;
}

}  // namespace nat
