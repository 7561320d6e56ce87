// A network with every kind of layer, built by hand, small enough to train in milliseconds.
//
//   picture -> conv1 3x3 -> bn1 pool 2/2, ReLU -> conv2 3x3 -> bn2 ReLU
//           -> fc3 -> bn3 ReLU, dropout -> fc4 with bias
#pragma once

#include <memory>

#include "engine/layers/batchnorm_layer.h"
#include "engine/layers/conv2d_layer.h"
#include "engine/layers/linear_layer.h"
#include "engine/sequential.h"

namespace nat::test {

// The standard sizes take Winograd's convolutions on the CPU.
struct TinySizes {
  Shape picture{1, 12, 12, 2};
  std::int64_t conv1 = 16, conv2 = 32, hidden = 24, dimension = 16;
  Conv2d first{.kernel = 3, .stride = 1, .pad = 1};
  float dropout = 0;
  bool smooth = false;    // batch norms without pool and ReLU
  bool renormed = false;  // a batch norm bn2b right behind bn2, whose backward reads its output
  Affine affine = Affine::yes;  // of bn1 and bn2
};

inline Sequential tiny_network(Context& ctx, const TinySizes& sizes, DType real = DType::f32) {
  const Conv2d conv{.kernel = 3, .stride = 1, .pad = 1};
  const bool kinks = !sizes.smooth;
  const BatchNorm pooled{.pool = kinks ? 2 : 0, .pool_stride = kinks ? 2 : 0, .relu = kinks};
  std::vector<std::unique_ptr<Layer>> layers;
  layers.push_back(std::make_unique<Conv2dLayer>("conv1", sizes.conv1, sizes.first));
  layers.push_back(std::make_unique<BatchNormLayer>("bn1", pooled, 1, sizes.affine));
  layers.push_back(std::make_unique<Conv2dLayer>("conv2", sizes.conv2, conv));
  layers.push_back(
      std::make_unique<BatchNormLayer>("bn2", BatchNorm{.relu = kinks}, 2, sizes.affine));
  if (sizes.renormed) {
    layers.push_back(std::make_unique<BatchNormLayer>("bn2b", BatchNorm{}, 4));
  }
  layers.push_back(std::make_unique<LinearLayer>("fc3", sizes.hidden, Bias::no));
  layers.push_back(std::make_unique<BatchNormLayer>(
      "bn3", BatchNorm{.relu = kinks, .dropout = sizes.dropout}, 3));
  layers.push_back(std::make_unique<LinearLayer>("fc4", sizes.dimension, Bias::yes));
  return {ctx, sizes.picture, std::move(layers), real};
}

}  // namespace nat::test
