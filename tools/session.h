// What every command builds from its options: the data, the device context and the network.
#pragma once

#include <memory>

#include "data/augment.h"
#include "data/dataset.h"
#include "data/loader.h"
#include "data/open.h"
#include "engine/init.h"
#include "kernels/preprocess.h"
#include "models/network.h"
#include "tools/options.h"

namespace nat::tools {

// A run may be continued and judged from any folder: its data by an absolute path. Error(usage)
// when that is no text, and the errors of data::absolute_spec.
Options with_absolute_data(Options options);

// Opens a split of options.data (or of `data` when given) at the recipe's stored size.
// options.limit applies to the training split: features are always judged on every test picture.
// `at_most` >= 0: no more pictures than that, of either split.
std::unique_ptr<data::Dataset> open_data(const Options& options, data::Split split,
                                         const std::string& data = "", std::int64_t at_most = -1);

// Training pictures that neighbours are looked for among, where a trend or an example is enough.
inline constexpr std::int64_t kBankPictures = 10000;

// The training pictures of a run that goes on, without those that it had to give up.
std::unique_ptr<data::Dataset> reopen_data(const Options& options,
                                           std::vector<data::Quarantined> quarantined);

// How this dtype computes on that device; "auto" chooses.
Math math_of(Device device, const std::string& dtype);

// Device and precision as asked for; "auto" chooses and the choice is printed by the caller.
std::unique_ptr<Context> make_context(const Options& options);

// The same for a device that may be missing: sizes can be planned, nothing can run.
Context planning_context(const Options& options);

// Threads of a loader of such batches: options.loaders, or an automatic number.
int loader_threads(const Options& options, Device device, std::int64_t batch,
                   const data::PictureShape& pictures);

// Where a loader keeps its pictures: memory that the device can copy from at full speed.
data::PixelMemory page_locked(Device device);

// The network of the recipe for pictures of the data set; make_network gives it initial values
// from the seed.
Network build_network(Context& ctx, const Options& options, const data::PictureShape& pictures);
Network make_network(Context& ctx, const Options& options, const data::PictureShape& pictures);

FrontEnd front_end(const Options& options);
Init initial_values(const Options& options);
data::Augmentation augmentation(const Options& options, const data::PictureShape& pictures);

// Is any picture larger than the crop that --crop shift moves about in it?
bool shift_has_room(const Options& options, const data::Dataset& pictures);

std::string sides(const data::PictureShape& pictures);  // "28", or "30 x 20" (width x height)

}  // namespace nat::tools
