// nat eval knn|linear|retrieval|cluster|all: judge the features of a run.
#include <cstdio>
#include <memory>

#include "engine/durable_file.h"
#include "tools/commands.h"
#include "tools/judge.h"
#include "tools/session.h"

namespace nat::tools {

Command eval_command(CLI::App& nat) {
  CLI::App* app = nat.add_subcommand(
      "eval",
      "judge features beside the untrained network and raw pixels: knn, linear, retrieval, cluster "
      "or all");
  struct Asked {
    std::string how, run;
    JudgeOptions judging;
    int threads = 0;
    bool json = false;
  };
  const auto asked = std::make_shared<Asked>();
  app->add_option("how", asked->how,
                  "knn, linear (all labels and 1,000 labels), all (these, to RUN/results.json), "
                  "retrieval (recall and mAP) or cluster (k-means against the classes)")
      ->required()
      ->check(CLI::IsMember({"knn", "linear", "retrieval", "cluster", "all"}));
  app->add_option("run", asked->run, "folder of the run")->required();
  app->add_option("--data", asked->judging.data, "labelled pictures, if not those of the run");
  add_value(*app, "--layers", asked->judging.taps,
            "where to take features (conv, fc, embedding, conv1, ...)")
      ->delimiter(',');
  add_value(*app, "--k", asked->judging.k, "neighbours of kNN");
  add_value(*app, "--clusters", asked->judging.clusters, "clusters of cluster; 0 = one a class");
  add_value(*app, "--threads", asked->threads, "compute threads; 0 = one a core");
  app->add_flag("--json", asked->json, "print the result as JSON");
  return {app, [=] {
            if (asked->how == "knn") asked->judging.measures = {"knn"};
            if (asked->how == "linear") asked->judging.measures = {"linear", "linear_1k"};
            if (asked->how == "retrieval") asked->judging.measures = {"retrieval"};
            if (asked->how == "cluster") asked->judging.measures = {"cluster"};
            const RunFolder folder = RunFolder::open(asked->run);
            if (asked->how == "all") require_writable(folder.file("results.json"));
            Options options = folder.options();
            options.threads = asked->threads;
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
