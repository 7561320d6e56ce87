// Frozen features of a whole data set, taken at several places of a network in one pass.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "models/network.h"
#include "nat/evaluate/features.h"
#include "tools/options.h"

namespace nat::tools {

struct FeatureSet {
  std::map<std::string, FeatureMatrix> at;  // by tap; columns in (channel, row, column) order
  std::vector<std::int32_t> ids, labels;
};

// Evaluation view (centre, no flip), running statistics. "embedding" rows are unit-normalised.
FeatureSet extract_features(Context& ctx, const Options& options, Network& network,
                            const data::Dataset& pictures, const std::vector<std::string>& taps);

// The pixels themselves, the baseline that needs no network: the evaluation view at network size.
FeatureSet raw_pixels(Context& ctx, const Options& options, const data::Dataset& pictures);

// Shows an untrained network enough augmented pictures that its running statistics describe them.
void calibrate(Context& ctx, const Options& options, Network& network,
               const data::Dataset& pictures);

}  // namespace nat::tools
