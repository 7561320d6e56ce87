// nat demo: the main job from start to end on Fashion-MNIST: train without labels, judge, report.
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "engine/durable_file.h"
#include "tools/commands.h"
#include "tools/demo.h"
#include "tools/judge.h"
#include "tools/run_report.h"
#include "tools/training.h"

namespace nat::tools {

namespace {

void require_demo_data(const std::string& data) {
  NAT_CHECK(
      data != kDemoData || std::filesystem::exists(data), ErrorKind::data, "demo: ", data,
      " does not exist; install it with 'apt-get install dataset-fashion-mnist', or give other "
      "pictures with --data");
}

}  // namespace

Command demo_command(CLI::App& nat) {
  CLI::App* app =
      nat.add_subcommand("demo", "train on Fashion-MNIST, judge the features, write a report");
  const auto options = std::make_shared<Options>();
  options->data = kDemoData;
  options->out = kDemoRun;
  app->add_option("--data", options->data, "other pictures with labels and a test split");
  app->add_option("--out", options->out,
                  "folder of the run; the default one is made anew each time");
  app->add_option("--epochs", options->epochs, "passes over the data");
  app->add_option("--limit", options->limit, "use this many training pictures");
  app->add_option("--seed", options->seed, "seed of every random number");
  app->add_option("--threads", options->threads, "compute threads; 0 = one a core");
  app->add_option("--dtype", options->dtype, "f32, bf16 or auto");
  return {
      app, [=] {
        const auto began = std::chrono::steady_clock::now();
        require_demo_data(options->data);
        validate(*options);
        catch_signals();
        // The demo's own folder is made anew; any other run is refused by RunFolder::create.
        if (options->out == kDemoRun && std::filesystem::exists(options->out + "/config.toml")) {
          std::filesystem::remove_all(options->out);
        }
        Training training(*options, Training::Start::fresh);
        std::fprintf(stderr, "%s", training.summary().c_str());
        const Outcome outcome = training.run(0);
        if (outcome != Outcome::done) {
          std::printf("stopped, saved; continue with 'nat resume %s'\n", options->out.c_str());
          return static_cast<int>(outcome);
        }
        std::fprintf(stderr, "judging the features ...\n");
        const RunFolder folder = RunFolder::open(options->out);
        const Verdict verdict = judge(*make_context(*options), folder, {});
        write_durably(folder.file("results.json"), to_json(verdict).dump(2) + "\n");
        const std::filesystem::path page = write_report(folder);
        const double seconds =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
        std::printf("%s\n%.0f seconds; results in %s/results.json, report in %s\n",
                    to_table(verdict).c_str(), seconds, options->out.c_str(), page.c_str());
        return 0;
      }};
}

}  // namespace nat::tools
