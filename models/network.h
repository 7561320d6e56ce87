// A network with names for the places where its features are judged.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/sequential.h"

namespace nat {

// Where features are taken: the output of a layer, under a short name. "conv" is the last
// convolution block (after pooling and ReLU), "fc" the last hidden layer, "embedding" the output;
// "conv1" ... "convN" and "fcN" name every block.
struct Tap {
  std::string name, layer;
};

// Error(usage) listing the known taps where there is no such.
const std::string& layer_of(const std::vector<Tap>& taps, const std::string& tap);

struct Network {
  std::string architecture;  // "alexnet", "convnet"
  std::unique_ptr<Sequential> net;
  std::vector<Tap> taps;

  const std::string& tap_layer(const std::string& tap) const;  // layer_of(taps, tap)
};

// One convolution block: convolution, batch norm, max-pool (pool > 0), ReLU.
struct ConvRow {
  std::int64_t channels;
  int kernel, stride, pad;
  int pool, pool_stride;
};

// One hidden fully connected block: linear, batch norm, ReLU, dropout.
struct HiddenRow {
  std::int64_t features;
  float dropout;
};

// All rows of a network but the last, which is linear and as wide as the targets.
struct NetworkTable {
  std::vector<ConvRow> convolutions;
  std::vector<HiddenRow> hidden;
};

// The layers of a block are named by its depth, from 1: features.conv1 and features.bn1, or
// classifier.fc6 and classifier.bn6. The output of the block is that of its batch norm.
struct BlockNames {
  std::string product, norm;
};
BlockNames convolution_names(std::uint32_t depth);
BlockNames hidden_names(std::uint32_t depth);

std::vector<Tap> taps_of(const NetworkTable& table);

// Appends the layers of a hidden block.
void append_hidden(const HiddenRow& row, std::uint32_t depth,
                   std::vector<std::unique_ptr<Layer>>& layers);

// Builds the layers of a table and a final linear layer of `dimension` outputs, classifier.fcN.
Network build_network(Context& ctx, std::string architecture, Shape picture,
                      const NetworkTable& table, std::int64_t dimension, DType real = DType::f32);

// The architectures by name; width scales the channels of the convnet.
struct ArchitectureOptions {
  std::string name = "convnet";
  std::int64_t dimension = 64;
  int width = 1;
};
NetworkTable architecture_table(const ArchitectureOptions& options);
Network build_architecture(Context& ctx, const ArchitectureOptions& options, Shape picture);

}  // namespace nat
