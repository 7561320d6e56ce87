// Frozen features of a whole data set, taken at several places of a network in one pass.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/loader.h"
#include "models/network.h"
#include "nat/evaluate/features.h"
#include "tools/options.h"

namespace nat::tools {

// What is looked at: stored pictures in, features of one or several places out.
class FeatureSource {
 public:
  virtual ~FeatureSource() = default;
  // A batch that is not full leaves the last rows as they were.
  virtual void look(Context& ctx, const data::Batch& batch) = 0;
  // (batch, ...), until the next look(). Who has one place has it under every name.
  virtual ConstView at(const std::string& tap) const = 0;
};

// Activations in evaluation mode, with running statistics.
std::unique_ptr<FeatureSource> network_features(Context& ctx, const Options& options,
                                                Network& network,
                                                const data::PictureShape& pictures,
                                                std::int64_t batch,
                                                const std::vector<std::string>& taps);
// One place: what the network itself looks at, as it wants it.
std::unique_ptr<FeatureSource> network_input(Context& ctx, const Options& options,
                                             const Network& network,
                                             const data::PictureShape& pictures,
                                             std::int64_t batch);
// One place: the pixels at the network's input size, each picture normalised by itself
// (FrontEnd::clean); the baseline that needs no network.
std::unique_ptr<FeatureSource> pixel_features(Context& ctx, const Options& options,
                                              const data::PictureShape& pictures,
                                              std::int64_t batch);

// Every picture once, in order, as this view shows it; the last batch may be short.
data::LoaderOptions viewing(const Context& ctx, const Options& options,
                            const data::Dataset& pictures, std::int64_t batch,
                            const data::Augmentation& view);

struct FeatureSet {
  std::map<std::string, FeatureMatrix> at;  // by tap; columns in (channel, row, column) order
  std::vector<std::int32_t> ids, labels;
};

// How many numbers a picture has at all of the taps, and at the widest.
struct FeatureNumbers {
  std::int64_t all = 0, widest = 0;
};
FeatureNumbers feature_numbers(const Context& ctx, const Network& network,
                               const std::vector<std::string>& taps);
std::size_t feature_bytes(std::int64_t pictures, std::int64_t numbers);
// What features, and judging them, may take: seven eighths of memory_limit(), the rest is for the
// program and what it reads.
std::size_t feature_room();
// Error(memory) where that is less than `needed`: "WHAT take .. MiB, and there are .. for that;
// ADVICE".
void require_room(std::size_t needed, const std::string& what, const std::string& advice);

// Pictures that are looked at together: as many as in training, but 256 at most and, since smaller
// batches are slow, 32 at least. They need no gradients, so who could train on a machine can judge
// there.
std::int64_t evaluation_batch(const Options& options, const data::Dataset& pictures);

// Error(data) where a test picture is of a class that the training pictures do not have; `who`
// opens the message.
void require_known_classes(const char* who, const data::Dataset& train, const data::Dataset& test);

// The rows of pictures that can be read. Of pictures in files of their own that is known for
// certain when all have been looked at; one that cannot was grey until then.
std::vector<std::int64_t> readable_rows(const data::Dataset& pictures,
                                        const std::vector<std::int32_t>& ids);

// Evaluation view (centre, no flip), running statistics. "embedding" rows are unit-normalised.
// Pictures that turn out to be unreadable have no rows. Error(memory), before any picture is looked
// at, where there is no room for them. Where a title is
// given, a terminal shows it and how far the work is.
FeatureSet extract_features(Context& ctx, const Options& options, Network& network,
                            const data::Dataset& pictures, const std::vector<std::string>& taps,
                            const std::string& title = "");

// The same of pixel_features.
FeatureSet raw_pixels(Context& ctx, const Options& options, const data::Dataset& pictures,
                      const std::string& title = "");

// Shows an untrained network enough augmented pictures that its running statistics describe them.
void calibrate(Context& ctx, const Options& options, Network& network,
               const data::Dataset& pictures);

}  // namespace nat::tools
