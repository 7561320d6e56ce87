#include "tools/judge.h"

#include <algorithm>
#include <cstdio>

#include "engine/parameter_file.h"
#include "nat/evaluate/average_precision.h"
#include "nat/evaluate/cluster.h"
#include "nat/evaluate/knn.h"
#include "nat/evaluate/linear_probe.h"
#include "nat/evaluate/retrieval.h"
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

// The judges of more than one measure look at the test pictures alone.
void add_retrieval(Context& host, const LabelledFeatures& test, int classes, Scores& scores) {
  const RetrievalResult result = retrieval(host, test, classes);
  for (const Recall& at : result.at) {
    scores[str("recall_", at.k)] = {at.recall, at.standard_error, result.n_queries};
  }
  scores["map"] = {result.mean_average_precision, result.standard_error, result.n_queries};
}

void add_cluster(Context& host, int clusters, const LabelledFeatures& test, int classes,
                 Scores& scores) {
  const ClusterResult result = cluster_agreement(host, test, classes, {.clusters = clusters});
  scores["nmi"] = {result.agreement.nmi, {}, result.n_test};
  scores["ari"] = {result.agreement.ari, {}, result.n_test};
  scores["purity"] = {result.agreement.purity, {}, result.n_test};
}

// Standardises the two sets and takes every measure of one place.
Scores judge_place(const JudgeOptions& judging, const FeatureSet& train, const FeatureSet& test,
                   const std::string& tap, int classes) {
  FeatureMatrix train_features = train.at.at(tap), test_features = test.at.at(tap);
  standardize(train_features, test_features);
  Context host;  // features are host memory
  Scores scores;
  const LabelledFeatures labelled{test_features, test.labels};
  for (const std::string& what : judging.measures) {
    if (what == "retrieval") {
      add_retrieval(host, labelled, classes, scores);
    } else if (what == "cluster") {
      add_cluster(host, judging.clusters, labelled, classes, scores);
    } else {
      scores[what] =
          measure(host, what, judging.k, {train_features, train.labels}, labelled, classes);
    }
  }
  return scores;
}

std::string measure_name(ProbeHead head) {
  switch (head) {
    case ProbeHead::mlp:
      return "mlp";
    case ProbeHead::linear:
      return "linear_sgd";
    case ProbeHead::network:
      break;
  }
  return "finetune";
}

double share_right(const FeatureMatrix& outputs, const std::vector<std::int32_t>& ids,
                   const data::Dataset& test) {
  std::int64_t right = 0;
  for (std::int64_t i = 0; i < outputs.rows; ++i) {
    const float* row = outputs.row(i);
    right += std::max_element(row, row + outputs.columns) - row ==
             test.label(ids[static_cast<std::size_t>(i)]);
  }
  return static_cast<double>(right) / static_cast<double>(outputs.rows);
}

// `measure` names what is averaged over the classes, or counted where pictures have one label.
Scores score_outputs(const FeatureMatrix& outputs, const std::vector<std::int32_t>& ids,
                     const data::Dataset& test, const std::string& measure) {
  Scores scores;
  const std::int64_t n = outputs.rows;
  if (!test.multi_label()) {
    const double share = share_right(outputs, ids, test);
    scores[measure] = {share, standard_error(share, n), n};
    return scores;
  }
  std::vector<std::int8_t> flags;
  for (const std::int32_t id : ids) {
    flags.insert(flags.end(), test.flags(id).begin(), test.flags(id).end());
  }
  const auto mean = [&](PrecisionMean kind) {
    return Score{mean_average_precision(kind, outputs, flags).mean, {}, n};
  };
  scores[measure + "_map11"] = mean(PrecisionMean::voc2007);
  scores[measure + "_map"] = mean(PrecisionMean::area);
  return scores;
}

// By tap.
std::map<std::string, Scores> judge_by_probe(Context& ctx, const Options& options,
                                             const ProbeOptions& probe, Judged judged,
                                             const data::Dataset& train,
                                             const data::Dataset& test) {
  const std::string measure = measure_name(probe.head);
  judged.title = measure + " on " + judged.title;
  const ProbeOutputs outputs = probe_outputs(ctx, options, probe, judged, train, test);
  std::map<std::string, Scores> verdict;
  for (const auto& [tap, said] : outputs.at) {
    verdict[tap] = score_outputs(said, outputs.ids, test, measure);
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
    const std::int64_t batch = probe_batch(*judging.probe, options, train_pictures);
    const auto source =
        judging.probe->head == ProbeHead::network
            ? network_input(ctx, options, network, train_pictures.shape(), batch)
            : network_features(ctx, options, network, train_pictures.shape(), batch, judging.taps);
    return judge_by_probe(ctx, options, *judging.probe, {*source, judging.taps, &network, title},
                          train_pictures, test_pictures);
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
    const auto source =
        pixel_features(ctx, options, train.shape(), probe_batch(*judging.probe, options, train));
    return judge_by_probe(ctx, options, *judging.probe, {*source, {"raw"}, nullptr, "raw pixels"},
                          train, test)
        .at("raw");
  }
  return judge_place(judging, raw_pixels(ctx, options, train), raw_pixels(ctx, options, test),
                     "raw", train.classes());
}

void require_labels(const data::Dataset& pictures, const JudgeOptions& judging,
                    const std::string& source) {
  if (pictures.multi_label()) {
    NAT_CHECK(judging.probe, ErrorKind::usage, "--data ", source,
              ": the pictures have several labels each, which only mlp, layers and finetune take");
    return;
  }
  NAT_CHECK(pictures.labelled(), ErrorKind::data, "--data ", source,
            ": the pictures have no labels; judging features needs them (folders of classes, IDX, "
            "CIFAR or VOC)");
}

// The training pictures of `source`; of `labels` > 0 that many, the same share of each class.
std::unique_ptr<data::Dataset> open_labelled(const Options& options, std::int64_t labels,
                                             const std::string& source) {
  Options limited = options;
  if (labels != 0) limited.limit = std::max<std::int64_t>(labels, 1);
  auto pictures = open_data(limited, data::Split::train, source);
  NAT_CHECK(labels == 0 || labels >= pictures->classes(), ErrorKind::usage, "--labels ", labels,
            ": ", source, " has ", pictures->classes(),
            " classes; give at least one label each, or 0 for all there are");
  NAT_CHECK(labels <= pictures->size(), ErrorKind::usage, "--labels ", labels, ": ", source,
            " has ", pictures->size(), " training pictures; give at most as many");
  return pictures;
}

// How many usable pictures each class has.
std::vector<std::int64_t> class_sizes(const data::Dataset& pictures) {
  std::vector<std::int64_t> count(static_cast<std::size_t>(std::max(1, pictures.classes())));
  for (const std::int32_t id : pictures.usable_ids()) {
    ++count[static_cast<std::size_t>(pictures.label(id))];
  }
  return count;
}

// Why the training pictures cannot give balanced subsets of kFewLabels; empty when they can.
std::string too_few_labels(const data::Dataset& train) {
  const std::vector<std::int64_t> count = class_sizes(train);
  const std::int64_t needed = (kFewLabels + std::ssize(count) - 1) / std::ssize(count);
  const std::int64_t least = *std::min_element(count.begin(), count.end());
  if (least >= needed) return "";
  return str("linear_1k is left out: a class has ", least, " training pictures, its ", kFewLabels,
             " labels take ", needed, " of each");
}

// Which test pictures retrieval has to leave out; empty when there are none.
std::string alone_in_class(const data::Dataset& test) {
  const std::vector<std::int64_t> count = class_sizes(test);
  const auto alone = std::count(count.begin(), count.end(), 1);
  if (alone == 0) return "";
  return str("retrieval leaves out ", alone, " of ", test.usable_ids().size(),
             " test pictures, each the only one of its class");
}

// Which classes the mean of average precisions has to leave out; empty when there are none, or
// pictures have one label.
std::string never_shown(const data::Dataset& test) {
  if (!test.multi_label()) return "";
  std::string names;
  for (int c = 0; c < test.classes(); ++c) {
    const bool shown = std::any_of(
        test.usable_ids().begin(), test.usable_ids().end(),
        [&](std::int32_t id) { return test.flags(id)[static_cast<std::size_t>(c)] == 1; });
    if (!shown)
      names +=
          (names.empty() ? "" : ", ") + test.catalog().class_names[static_cast<std::size_t>(c)];
  }
  if (names.empty()) return "";
  return "the mean leaves out " + names + ", which no test picture shows";
}

// Why an MLP cannot stand on the pixels themselves; empty when it can, or when none is asked for.
// On those of AlexNet its first layer would take 10 GB with gradients and momenta.
std::string too_many_pixels(const Options& options, const JudgeOptions& judging,
                            const data::Dataset& pictures) {
  constexpr std::int64_t kMost = 16384;  // numbers a picture: 64 x 64 in colour
  if (!judging.probe || judging.probe->head != ProbeHead::mlp) return "";
  const std::int64_t numbers =
      std::int64_t{options.size} * options.size * pictures.shape().channels;
  if (numbers <= kMost) return "";
  return str("raw pixels are left out: ", numbers, " numbers a picture are too many for an MLP (",
             kMost, " at most)");
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
  const auto train = open_labelled(options, judging.labels, source);
  const auto test = open_data(options, data::Split::test, source);
  require_labels(*train, judging, source);
  require_labels(*test, judging, source);
  if (judging.probe) validate(*judging.probe, options, *train, *test);

  Verdict verdict;
  verdict.taps = judging.taps;
  const auto leave_out = [&verdict](const std::string& reason) {
    if (!reason.empty()) verdict.remark += (verdict.remark.empty() ? "" : "; ") + reason;
    return !reason.empty();
  };
  if (judging.probe) judging.measures.clear();
  if (const auto few = std::find(judging.measures.begin(), judging.measures.end(), "linear_1k");
      few != judging.measures.end() && leave_out(too_few_labels(*train))) {
    judging.measures.erase(few);
  }
  if (const auto& asked = judging.measures;
      std::find(asked.begin(), asked.end(), "retrieval") != asked.end()) {
    leave_out(alone_in_class(*test));
  }
  if (judging.probe) leave_out(never_shown(*test));
  const bool whole = judging.probe && judging.probe->head == ProbeHead::network;
  const bool pixels = !whole && !leave_out(too_many_pixels(options, judging, *train));
  Network network = load_trained(ctx, folder, options, train->shape(), nullptr);
  verdict.trained =
      judge_network(ctx, options, judging, network, *train, *test, "the trained network");

  network = make_network(ctx, options, train->shape());  // as it was before training
  calibrate(ctx, options, network, *train);
  verdict.untrained =
      judge_network(ctx, options, judging, network, *train, *test, "the untrained network");
  if (pixels) verdict.raw = judge_pixels(ctx, options, judging, *train, *test);
  return verdict;
}

nlohmann::ordered_json to_json(const Verdict& verdict) {
  nlohmann::ordered_json json;
  const auto add_certainty = [](nlohmann::ordered_json& entry, const Score& score) {
    if (score.standard_error) entry["stderr"] = *score.standard_error;
    entry["n_test"] = score.n_test;
  };
  for (const std::string& tap : verdict.taps) {
    for (const auto& [what, trained] : verdict.trained.at(tap)) {
      auto& entry = json[tap][what];
      entry = {{"trained", trained.value}, {"untrained", verdict.untrained.at(tap).at(what).value}};
      add_certainty(entry, trained);
    }
  }
  for (const auto& [what, score] : verdict.raw) {
    auto& entry = json["raw"][what];
    entry = {{"value", score.value}};
    add_certainty(entry, score);
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
  const auto add_error = [&](const Score& score, int width) {
    if (score.standard_error) add("%*.2f", width, 100 * *score.standard_error);
    table += "\n";
  };
  add("%-12s %-16s %9s %10s %7s %9s\n", "features", "measure", "trained", "untrained", "gain",
      "+- stderr");
  for (const std::string& tap : verdict.taps) {
    for (const auto& [what, trained] : verdict.trained.at(tap)) {
      const double untrained = verdict.untrained.at(tap).at(what).value;
      add("%-12s %-16s %8.2f%% %9.2f%% %+7.2f", tap.c_str(), what.c_str(), 100 * trained.value,
          100 * untrained, 100 * (trained.value - untrained));
      add_error(trained, 10);
    }
  }
  for (const auto& [what, score] : verdict.raw) {
    add("%-12s %-16s %9s %9.2f%%", "raw pixels", what.c_str(), "", 100 * score.value);
    add_error(score, 18);
  }
  return table;
}

}  // namespace nat::tools
