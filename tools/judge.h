// Judging the features of a run: kNN, probes, retrieval and clusters at several places of the
// network, always beside the same network untrained and beside raw pixels.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/features.h"
#include "tools/probe.h"
#include "tools/run_folder.h"
#include "tools/verdict.h"

namespace nat::tools {

struct JudgeOptions {
  std::vector<std::string> taps = {"conv", "fc", "embedding"};
  // On the features of the middle view of every picture; also retrieval, cluster.
  std::vector<std::string> measures = {"knn", "linear", "linear_1k"};
  std::optional<int> k;    // of kNN; none: 20, or all training pictures where they are fewer
  double temperature = 0;  // above 0: neighbours have weighted votes (nat/evaluate/knn.h)
  int clusters = 0;        // 0: as many as there are classes
  // Instead of the measures: classifiers trained on random views. ProbeHead::network has the one
  // place "network", and no raw pixels.
  std::optional<ProbeOptions> probe;
  // Of what the judge itself draws: initial values, order and crops of classifiers, first centres
  // of clusters. None: that of the run, which the untrained network has in any case.
  std::optional<std::uint64_t> seed;
  // Training pictures whose labels are used, spaced evenly within each class or, where pictures
  // have several labels, over all of them; 0: all.
  std::int64_t labels = 0;
  bool raw = true;                   // judge raw pixels as well
  std::string data;                  // empty: the run's own
  std::optional<std::int64_t> step;  // whose checkpoint is judged; none: the newest
};

struct TrainedNetwork {
  Network network;
  std::int64_t step = 0;  // of the training
};

// The network of a run with the parameters of its checkpoint of `step`, or of the newest. Errors of
// RunFolder::checkpoint; Error(checkpoint) where it was trained with another recipe than `options`;
// Error(not_finite) where it holds a NaN or an infinity.
TrainedNetwork load_trained(Context& ctx, const RunFolder& folder, const Options& options,
                            const data::PictureShape& pictures,
                            std::optional<std::int64_t> step = {});

// `options` are those of the run, but for its threads. Verdict::remark says what had to be left out
// (tools/left_out.h). `judging` comes back as it was done: with the values that 0, auto and none
// stood for on these pictures.
Verdict judge(Context& ctx, const RunFolder& folder, const Options& options, JudgeOptions& judging);

}  // namespace nat::tools
