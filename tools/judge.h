// Judging the features of a run: kNN, probes, retrieval and clusters at several places of the
// network, always beside the same network untrained and beside raw pixels.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tools/features.h"
#include "tools/probe.h"
#include "tools/run_folder.h"

namespace nat::tools {

struct Score {
  double value = 0;                      // fraction
  std::optional<double> standard_error;  // none where pictures do not count one by one
  std::int64_t n_test = 0;
};

// measure -> score, in the order in which they are asked for: "knn", "linear", "linear_1k"; of
// retrieval "recall_1", "recall_5", "recall_10", "map"; of cluster "nmi", "ari", "purity"; of
// probes "mlp", "linear_sgd", "finetune", the share of pictures they get right, or of pictures with
// several labels "mlp_map11" and "mlp_map" (nat/evaluate/average_precision.h: voc2007, area) and so
// on
using Scores = nlohmann::ordered_map<std::string, Score>;

struct Verdict {
  std::vector<std::string> taps;
  std::map<std::string, Scores> trained, untrained;  // by tap
  Scores raw;
  std::string remark;  // what was left out and why; empty when nothing was
};

struct JudgeOptions {
  std::vector<std::string> taps = {"conv", "fc", "embedding"};
  // On the features of the middle view of every picture; also retrieval, cluster.
  std::vector<std::string> measures = {"knn", "linear", "linear_1k"};
  int k = 20;
  int clusters = 0;  // 0: as many as there are classes
  // Instead of the measures: classifiers trained on random views. ProbeHead::network has the one
  // place "network" and no raw pixels.
  std::optional<ProbeOptions> probe;
  std::int64_t labels =
      0;             // training pictures whose labels are used, a share of each class; 0: all
  std::string data;  // empty: the run's own
};

// The network of a run with the parameters of its newest checkpoint; `training_step` says where.
Network load_trained(Context& ctx, const RunFolder& folder, const Options& options,
                     const data::PictureShape& pictures, std::int64_t* training_step);

// Leaves linear_1k out, and says so, where a class has too few labels for its subsets, and raw
// pixels where they are too many for an MLP. Says how many test pictures retrieval leaves out
// because they are alone in their class.
Verdict judge(Context& ctx, const RunFolder& folder, JudgeOptions judging);

nlohmann::ordered_json to_json(const Verdict& verdict);
std::string to_table(const Verdict& verdict);

}  // namespace nat::tools
