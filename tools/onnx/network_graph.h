// A trained network as an ONNX graph: pixels in, features of one or several places out.
//
//   pictures   (batch, channels, size, size), the crop that the network is to see, in bytes or any
//              other unit: every picture is normalised by itself, as in kernels/preprocess.h
//   features   one output a tap, named like it: (batch, features), columns in (channel, row,
//              column) order; rows of "embedding" are unit-normalised
//
// These are the features that `nat embed` writes, with running statistics and without dropout; the
// normalisation and the front end are part of the graph. What a Sobel network sees is the mean of
// the channels, so that their number is left open there. Layers behind the last tap are left out.
#pragma once

#include "engine/checkpoint.h"
#include "kernels/preprocess.h"
#include "models/network.h"
#include "tools/onnx/graph.h"

namespace nat::tools {

struct ExportedNetwork {
  NetworkTable table;
  std::int64_t dimension = 0;  // of the embedding
  FrontEnd front = FrontEnd::sobel;
  std::int64_t size = 0;  // pixels of a side of what the network looks at
};

// Weights are those of a checkpoint of this network: Error(checkpoint) names the first that is not
// there or has another shape. Error(usage) for a tap that does not exist or comes twice.
OnnxGraph network_graph(const ExportedNetwork& network, const Checkpoint& weights,
                        const std::vector<std::string>& taps);

}  // namespace nat::tools
