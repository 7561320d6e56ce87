// nat sweep: trains and judges a run for every combination of some options, and compares them.
#include <cstdio>
#include <filesystem>
#include <memory>

#include "data/files.h"
#include "tools/commands.h"
#include "tools/output_file.h"
#include "tools/results.h"
#include "tools/sweep.h"
#include "tools/training.h"

namespace nat::tools {

namespace {

// A run that is there already must be one of this sweep; where and how it was computed does not
// matter.
void require_same_recipe(const RunFolder& folder, const Options& planned) {
  const Options kept = folder.options();
  NAT_CHECK(data::name_the_same(kept.data, planned.data), ErrorKind::usage, "run ",
            folder.path().string(), " is of ", kept.data, ", not ", planned.data,
            "; give another --out");
  for (const Change& change : changes(kept, planned)) {
    NAT_CHECK(!tells_recipes_apart(change.name), ErrorKind::usage, "run ", folder.path().string(),
              " has ", change.name, " = ", change.before, ", not ", change.after,
              "; give another --out");
  }
}

bool has_run(const Options& options) {
  std::error_code ignored;
  return std::filesystem::exists(std::filesystem::path(options.out) / "config.toml", ignored);
}

Outcome train(const Options& options) {
  Training training(options, has_run(options) ? Training::Start::resume : Training::Start::fresh);
  std::fprintf(stderr, "%s", training.summary().c_str());
  return training.run({});
}

// Whether results.json is what the sweep wants: somebody may have judged a run before its end, by
// other pictures or by few labels.
bool is_judged(const Options& options) {
  const RunFolder folder = RunFolder::open(options.out);
  const std::optional<Verdict> verdict = kept_results(folder);
  const std::vector<std::int64_t> steps = checkpoint_steps(folder.checkpoints());
  return verdict && verdict->labels == 0 && data::name_the_same(verdict->data, options.data) &&
         !steps.empty() && verdict->step == steps.back() &&
         std::ssize(read_csv(folder.file("metrics.csv"))) == options.epochs;
}

// Trains and judges what is still missing.
Outcome complete(const Options& options) {
  if (has_run(options) && is_judged(options)) return Outcome::done;
  const Outcome outcome = train(options);
  if (outcome != Outcome::done) return outcome;
  std::fprintf(stderr, "judging the features ...\n");
  judge_all(RunFolder::open(options.out), options);
  return outcome;
}

std::vector<Axis> parse_axes(const std::vector<std::string>& over) {
  NAT_CHECK(!over.empty(), ErrorKind::usage,
            "sweep: give at least one --over, as in --over period=1,2,3 --over seed=1,2");
  std::vector<Axis> axes;
  std::vector<std::string> names;
  for (const std::string& text : over) {
    axes.push_back(parse_axis(text));
    names.push_back(axes.back().name);
  }
  require_once("over", names);
  return axes;
}

nlohmann::ordered_json as_json(const std::vector<Axis>& axes, const std::vector<SweepRun>& runs,
                               const std::vector<Verdict>& verdicts) {
  nlohmann::ordered_json json = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    nlohmann::ordered_json values;
    for (std::size_t k = 0; k < axes.size(); ++k) values[axes[k].name] = runs[i].values[k];
    json.push_back({{"run", data::printable(runs[i].options.out)},
                    {"options", values},
                    {"results", to_json(verdicts[i])}});
  }
  return json;
}

int run_sweep(const Options& base, const std::vector<std::string>& over, bool prints_json) {
  const std::vector<Axis> axes = parse_axes(over);
  const std::vector<SweepRun> runs = runs_of(with_absolute_data(base), axes);
  require_outside("--out", base.out, base.data);
  NAT_CHECK(!has_run(base), ErrorKind::usage, "--out ", base.out,
            " is a run itself; give a folder for several");
  for (const SweepRun& run : runs) {
    if (has_run(run.options)) {
      require_same_recipe(RunFolder::open(run.options.out), run.options);
    } else {
      RunFolder::require_creatable(run.options.out);
    }
  }
  require_judgeable("sweep", base);

  std::vector<Verdict> verdicts;
  for (const SweepRun& run : runs) {
    std::fprintf(stderr, "run %zu of %zu: %s\n", verdicts.size() + 1, runs.size(),
                 run.options.out.c_str());
    const Outcome outcome = complete(run.options);
    if (outcome != Outcome::done) {
      std::fprintf(stderr, "sweep: stopped, saved; the same command goes on\n");
      return static_cast<int>(outcome);
    }
    verdicts.push_back(kept_results(RunFolder::open(run.options.out)).value());
  }
  std::fputs(prints_json ? (as_json(axes, runs, verdicts).dump(2) + "\n").c_str()
                         : comparison(axes, runs, verdicts).c_str(),
             stdout);
  return 0;
}

}  // namespace

Command sweep_command(CLI::App& nat, const Options& defaults) {
  CLI::App* app = nat.add_subcommand(
      "sweep", "train and judge a run for every combination of some options, and compare them");
  const auto options = std::make_shared<Options>(defaults);
  if (options->out == Options().out) options->out = "runs/sweep";  // not among the files of a run
  const auto over = std::make_shared<std::vector<std::string>>();
  const auto json = std::make_shared<bool>(false);
  add_options(*app, *options);
  app->get_option("--out")->description("folder of the runs, one folder each");
  app->add_option("--over", *over,
                  "an option and its values, as in period=1,2,3; may be given several times. Runs "
                  "that differ in seed=1,2,3 alone are one row of the tables")
      ->allow_extra_args(false)
      ->group("Run");
  app->add_flag("--json", *json, "print all results as JSON")->group("Run");
  return {app, [=] { return run_sweep(*options, *over, *json); }};
}

}  // namespace nat::tools
