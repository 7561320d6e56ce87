// nat demo: the main job from start to end on Fashion-MNIST: train without labels, judge, report.
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "data/files.h"
#include "tools/commands.h"
#include "tools/demo.h"
#include "tools/output_file.h"
#include "tools/results.h"
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

// The demo's own folder is made anew, once all that the new run needs is there. A run of other
// pictures or another recipe is somebody's work, whatever its name.
bool is_made_anew(const Options& options) {
  if (options.out != kDemoRun || !std::filesystem::exists(options.out + "/config.toml"))
    return false;
  const Options there = RunFolder::open(options.out).options();
  NAT_CHECK(there.preset == options.preset && there.data == data::absolute_spec(options.data),
            ErrorKind::usage, "demo: ", options.out, " holds a run of ", there.data,
            " with the preset ", there.preset,
            ", which is not this demo's; choose another folder with --out, or remove that one");
  return true;
}

Outcome train(const Options& options, Training::Start start) {
  Training training(options, start);
  std::fprintf(stderr, "%s", training.summary().c_str());
  return training.run({});
}

// Judges a finished demo run and writes its report.
void conclude(const Options& options, bool as_json, std::chrono::steady_clock::time_point began) {
  std::fprintf(stderr, "judging the features ...\n");
  const RunFolder folder = RunFolder::open(options.out);
  const Verdict verdict = judge_all(folder, folder.options());
  const std::filesystem::path page = write_report(folder, folder.options()).page;
  if (as_json) {
    std::printf("%s\n", to_json(verdict).dump(2).c_str());
    return;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  std::printf("%s\n%.0f seconds; results in %s/results.json, report in %s\n",
              to_table(verdict).c_str(), took.count(), options.out.c_str(), page.c_str());
}

int run_demo(const Options& options, bool as_json) {
  const auto began = std::chrono::steady_clock::now();
  require_demo_data(options.data);
  validate(options);
  require_outside("--out", options.out, options.data);
  const auto start = is_made_anew(options) ? Training::Start::anew : Training::Start::fresh;
  require_judgeable("demo", options);
  const Outcome outcome = train(options, start);
  if (outcome == Outcome::done) {
    conclude(options, as_json, began);
  } else if (as_json) {
    const nlohmann::json json = {{"run", data::printable(options.out)},
                                 {"exit_code", static_cast<int>(outcome)}};
    std::printf("%s\n", json.dump().c_str());
  } else {
    std::printf("stopped, saved; continue with 'nat resume %s'\n",
                shell_quoted(options.out).c_str());
  }
  return static_cast<int>(outcome);
}

}  // namespace

Command demo_command(CLI::App& nat) {
  CLI::App* app =
      nat.add_subcommand("demo", "train on Fashion-MNIST, judge the features, write a report");
  const auto options = std::make_shared<Options>();
  const auto as_json = std::make_shared<bool>(false);
  options->data = kDemoData;
  options->out = kDemoRun;
  add_value(*app, "--data", options->data, "other pictures with labels and a test split");
  add_value(*app, "--out", options->out,
            "folder of the run; the default one is made anew each time, but for runs of others");
  add_value(*app, "--epochs", options->epochs, "passes over the data");
  add_value(*app, "--limit", options->limit, "use this many training pictures");
  add_value(*app, "--batch", options->batch, "pictures a step");
  add_value(*app, "--max-bad-percent", options->max_bad_percent,
            "stop when more pictures than this are unreadable");
  add_value(*app, "--seed", options->seed, "seed of every random number");
  add_value(*app, "--threads", options->threads, "compute threads; 0 = one a core");
  add_value(*app, "--device", options->device, "auto, cpu or cuda");
  add_value(*app, "--dtype", options->dtype, "f32, tf32 (CUDA only), bf16 or auto");
  app->add_flag("--json", *as_json, "print the result as JSON");
  return {app, [=] { return run_demo(*options, *as_json); }};
}

}  // namespace nat::tools
