// Judging frozen features by classifiers that are trained as the paper does it: by SGD, on other
// crops and mirror images of the labelled pictures in every epoch. All places of a network are
// judged in one pass, which the network costs once.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tools/features.h"

namespace nat::tools {

enum class ProbeHead { mlp, linear };  // models/probe.h

struct ProbeOptions {
  ProbeHead head = ProbeHead::mlp;
  std::int64_t epochs = 20;
  double lr = 0;  // 0: default_rate of each place
  // cosine, or official: constant for 20 epochs, then lr / (1 + 0.3 (epochs - 20))
  std::string schedule = "cosine";
  int views = 1;  // of a test picture, whose outputs are added up: 1, 2 or 10 (data/augment.h)
};

// For features (1, ...). A step moves what a linear classifier says of a picture in proportion to
// the rate and to the number of its inputs, which batch norm makes one size; in an MLP the batch
// norm behind the first layer takes that out.
double default_rate(ProbeHead head, Shape features);

// Error(usage) when a value is out of range or the recipe's crops do not have so many views,
// Error(data) when training and test pictures are stored in different shapes.
void validate(const ProbeOptions& probe, const Options& options, const data::Dataset& train,
              const data::Dataset& test);

// Trains a classifier for each of the source's taps on the labels of `train`; returns the share of
// pictures of `test` that it gets right. `title` opens the lines of progress on stderr. The crops,
// initial values and seed are those of the run.
std::map<std::string, double> probe_accuracy(Context& ctx, const Options& options,
                                             const ProbeOptions& probe, FeatureSource& source,
                                             const std::vector<std::string>& taps,
                                             const data::Dataset& train, const data::Dataset& test,
                                             const std::string& title);

// Pictures a step: 256, as far as there are so many.
std::int64_t probe_batch(const data::Dataset& train);

}  // namespace nat::tools
