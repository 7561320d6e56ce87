// Judging a network by classifiers that are trained as the paper does it: by SGD, on other crops
// and mirror images of the labelled pictures in every epoch. They stand on frozen features, all
// places of a network in one pass, which the network costs once; or they are the whole network
// itself, which begins with the convolutions that are judged (fine-tuning).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "tools/features.h"

namespace nat::tools {

// mlp, linear: models/probe.h. network: the architecture of the run with one output a class.
enum class ProbeHead { mlp, linear, network };

struct ProbeOptions {
  ProbeHead head = ProbeHead::mlp;
  std::int64_t epochs = 0;  // 0: 20, or as many as 600 steps take where they are more
  double lr = 0;            // 0: default_rate of each place
  // cosine, or official: constant for 20 epochs, then lr / (1 + 0.3 (epochs - 20))
  std::string schedule = "cosine";
  // auto | softmax | square (nat/evaluate/classifier.h). auto: softmax, and logistic where pictures
  // have several labels, which is all they can have and which only resolved() names.
  std::string loss = "auto";
  double weight_decay = 0;
  int views = 1;  // of a test picture, whose outputs are added up: 1, 2 or 10 (data/augment.h)
};

// For features (1, ...). A step moves what a linear classifier says of a picture in proportion to
// the rate and to the number of its inputs, which batch norm makes one size; in an MLP the batch
// norm behind the first layer takes that out. The square loss is flatter: a whole network learns
// best with four times the rate (bench/results/finetune.md).
double default_rate(const ProbeOptions& probe, Shape features);

// Error(usage) when a value is out of range, the loss is not for such labels or the recipe's crops
// do not have so many views, Error(data) when training and test pictures are stored in different
// shapes.
void validate(const ProbeOptions& probe, const Options& options, const data::Dataset& train,
              const data::Dataset& test);

// The same with what 0 and auto stand for on these pictures: epochs, loss, and the rate where all
// places have one (those of ProbeHead::linear do not; it stays 0).
ProbeOptions resolved(ProbeOptions probe, const Options& options, const data::Dataset& train);

// What is judged.
struct Judged {
  FeatureSource& source;
  std::vector<std::string> taps;
  // Whose convolutions ProbeHead::network begins with: values and running statistics. Others do
  // without.
  const Network* network = nullptr;
  std::string title;  // opens the lines of progress on stderr
};

// What the classifiers say of the test pictures: the sum over the views, before softmax or sigmoid.
struct ProbeOutputs {
  std::map<std::string, FeatureMatrix> at;  // by tap: (pictures, classes)
  std::vector<std::int32_t> ids;            // of the rows
};

// Trains a classifier for each of the taps on the labels of `train` and shows it `test`. Pictures
// that turn out to be unreadable are grey while it learns, and have no row in the end. The crops,
// the kind of initial values and the seed are those of `options`; `probe` is what resolved()
// returned.
ProbeOutputs probe_outputs(Context& ctx, const Options& options, const ProbeOptions& probe,
                           const Judged& judged, const data::Dataset& train,
                           const data::Dataset& test);

// Pictures a step, as far as there are so many: the batch of the run where its whole network
// learns, otherwise 256.
std::int64_t probe_batch(const ProbeOptions& probe, const Options& options,
                         const data::Dataset& train);

}  // namespace nat::tools
