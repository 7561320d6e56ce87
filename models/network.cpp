#include "models/network.h"

#include "engine/layers/batchnorm_layer.h"
#include "engine/layers/conv2d_layer.h"
#include "engine/layers/linear_layer.h"
#include "models/alexnet.h"
#include "models/convnet.h"

namespace nat {

const std::string& layer_of(const std::vector<Tap>& taps, const std::string& tap) {
  std::string known;
  for (const Tap& candidate : taps) {
    if (candidate.name == tap) return candidate.layer;
    known += (known.empty() ? "" : ", ") + candidate.name;
  }
  throw Error(ErrorKind::usage,
              str("feature layer '", tap, "' does not exist; choose from ", known));
}

const std::string& Network::tap_layer(const std::string& tap) const { return layer_of(taps, tap); }

BlockNames convolution_names(std::uint32_t depth) {
  const std::string number = std::to_string(depth);
  return {"features.conv" + number, "features.bn" + number};
}

BlockNames hidden_names(std::uint32_t depth) {
  const std::string number = std::to_string(depth);
  return {"classifier.fc" + number, "classifier.bn" + number};
}

std::vector<Tap> taps_of(const NetworkTable& table) {
  std::vector<Tap> taps;
  std::uint32_t depth = 0;
  for (std::size_t k = 0; k < table.convolutions.size(); ++k) {
    ++depth;
    taps.push_back({"conv" + std::to_string(depth), convolution_names(depth).norm});
  }
  taps.push_back({"conv", taps.back().layer});
  for (std::size_t k = 0; k < table.hidden.size(); ++k) {
    ++depth;
    taps.push_back({"fc" + std::to_string(depth), hidden_names(depth).norm});
  }
  taps.push_back({"fc", taps.back().layer});
  taps.push_back({"embedding", hidden_names(depth + 1).product});
  return taps;
}

void append_hidden(const HiddenRow& row, std::uint32_t depth,
                   std::vector<std::unique_ptr<Layer>>& layers) {
  const BlockNames names = hidden_names(depth);
  layers.push_back(std::make_unique<LinearLayer>(names.product, row.features, Bias::no));
  layers.push_back(
      std::make_unique<BatchNormLayer>(names.norm, BatchNorm{.dropout = row.dropout}, depth));
}

Network build_network(Context& ctx, std::string architecture, Shape picture,
                      const NetworkTable& table, std::int64_t dimension, DType real) {
  std::vector<std::unique_ptr<Layer>> layers;
  std::uint32_t depth = 0;
  for (const ConvRow& row : table.convolutions) {
    const BlockNames names = convolution_names(++depth);
    layers.push_back(std::make_unique<Conv2dLayer>(
        names.product, row.channels,
        Conv2d{.kernel = row.kernel, .stride = row.stride, .pad = row.pad}));
    layers.push_back(std::make_unique<BatchNormLayer>(
        names.norm, BatchNorm{.pool = row.pool, .pool_stride = row.pool_stride}, depth));
  }
  for (const HiddenRow& row : table.hidden) append_hidden(row, ++depth, layers);
  layers.push_back(
      std::make_unique<LinearLayer>(hidden_names(depth + 1).product, dimension, Bias::yes));

  Network network;
  network.architecture = std::move(architecture);
  network.net = std::make_unique<Sequential>(ctx, picture, std::move(layers), real);
  network.taps = taps_of(table);
  return network;
}

NetworkTable architecture_table(const ArchitectureOptions& options) {
  if (options.name == "alexnet") return alexnet_table();
  if (options.name == "convnet") return convnet_table(options.width);
  throw Error(ErrorKind::usage,
              str("--network '", options.name, "' does not exist; choose alexnet or convnet"));
}

Network build_architecture(Context& ctx, const ArchitectureOptions& options, Shape picture) {
  return build_network(ctx, options.name, picture, architecture_table(options), options.dimension);
}

}  // namespace nat
