// What the judges say of a network, beside what they say of the baselines; as JSON and as a table.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace nat::tools {

struct Score {
  double value = 0;                      // fraction
  std::optional<double> standard_error;  // none where pictures do not count one by one
  std::int64_t n_test = 0;
  std::map<std::string, double> of_class = {};  // what a mean over classes is the mean of
};

// measure -> score, in the order in which they are asked for: "knn", "linear", "linear_1k"; of
// retrieval "recall_1", "recall_5", "recall_10", "map"; of cluster "nmi", "ari", "purity"; of
// probes "mlp", "linear_sgd", "finetune", the share of pictures they get right, or of pictures with
// several labels "mlp_map11" and "mlp_map" (nat/evaluate/average_precision.h: voc2007, area) and so
// on
using Scores = nlohmann::ordered_map<std::string, Score>;

struct Verdict {
  std::string data;         // the pictures, as they were named
  std::int64_t step = 0;    // of the training
  std::int64_t labels = 0;  // training pictures that --labels asked for; 0: all there are
  std::vector<std::string> taps;
  std::map<std::string, Scores> trained, untrained;  // by tap
  Scores raw;
  std::string remark;  // what was left out and why; empty when nothing was
  std::int64_t train_pictures = 0, test_pictures = 0;  // those that can be read
};

// docs/file-formats.md, results.json.
nlohmann::ordered_json to_json(const Verdict& verdict);
// What to_json wrote, without the remark and the two numbers of pictures. The untrained network's
// standard errors are not in it: those of shares are computed, that of "map", a mean over pictures,
// is lost. Throws nlohmann::json::exception for anything else.
Verdict from_json(const nlohmann::ordered_json& json);
// Where items() would take anything, this throws unless it is an object.
const nlohmann::ordered_json::object_t& entries(const nlohmann::ordered_json& json);
std::string to_table(const Verdict& verdict);

}  // namespace nat::tools
