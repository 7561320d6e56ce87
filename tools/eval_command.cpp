// nat eval knn|linear|mlp|layers|all: judge the features of a run.
#include <cstdio>
#include <memory>

#include "engine/durable_file.h"
#include "tools/commands.h"
#include "tools/judge.h"
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

}  // namespace

Command eval_command(CLI::App& nat) {
  CLI::App* app = nat.add_subcommand("eval",
                                     "judge features beside the untrained network and raw pixels: "
                                     "knn, linear, mlp, layers or all");
  struct Asked {
    std::string how, run;
    JudgeOptions judging;
    ProbeOptions probe;
    int threads = 0;
    bool json = false;
  };
  const auto asked = std::make_shared<Asked>();
  app->add_option(
         "how", asked->how,
         "knn, linear (all labels and 1,000 labels), mlp (the judge of the paper: a fresh "
         "MLP trained by SGD), layers (linear, by SGD, at every convolution) or all, which "
         "is knn and linear and writes RUN/results.json")
      ->required()
      ->check(CLI::IsMember({"knn", "linear", "mlp", "layers", "all"}));
  app->add_option("run", asked->run, "folder of the run")->required();
  app->add_option("--data", asked->judging.data, "labelled pictures, if not those of the run");
  add_value(
      *app, "--layers", asked->judging.taps,
      "where to take features (conv, fc, embedding, conv1, ...); mlp: conv alone, layers: every "
      "convolution, if not given")
      ->delimiter(',')
      ->allow_extra_args(false);
  add_value(*app, "--k", asked->judging.k, "neighbours of kNN");
  add_value(*app, "--epochs", asked->probe.epochs,
            "mlp, layers: passes over the labelled pictures");
  add_value(*app, "--lr", asked->probe.lr, "mlp, layers: learning rate; 0 = by the kind of probe");
  add_value(*app, "--schedule", asked->probe.schedule,
            "mlp, layers: cosine, or official: constant for 20 epochs, then decaying");
  add_value(
      *app, "--views", asked->probe.views,
      "mlp, layers: views of a test picture that are averaged: 1, 2 (mirrored) or 10 (corners)");
  add_value(*app, "--threads", asked->threads, "compute threads; 0 = one a core");
  app->add_flag("--json", asked->json, "print the result as JSON");
  return {app, [=] {
            if (asked->how == "knn") asked->judging.measures = {"knn"};
            if (asked->how == "linear") asked->judging.measures = {"linear", "linear_1k"};
            const RunFolder folder = RunFolder::open(asked->run);
            if (asked->how == "mlp" || asked->how == "layers") {
              asked->probe.head = asked->how == "mlp" ? ProbeHead::mlp : ProbeHead::linear;
              asked->judging.probe = asked->probe;
            }
            if (asked->how == "all") require_writable(folder.file("results.json"));
            Options options = folder.options();
            options.threads = asked->threads;
            if (asked->judging.probe && app->count("--layers") == 0) {
              asked->judging.taps = asked->how == "mlp" ? std::vector<std::string>{"conv"}
                                                        : every_convolution(options);
            }
            const auto ctx = make_context(options);
            const Verdict verdict = judge(*ctx, folder, asked->judging);
            if (!verdict.remark.empty()) std::fprintf(stderr, "%s\n", verdict.remark.c_str());
            const std::string json = to_json(verdict).dump(2) + "\n";
            if (asked->how == "all") write_durably(folder.file("results.json"), json);
            std::fputs(asked->json ? json.c_str() : to_table(verdict).c_str(), stdout);
            return 0;
          }};
}

}  // namespace nat::tools
