#include "tools/judge.h"

#include <algorithm>
#include <cstdio>

#include "engine/parameter_file.h"
#include "nat/evaluate/knn.h"
#include "nat/evaluate/linear_probe.h"
#include "nat/evaluate/standardize.h"
#include "tools/session.h"

namespace nat::tools {

namespace {

constexpr int kFewLabels = 1000;

Score measure(Context& host, const std::string& what, int k, const LabelledFeatures& train,
              const LabelledFeatures& test, int classes) {
  if (what == "knn") {
    const KnnResult result = knn_accuracy(host, train, test, classes, {.k = {k}});
    return {result.for_k(k).accuracy, result.for_k(k).standard_error, result.n_test};
  }
  if (what == "linear") {
    const LinearProbeResult result = linear_probe(host, train, test, classes);
    return {result.accuracy, result.standard_error, result.n_test};
  }
  const FewLabelsResult result =
      few_labels_probe(host, train, test, classes, {.labels = kFewLabels});
  return {result.accuracy, result.standard_error, result.n_test};
}

// Standardises the two sets and takes every measure of one place.
Scores judge_place(const JudgeOptions& judging, const FeatureSet& train, const FeatureSet& test,
                   const std::string& tap, int classes) {
  FeatureMatrix train_features = train.at.at(tap), test_features = test.at.at(tap);
  standardize(train_features, test_features);
  Context host;  // features are host memory
  Scores scores;
  for (const std::string& what : judging.measures) {
    scores[what] = measure(host, what, judging.k, {train_features, train.labels},
                           {test_features, test.labels}, classes);
  }
  return scores;
}

// By tap.
std::map<std::string, Scores> judge_by_probe(Context& ctx, const Options& options,
                                             const ProbeOptions& probe, FeatureSource& source,
                                             const std::vector<std::string>& taps,
                                             const data::Dataset& train, const data::Dataset& test,
                                             const std::string& title) {
  const std::string measure = probe.head == ProbeHead::mlp ? "mlp" : "linear_sgd";
  const std::int64_t n = std::ssize(test.usable_ids());
  std::map<std::string, Scores> verdict;
  for (const auto& [tap, share] :
       probe_accuracy(ctx, options, probe, source, taps, train, test, measure + " on " + title)) {
    verdict[tap][measure] = {share, standard_error(share, n), n};
  }
  return verdict;
}

// `title` says which network, on stderr where that takes long.
std::map<std::string, Scores> judge_network(Context& ctx, const Options& options,
                                            const JudgeOptions& judging, Network& network,
                                            const data::Dataset& train_pictures,
                                            const data::Dataset& test_pictures,
                                            const std::string& title) {
  if (judging.probe) {
    const auto source = network_features(ctx, options, network, train_pictures.shape(),
                                         probe_batch(options, train_pictures), judging.taps);
    return judge_by_probe(ctx, options, *judging.probe, *source, judging.taps, train_pictures,
                          test_pictures, title);
  }
  const FeatureSet train = extract_features(ctx, options, network, train_pictures, judging.taps);
  const FeatureSet test = extract_features(ctx, options, network, test_pictures, judging.taps);
  std::map<std::string, Scores> verdict;
  for (const std::string& tap : judging.taps) {
    verdict[tap] = judge_place(judging, train, test, tap, train_pictures.classes());
  }
  return verdict;
}

Scores judge_pixels(Context& ctx, const Options& options, const JudgeOptions& judging,
                    const data::Dataset& train, const data::Dataset& test) {
  if (judging.probe) {
    const auto source = pixel_features(ctx, options, train.shape(), probe_batch(options, train));
    return judge_by_probe(ctx, options, *judging.probe, *source, {"raw"}, train, test, "raw pixels")
        .at("raw");
  }
  return judge_place(judging, raw_pixels(ctx, options, train), raw_pixels(ctx, options, test),
                     "raw", train.classes());
}

void require_labels(const data::Dataset& pictures, const std::string& source) {
  NAT_CHECK(
      pictures.labelled(), ErrorKind::data, "--data ", source,
      ": the pictures have no labels; judging features needs them (folders of classes, IDX or "
      "CIFAR)");
}

}  // namespace

namespace {

// Why the training pictures cannot give balanced subsets of kFewLabels; empty when they can.
std::string too_few_labels(const data::Dataset& train) {
  const int classes = std::max(1, train.classes());
  const std::int64_t needed = (kFewLabels + classes - 1) / classes;
  std::vector<std::int64_t> count(static_cast<std::size_t>(classes));
  for (const std::int32_t id : train.usable_ids()) {
    ++count[static_cast<std::size_t>(train.label(id))];
  }
  const std::int64_t least = *std::min_element(count.begin(), count.end());
  if (least >= needed) return "";
  return str("linear_1k is left out: a class has ", least, " training pictures, its ", kFewLabels,
             " labels take ", needed, " of each");
}

}  // namespace

Network load_trained(Context& ctx, const RunFolder& folder, const Options& options,
                     const data::PictureShape& pictures, std::int64_t* training_step) {
  const NewestCheckpoint newest = newest_valid(folder.checkpoints());
  NAT_CHECK(!newest.path.empty(), ErrorKind::checkpoint, "run ", folder.path().string(),
            " has no usable checkpoint",
            newest.skipped.empty() ? "; train it first" : ": " + newest.skipped.front());
  Network network = make_network(ctx, options, pictures);
  read_parameters(ctx, newest.checkpoint, Momenta::skip, network.net->parameters());
  if (training_step != nullptr) {
    *training_step = std::stoll(newest.checkpoint.metadata_value("step"));
  }
  return network;
}

Verdict judge(Context& ctx, const RunFolder& folder, JudgeOptions judging) {
  const Options options = folder.options();
  const std::string source = judging.data.empty() ? options.data : judging.data;
  const auto train = open_data(options, data::Split::train, source);
  const auto test = open_data(options, data::Split::test, source);
  require_labels(*train, source);
  require_labels(*test, source);
  if (judging.probe) validate(*judging.probe, options, *test);

  Verdict verdict;
  verdict.taps = judging.taps;
  if (judging.probe) judging.measures.clear();
  if (const auto few = std::find(judging.measures.begin(), judging.measures.end(), "linear_1k");
      few != judging.measures.end()) {
    verdict.remark = too_few_labels(*train);
    if (!verdict.remark.empty()) judging.measures.erase(few);
  }
  Network network = load_trained(ctx, folder, options, train->shape(), nullptr);
  verdict.trained =
      judge_network(ctx, options, judging, network, *train, *test, "the trained network");

  network = make_network(ctx, options, train->shape());  // as it was before training
  calibrate(ctx, options, network, *train);
  verdict.untrained =
      judge_network(ctx, options, judging, network, *train, *test, "the untrained network");
  verdict.raw = judge_pixels(ctx, options, judging, *train, *test);
  return verdict;
}

nlohmann::ordered_json to_json(const Verdict& verdict) {
  nlohmann::ordered_json json;
  for (const std::string& tap : verdict.taps) {
    for (const auto& [what, trained] : verdict.trained.at(tap)) {
      const Score& untrained = verdict.untrained.at(tap).at(what);
      json[tap][what] = {{"trained", trained.value},
                         {"untrained", untrained.value},
                         {"stderr", trained.standard_error},
                         {"n_test", trained.n_test}};
    }
  }
  for (const auto& [what, score] : verdict.raw) {
    json["raw"][what] = {
        {"value", score.value}, {"stderr", score.standard_error}, {"n_test", score.n_test}};
  }
  return json;
}

std::string to_table(const Verdict& verdict) {
  std::string table;
  const auto add = [&](const char* format, auto... values) {
    char line[160];
    std::snprintf(line, sizeof line, format, values...);
    table += line;
  };
  add("%-12s %-10s %9s %10s %7s %9s\n", "features", "measure", "trained", "untrained", "gain",
      "+- stderr");
  for (const std::string& tap : verdict.taps) {
    for (const auto& [what, trained] : verdict.trained.at(tap)) {
      const double untrained = verdict.untrained.at(tap).at(what).value;
      add("%-12s %-10s %8.2f%% %9.2f%% %+7.2f %9.2f\n", tap.c_str(), what.c_str(),
          100 * trained.value, 100 * untrained, 100 * (trained.value - untrained),
          100 * trained.standard_error);
    }
  }
  for (const auto& [what, score] : verdict.raw) {
    add("%-12s %-10s %9s %9.2f%% %7s %9.2f\n", "raw pixels", what.c_str(), "", 100 * score.value,
        "", 100 * score.standard_error);
  }
  return table;
}

}  // namespace nat::tools
