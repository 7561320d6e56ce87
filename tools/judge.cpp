#include "tools/judge.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "data/files.h"
#include "engine/parameter_file.h"
#include "nat/evaluate/average_precision.h"
#include "nat/evaluate/cluster.h"
#include "nat/evaluate/knn.h"
#include "nat/evaluate/linear_probe.h"
#include "nat/evaluate/retrieval.h"
#include "nat/evaluate/standardize.h"
#include "tools/left_out.h"
#include "tools/session.h"
#include "tools/stderr_progress.h"

namespace nat::tools {

namespace {

Score measure(Context& host, const JudgeOptions& judging, const std::string& what,
              const LabelledFeatures& train, const LabelledFeatures& test, int classes) {
  if (what == "knn") {
    const int k = judging.k.value_or(kKnnNeighbours);
    const KnnResult result =
        knn_accuracy(host, train, test, classes, {.k = {k}, .temperature = judging.temperature});
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
  RetrievalOptions options;
  std::erase_if(options.k, [&](int k) { return k >= test.features.rows; });
  const RetrievalResult result = retrieval(host, test, classes, options);
  for (const Recall& at : result.at) {
    scores[str("recall_", at.k)] = {at.recall, at.standard_error, result.n_queries};
  }
  scores["map"] = {result.mean_average_precision, result.standard_error, result.n_queries};
}

void add_cluster(Context& host, const JudgeOptions& judging, const LabelledFeatures& test,
                 int classes, Scores& scores) {
  const ClusterResult result =
      cluster_agreement(host, test, classes, {.clusters = judging.clusters, .seed = *judging.seed});
  scores["nmi"] = {result.agreement.nmi, {}, result.n_test};
  scores["ari"] = {result.agreement.ari, {}, result.n_test};
  scores["purity"] = {result.agreement.purity, {}, result.n_test};
}

// The features of one place, which the set no longer has: those of all places at once may be most
// of the machine's memory.
FeatureMatrix take_from(FeatureSet& set, const std::string& tap) {
  return std::move(set.at.extract(tap).mapped());
}

// Standardises the two sets and takes every measure of one place. `title` is said on a terminal:
// with many pictures this takes long.
Scores judge_place(const JudgeOptions& judging, FeatureSet& train, FeatureSet& test,
                   const std::string& tap, int classes, const std::string& title) {
  progress_on_terminal("judging " + title);
  FeatureMatrix train_features = take_from(train, tap), test_features = take_from(test, tap);
  standardize(train_features, test_features);
  Context host;  // features are host memory
  Scores scores;
  const LabelledFeatures labelled{test_features, test.labels};
  for (const std::string& what : judging.measures) {
    if (what == "retrieval") {
      add_retrieval(host, labelled, classes, scores);
    } else if (what == "cluster") {
      add_cluster(host, judging, labelled, classes, scores);
    } else {
      scores[what] =
          measure(host, judging, what, {train_features, train.labels}, labelled, classes);
    }
  }
  return scores;
}

bool trains(const JudgeOptions& judging, ProbeHead head) {
  return judging.probe && judging.probe->head == head;
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
    const MeanAveragePrecision found = mean_average_precision(kind, outputs, flags);
    Score score{found.mean, {}, n, {}};
    for (std::size_t c = 0; c < found.of_class.size(); ++c) {
      if (found.of_class[c]) score.of_class[test.catalog().class_names[c]] = *found.of_class[c];
    }
    return score;
  };
  scores[measure + "_map11"] = mean(PrecisionMean::voc2007);
  scores[measure + "_map"] = mean(PrecisionMean::area);
  return scores;
}

// By tap.
std::map<std::string, Scores> judge_by_probe(Context& ctx, Options options,
                                             const JudgeOptions& judging, Judged judged,
                                             const data::Dataset& train,
                                             const data::Dataset& test) {
  options.seed = *judging.seed;
  const ProbeOptions& probe = *judging.probe;
  const std::string measure = measure_name(probe.head);
  judged.title = measure + " on " + judged.title;
  const ProbeOutputs outputs = probe_outputs(ctx, options, probe, judged, train, test);
  std::map<std::string, Scores> verdict;
  for (const auto& [tap, said] : outputs.at) {
    verdict[tap] = score_outputs(said, outputs.ids, test, measure);
  }
  return verdict;
}

std::map<std::string, Scores> judge_features(Context& ctx, const Options& options,
                                             const JudgeOptions& judging, Network& network,
                                             const data::Dataset& train_pictures,
                                             const data::Dataset& test_pictures,
                                             const std::string& title) {
  const auto extract = [&](const data::Dataset& pictures, const char* which) {
    return extract_features(ctx, options, network, pictures, judging.taps,
                            str("features of ", title, ", ", which, " pictures"));
  };
  FeatureSet train = extract(train_pictures, "training");
  FeatureSet test = extract(test_pictures, "test");
  std::map<std::string, Scores> verdict;
  for (const std::string& tap : judging.taps) {
    verdict[tap] =
        judge_place(judging, train, test, tap, train_pictures.classes(), tap + " of " + title);
  }
  return verdict;
}

// `title` says which network, on stderr where that takes long.
std::map<std::string, Scores> judge_network(Context& ctx, const Options& options,
                                            const JudgeOptions& judging, Network& network,
                                            const data::Dataset& train, const data::Dataset& test,
                                            const std::string& title) {
  if (!judging.probe) return judge_features(ctx, options, judging, network, train, test, title);
  const std::int64_t batch = probe_batch(*judging.probe, options, train);
  const auto source =
      trains(judging, ProbeHead::network)
          ? network_input(ctx, options, network, train.shape(), batch)
          : network_features(ctx, options, network, train.shape(), batch, judging.taps);
  return judge_by_probe(ctx, options, judging, {*source, judging.taps, &network, title}, train,
                        test);
}

Scores judge_pixels(Context& ctx, const Options& options, const JudgeOptions& judging,
                    const data::Dataset& train, const data::Dataset& test) {
  if (judging.probe) {
    const auto source =
        pixel_features(ctx, options, train.shape(), probe_batch(*judging.probe, options, train));
    return judge_by_probe(ctx, options, judging, {*source, {"raw"}, nullptr, "raw pixels"}, train,
                          test)
        .at("raw");
  }
  FeatureSet train_pixels = raw_pixels(ctx, options, train, "raw pixels, training pictures");
  FeatureSet test_pixels = raw_pixels(ctx, options, test, "raw pixels, test pictures");
  return judge_place(judging, train_pixels, test_pixels, "raw", train.classes(), "raw pixels");
}

void require_labels(const data::Dataset& pictures, const JudgeOptions& judging,
                    const std::string& source) {
  if (pictures.multi_label()) {
    NAT_CHECK(judging.probe, ErrorKind::usage, "--data ", source,
              ": the pictures have several labels each, which only mlp, layers and finetune take");
    return;
  }
  NAT_CHECK(pictures.labelled(), ErrorKind::data, "--data ", source,
            ": the pictures have no labels; judging features needs them (folders of classes, "
            "shards with .cls, IDX, CIFAR, STL-10, Tiny ImageNet or VOC)");
  NAT_CHECK(pictures.classes() >= 2, ErrorKind::data, "--data ", source,
            ": all pictures are of one class; judging needs two or more");
}

// The pictures that judge: the run's own by the name they have there.
std::string source_of(const Options& options, const std::string& asked) {
  if (asked.empty()) return options.data;
  const std::string source = data::absolute_spec(asked);
  return data::name_the_same(source, options.data) ? options.data : source;
}

// The training pictures of `source`; of `labels` > 0 that many.
std::unique_ptr<data::Dataset> open_labelled(const Options& options, std::int64_t labels,
                                             const std::string& source) {
  Options limited = options;
  if (source != options.data) limited.limit = -1;  // it is one of the run's own pictures
  if (labels == 0) return open_data(limited, data::Split::train, source);
  NAT_CHECK(labels > 0, ErrorKind::usage, "--labels ", labels,
            ": give a number of pictures, or 0 for all there are");
  NAT_CHECK(limited.limit < 0 || labels <= limited.limit, ErrorKind::usage, "--labels ", labels,
            ": the run has ", limited.limit, " pictures (--limit); give at most as many");
  limited.limit = labels;
  auto pictures = open_data(limited, data::Split::train, source);
  NAT_CHECK(labels >= pictures->classes(), ErrorKind::usage, "--labels ", labels, ": ", source,
            " has ", pictures->classes(), " classes; give at least as many labels");
  NAT_CHECK(labels <= pictures->size(), ErrorKind::usage, "--labels ", labels, ": ", source,
            " has ", pictures->size(), " training pictures; give at most as many");
  return pictures;
}

bool asks_for(const JudgeOptions& judging, const std::string& measure) {
  const auto& asked = judging.measures;
  return std::find(asked.begin(), asked.end(), measure) != asked.end();
}

// What every judge of features would refuse once it has them: now, not after hours.
void require_answers(const JudgeOptions& judging, const data::Dataset& train,
                     const data::Dataset& test) {
  require_known_classes("judging", train, test);
  const std::int64_t bank = std::ssize(train.usable_ids()), asked = std::ssize(test.usable_ids());
  NAT_CHECK(!asks_for(judging, "knn") || judging.k.value_or(1) <= bank, ErrorKind::usage, "--k ",
            judging.k.value_or(1), ": there are ", bank,
            " training pictures; give at most as many");
  NAT_CHECK(!asks_for(judging, "cluster") || judging.clusters <= asked, ErrorKind::usage,
            "--clusters ", judging.clusters, ": there are ", asked,
            " test pictures; give at most as many");
}

// With what the linear probe needs at the widest place.
std::size_t judging_bytes(const JudgeOptions& judging, const FeatureNumbers& numbers,
                          const data::Dataset& train, const data::Dataset& test) {
  const std::int64_t asked = std::ssize(test.usable_ids());
  const std::int64_t pictures = std::ssize(train.usable_ids()) + asked;
  const bool fits = asks_for(judging, "linear") || asks_for(judging, "linear_1k");
  const int neighbours = asks_for(judging, "knn") ? judging.k.value_or(kKnnNeighbours) : 0;
  return feature_bytes(pictures, numbers.all) +
         (fits ? linear_probe_bytes(numbers.widest, train.classes()) : 0) +
         neighbours_bytes(asked, neighbours);
}

void require_memory(const Context& ctx, const JudgeOptions& judging, const Network& network,
                    const data::Dataset& train, const data::Dataset& test) {
  const FeatureNumbers numbers = feature_numbers(ctx, network, judging.taps);
  require_room(
      judging_bytes(judging, numbers, train, test),
      str("the features of ", train.usable_ids().size(), " training and ", test.usable_ids().size(),
          " test pictures, ", numbers.all, " numbers each, and what judges them"),
      "--labels gives knn, linear and all fewer training pictures, --layers the others "
      "than all fewer places, and mlp and layers keep no features");
}

// One clause more; false when it is empty.
bool add_clause(std::string& remark, const std::string& clause) {
  if (!clause.empty()) remark += (remark.empty() ? "" : "; ") + clause;
  return !clause.empty();
}

// Takes what these pictures do not allow out of `judging`; says why, and what else is odd.
std::string leave_out(const Options& options, const data::Dataset& train, const data::Dataset& test,
                      JudgeOptions& judging) {
  std::string remark;
  const auto note = [&remark](const std::string& reason) { return add_clause(remark, reason); };
  for (const std::string& odd : few_remarks(train)) note("training pictures: " + odd);
  for (const std::string& odd : few_remarks(test)) note("test pictures: " + odd);
  if (judging.labels > 0) note(without_label(train));
  if (asks_for(judging, "linear_1k") && note(too_few_labels(train))) {
    std::erase(judging.measures, "linear_1k");
  }
  if (asks_for(judging, "knn") && !judging.k) {
    const auto bank =
        static_cast<int>(std::min<std::int64_t>(kKnnNeighbours, std::ssize(train.usable_ids())));
    if (bank < kKnnNeighbours) note(str("kNN looks at all ", bank, " training pictures"));
    judging.k = bank;
  }
  if (asks_for(judging, "retrieval")) {
    note(alone_in_class(test));
    note(too_few_to_recall(test));
  }
  note(never_shown(test));
  if (trains(judging, ProbeHead::mlp) && note(too_many_pixels(options.size, train))) {
    judging.raw = false;
  }
  const std::int64_t pixels = pixels_of(options.size, train);
  if (!judging.probe &&
      note(too_much_memory(judging_bytes(judging, {pixels, pixels}, train, test)))) {
    judging.raw = false;
  }
  return remark;
}

// What was found on the way: which pictures cannot be read, and how many can.
void count_pictures(const JudgeOptions& judging, const data::Dataset& train,
                    const data::Dataset& test, Verdict& verdict) {
  const auto readable = [](const data::Dataset& pictures) {
    return pictures.size() - static_cast<std::int64_t>(pictures.bad_count());
  };
  const auto note = [&](const char* which, const std::string& clause) {
    if (!clause.empty()) add_clause(verdict.remark, str(which, " pictures: ", clause));
  };
  verdict.train_pictures = readable(train);
  verdict.test_pictures = readable(test);
  const char* late = "are left out, or grey squares where that was found late";
  note("training", unreadable(train, judging.probe ? late : "are left out"));
  note("test", unreadable(test));
}

}  // namespace

TrainedNetwork load_trained(Context& ctx, const RunFolder& folder, const Options& options,
                            const data::PictureShape& pictures, std::optional<std::int64_t> step) {
  const Checkpoint checkpoint = folder.checkpoint(step);
  folder.recipe_changes(checkpoint, options);  // refuses what decides the results
  check_finite(checkpoint);
  TrainedNetwork trained{build_network(ctx, options, pictures), checkpoint.metadata_number("step")};
  read_parameters(ctx, checkpoint, Momenta::skip, trained.network.net->parameters());
  return trained;
}

Verdict judge(Context& ctx, const RunFolder& folder, const Options& options,
              JudgeOptions& judging) {
  const std::string source = source_of(options, judging.data);
  // The test pictures first: the others may be many, and in vain where there are no test pictures.
  const auto test = open_data(options, data::Split::test, source);
  const auto train = open_labelled(options, judging.labels, source);
  require_labels(*train, judging, source);
  require_labels(*test, judging, source);
  if (judging.probe) {
    validate(*judging.probe, options, *train, *test);
    judging.probe = resolved(*judging.probe, options, *train);
    judging.measures.clear();
  }
  if (!judging.seed) judging.seed = options.seed;
  if (judging.clusters == 0) judging.clusters = train->classes();
  if (trains(judging, ProbeHead::network)) judging.raw = false;
  if (!judging.probe) require_answers(judging, *train, *test);

  Verdict verdict;
  verdict.taps = judging.taps;
  verdict.remark = leave_out(options, *train, *test, judging);
  verdict.data = data::printable(source);
  verdict.labels = judging.labels;
  auto [network, step] = load_trained(ctx, folder, options, train->shape(), judging.step);
  verdict.step = step;
  if (!judging.probe) require_memory(ctx, judging, network, *train, *test);
  verdict.trained =
      judge_network(ctx, options, judging, network, *train, *test, "the trained network");
  network = make_network(ctx, options, train->shape());  // as it was before training
  // That takes no labels, so it may look at all pictures.
  const auto all = judging.labels > 0 ? open_labelled(options, 0, source) : nullptr;
  calibrate(ctx, options, network, all ? *all : *train);
  verdict.untrained =
      judge_network(ctx, options, judging, network, *train, *test, "the untrained network");
  if (judging.raw) verdict.raw = judge_pixels(ctx, options, judging, *train, *test);
  count_pictures(judging, *train, *test, verdict);
  if (judging.labels == 0) judging.labels = verdict.train_pictures;
  return verdict;
}

}  // namespace nat::tools
