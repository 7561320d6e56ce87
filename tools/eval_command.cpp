// nat eval knn|linear|mlp|layers|finetune|retrieval|cluster|all: judge the features of a run.
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <optional>

#include "engine/durable_file.h"
#include "tools/commands.h"
#include "tools/judge.h"
#include "tools/judgements.h"
#include "tools/one_time_options.h"
#include "tools/session.h"

namespace nat::tools {

namespace {

// "conv1", "conv2", ...
std::vector<std::string> every_convolution(const Options& options) {
  const NetworkTable table = architecture_table({.name = options.network, .width = options.width});
  std::vector<std::string> taps;
  for (std::size_t i = 1; i <= table.convolutions.size(); ++i) {
    taps.push_back("conv" + std::to_string(i));
  }
  return taps;
}

struct Asked {
  std::string how, run, data;
  std::vector<std::string> taps;  // empty: by `how`
  std::optional<int> k;
  double temperature = JudgeOptions().temperature;
  int clusters = JudgeOptions().clusters;
  ProbeOptions probe;
  std::int64_t labels = 0;
  std::optional<std::uint64_t> seed;
  std::optional<std::int64_t> step;
  int threads = 0;
  OneTimeOptions where;
  bool json = false;
};

// Of the judges that train classifiers.
std::optional<ProbeHead> head_of(const std::string& how) {
  if (how == "mlp") return ProbeHead::mlp;
  if (how == "layers") return ProbeHead::linear;
  if (how == "finetune") return ProbeHead::network;
  return {};
}

std::vector<std::string> places(ProbeHead head, const Options& options) {
  switch (head) {
    case ProbeHead::mlp:
      return {"conv"};
    case ProbeHead::linear:
      return every_convolution(options);
    case ProbeHead::network:
      break;
  }
  return {"network"};
}

JudgeOptions judging(const Asked& asked, const Options& options) {
  JudgeOptions judging;
  judging.data = asked.data;
  judging.k = asked.k;
  judging.temperature = asked.temperature;
  judging.clusters = asked.clusters;
  judging.labels = asked.labels;
  judging.seed = asked.seed;
  judging.step = asked.step;
  if (const auto head = head_of(asked.how)) {
    judging.probe = asked.probe;
    judging.probe->head = *head;
    judging.taps = places(*head, options);
  } else if (asked.how == "linear") {
    judging.measures = {"linear", "linear_1k"};
  } else if (asked.how != "all") {
    judging.measures = {asked.how};
  }
  if (!asked.taps.empty()) judging.taps = asked.taps;
  return judging;
}

const std::vector<std::string> kTraining = {"mlp", "layers", "finetune"};

// Options that change nothing for some judges, by the judges that take them.
const std::map<std::string, std::vector<std::string>> kTakenBy = {
    {"--layers", {"knn", "linear", "mlp", "layers", "retrieval", "cluster"}},
    {"--k", {"knn"}},
    {"--temperature", {"knn"}},
    {"--clusters", {"cluster"}},
    {"--labels", {"knn", "linear", "all", "mlp", "layers", "finetune"}},
    {"--epochs", kTraining},
    {"--lr", kTraining},
    {"--schedule", kTraining},
    {"--loss", kTraining},
    {"--weight-decay", kTraining},
    {"--views", kTraining},
    {"--seed", {"mlp", "layers", "finetune", "cluster"}},
};

bool takes(const std::string& how, const std::string& option) {
  const std::vector<std::string>& judges = kTakenBy.at(option);
  return std::find(judges.begin(), judges.end(), how) != judges.end();
}

void refuse_idle_options(const CLI::App& app, const std::string& how) {
  for (const auto& [option, judges] : kTakenBy) {
    NAT_CHECK(takes(how, option) || app.count(option) == 0, ErrorKind::usage, option, ": eval ",
              how, " does not take it; leave it out");
  }
}

// Those of the options above that decided what this judge found.
nlohmann::ordered_json taken_options(const std::string& how, const JudgeOptions& judged) {
  const ProbeOptions probe = judged.probe.value_or(ProbeOptions());
  const std::vector<std::pair<std::string, nlohmann::ordered_json>> values = {
      {"layers", judged.taps},
      {"k", judged.k.value_or(0)},
      {"temperature", judged.temperature},
      {"clusters", judged.clusters},
      {"labels", judged.labels},
      {"epochs", probe.epochs},
      {"lr", probe.lr},
      {"schedule", probe.schedule},
      {"loss", probe.loss},
      {"weight-decay", probe.weight_decay},
      {"views", probe.views},
      {"seed", judged.seed.value_or(0)}};
  nlohmann::ordered_json taken = nlohmann::ordered_json::object();
  for (const auto& [name, value] : values) {
    if (takes(how, "--" + name)) taken[name] = value;
  }
  if (judged.step) taken["step"] = *judged.step;
  return taken;
}

// Whether the result can be kept. Others than `all`, whose result is a file, print it all the same.
bool require_place(const RunFolder& folder, const std::string& how) {
  if (how == "all") require_writable(folder.file("results.json"));
  try {
    require_keepable(folder);
    return true;
  } catch (const Error& error) {
    if (how == "all") throw;
    std::fprintf(stderr, "the result will be printed but not kept: %s\n", error.what());
    return false;
  }
}

// One cluster holds all pictures, whatever the features: its figures would say nothing of them.
void require_clusters(int clusters) {
  require_range("clusters", clusters, 0, 1 << 20);
  NAT_CHECK(
      clusters != 1, ErrorKind::usage,
      "--clusters 1: all pictures would be in it, whatever the features; give 2 or more, or 0 "
      "for one a class");
}

int evaluate(const Asked& asked) {
  const RunFolder folder = RunFolder::open(asked.run);
  Options options = asked.where.instead_of(folder.options());
  require_threads(asked.threads);
  require_once("layers", asked.taps);
  require_range("k", asked.k.value_or(1), 1, 1 << 20);
  require_range("temperature", asked.temperature, 0.0, 1000.0);
  require_clusters(asked.clusters);
  require_range<std::uint64_t>("seed", asked.seed.value_or(0), 0, kLargestSeed);
  options.threads = asked.threads;
  const bool is_kept = require_place(folder, asked.how);
  const auto ctx = make_context(options);
  JudgeOptions how = judging(asked, options);
  const Verdict verdict = judge(*ctx, folder, options, how);
  if (!verdict.remark.empty()) std::fprintf(stderr, "%s\n", verdict.remark.c_str());
  std::fprintf(stderr, "judged the network of step %lld by %lld training and %lld test pictures\n",
               static_cast<long long>(verdict.step), static_cast<long long>(verdict.train_pictures),
               static_cast<long long>(verdict.test_pictures));
  const std::string json = to_json(verdict).dump(2) + "\n";
  std::fputs(asked.json ? json.c_str() : to_table(verdict).c_str(), stdout);
  if (asked.how == "all") write_durably(folder.file("results.json"), json);
  if (is_kept) keep(folder, {asked.how, taken_options(asked.how, how), verdict});
  return 0;
}

}  // namespace

Command eval_command(CLI::App& nat) {
  CLI::App* app = nat.add_subcommand(
      "eval",
      "judge features beside the untrained network and raw pixels: knn, linear, mlp, layers, "
      "finetune, retrieval, cluster or all; kept in RUN/judgements.jsonl for the report");
  const auto asked = std::make_shared<Asked>();
  app->add_option(
         "how", asked->how,
         "knn; linear (all labels and 1,000 labels); mlp (the judge of the paper: a fresh "
         "MLP, trained by SGD on random crops); layers (linear, trained likewise at every "
         "convolution); finetune (the whole network, trained likewise from these convolutions on, "
         "beside from scratch); retrieval (recall and mAP); cluster (k-means against the classes); "
         "all (knn and linear, which go to RUN/results.json)")
      ->required()
      ->check(CLI::IsMember(
          {"knn", "linear", "mlp", "layers", "finetune", "retrieval", "cluster", "all"}));
  app->add_option("run", asked->run, "folder of the run")->required();
  app->add_option("--data", asked->data, "labelled pictures, if not those of the run");
  app->add_option(
         "--layers", asked->taps,
         "all but finetune and all: where to take features (conv, fc, embedding, conv1, ...); if "
         "not given: mlp conv, layers every convolution, others conv,fc,embedding")
      ->delimiter(',')
      ->allow_extra_args(false);
  add_value(*app, "--k", asked->k,
            "knn: neighbours; if not given 20, or all training pictures where they are fewer");
  add_value(*app, "--temperature", asked->temperature,
            "knn: weighs the votes of neighbours by exp(cosine / temperature), often 0.07; 0 = all "
            "alike");
  add_value(*app, "--clusters", asked->clusters, "cluster: how many, 2 or more; 0 = one a class");
  add_value(*app, "--labels", asked->labels,
            "knn, linear, all, mlp, layers, finetune: training pictures whose labels are used, "
            "spaced evenly over the classes; 0 = all there are");
  add_value(
      *app, "--epochs", asked->probe.epochs,
      "mlp, layers, finetune: passes over the labelled pictures; 0 = 20, or more where that is "
      "less than 600 steps");
  add_value(*app, "--lr", asked->probe.lr,
            "mlp, layers, finetune: learning rate; 0 = by the kind of probe and loss");
  add_value(*app, "--schedule", asked->probe.schedule,
            "mlp, layers, finetune: cosine, or official: constant for 20 epochs, then decaying");
  add_value(*app, "--loss", asked->probe.loss,
            "mlp, layers, finetune: softmax, or square: that of NAT, with the class as the target; "
            "auto = softmax, and logistic where pictures have several labels");
  add_value(*app, "--weight-decay", asked->probe.weight_decay,
            "mlp, layers, finetune: weight decay a step");
  add_value(*app, "--views", asked->probe.views,
            "mlp, layers, finetune: views of a test picture whose outputs are added up: 1, 2 "
            "(mirrored) or 10 (corners, of runs with --crop shift)");
  add_value(*app, "--seed", asked->seed,
            "mlp, layers, finetune, cluster: seed of what the judge draws (initial values, order, "
            "crops, first centres); if not given that of the run, which the untrained network has "
            "in any case");
  add_step(*app, asked->step);
  add_value(*app, "--threads", asked->threads, "compute threads; 0 = one a core");
  asked->where.add_to(*app, kElsewhere);
  app->add_flag("--json", asked->json, "print the result as JSON");
  return {app, [app, asked] {
            refuse_idle_options(*app, asked->how);
            return evaluate(*asked);
          }};
}

}  // namespace nat::tools
