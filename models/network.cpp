#include "models/network.h"

#include "engine/layers/batchnorm_layer.h"
#include "engine/layers/conv2d_layer.h"
#include "engine/layers/linear_layer.h"
#include "models/alexnet.h"
#include "models/convnet.h"

namespace nat {

const std::string& Network::tap_layer(const std::string& tap) const {
  std::string known;
  for (const Tap& candidate : taps) {
    if (candidate.name == tap) return candidate.layer;
    known += (known.empty() ? "" : ", ") + candidate.name;
  }
  throw Error(ErrorKind::usage,
              str("feature layer '", tap, "' does not exist; choose from ", known));
}

void append_hidden(const HiddenRow& row, std::uint32_t depth,
                   std::vector<std::unique_ptr<Layer>>& layers) {
  const std::string number = std::to_string(depth);
  layers.push_back(std::make_unique<LinearLayer>("classifier.fc" + number, row.features, Bias::no));
  layers.push_back(std::make_unique<BatchNormLayer>("classifier.bn" + number,
                                                    BatchNorm{.dropout = row.dropout}, depth));
}

Network build_network(Context& ctx, std::string architecture, Shape picture,
                      const NetworkTable& table, std::int64_t dimension, DType real) {
  std::vector<std::unique_ptr<Layer>> layers;
  std::vector<Tap> taps;
  std::uint32_t depth = 0;
  for (const ConvRow& row : table.convolutions) {
    const std::string number = std::to_string(++depth);
    const std::string norm_name = "features.bn" + number;
    layers.push_back(std::make_unique<Conv2dLayer>(
        "features.conv" + number, row.channels,
        Conv2d{.kernel = row.kernel, .stride = row.stride, .pad = row.pad}));
    layers.push_back(std::make_unique<BatchNormLayer>(
        norm_name, BatchNorm{.pool = row.pool, .pool_stride = row.pool_stride}, depth));
    taps.push_back({"conv" + number, norm_name});
  }
  taps.push_back({"conv", taps.back().layer});
  for (const HiddenRow& row : table.hidden) {
    append_hidden(row, ++depth, layers);
    taps.push_back({"fc" + std::to_string(depth), layers.back()->name()});
  }
  taps.push_back({"fc", taps.back().layer});
  const std::string output_name = "classifier.fc" + std::to_string(++depth);
  layers.push_back(std::make_unique<LinearLayer>(output_name, dimension, Bias::yes));
  taps.push_back({"embedding", output_name});

  Network network;
  network.architecture = std::move(architecture);
  network.net = std::make_unique<Sequential>(ctx, picture, std::move(layers), real);
  network.taps = std::move(taps);
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
