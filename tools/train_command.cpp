// nat train, nat resume.
#include <cstdio>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "data/files.h"
#include "tools/commands.h"
#include "tools/one_time_options.h"
#include "tools/output_file.h"
#include "tools/training.h"

namespace nat::tools {

namespace {

struct Running {
  StopAfter stop_after;
  bool json = false;
};

void add_running(CLI::App& command, Running& running) {
  add_value(command, "--stop-after-steps", running.stop_after.steps,
            "stop after this many steps with a checkpoint and exit code 75; 0 = never");
  add_value(command, "--stop-after-seconds", running.stop_after.seconds,
            "the same after this much time, for machines with a time limit; 0 = never");
  command.add_flag("--json", running.json, "print the outcome as JSON");
}

void validate(const Running& running) {
  require_range<std::int64_t>("stop-after-steps", running.stop_after.steps, 0,
                              std::int64_t{1} << 40);
  require_range("stop-after-seconds", running.stop_after.seconds, 0.0, 1e9);
}

// A flag that changes nothing beside the others is a slip.
void refuse_idle_flags(const CLI::App& app, const Options& options) {
  struct Idle {
    const char* flag;
    bool is_idle;
    std::string beside;
  };
  const std::string schedule = "--schedule " + options.schedule;
  const Idle flags[] = {{"--gamma", options.schedule != "inverse", schedule},
                        {"--t0", options.schedule != "inverse", schedule},
                        {"--width", options.network != "convnet", "--network " + options.network},
                        {"--min-area", options.crop != "area", "--crop " + options.crop},
                        {"--period", options.assign_every_steps != 0,
                         str("--assign-every-steps ", options.assign_every_steps)}};
  for (const auto& [flag, is_idle, beside] : flags) {
    NAT_CHECK(!is_idle || app.count(flag) == 0, ErrorKind::usage, flag, ": has no effect with ",
              beside, "; leave it out");
  }
}

// Pictures of the formats that are no files of their own keep their size.
std::string true_size(const Training& training, const std::string& name) {
  const data::Catalog& catalog = training.pictures().catalog();
  const int asked = training.options().stored_size;
  const bool is_kept =
      catalog.files.empty() && (catalog.shape.width != asked || catalog.shape.height != asked);
  return name != "stored-size" || !is_kept ? ""
                                           : str(" has no effect: pictures of ", catalog.format,
                                                 " keep their size, ", sides(catalog.shape));
}

void print_header(const Training& training) {
  std::fprintf(stderr, "%s", training.summary().c_str());
  visit_options(training.options(),
                [&](const char* name, const auto& value, const char*, const char*) {
                  std::fprintf(stderr, "  %s%s\n", str(std::boolalpha, name, " = ", value).c_str(),
                               true_size(training, name).c_str());
                });
}

// What resume takes for one time; --epochs is kept.
const std::vector<std::string> kOneTime = {"data",
                                           "device",
                                           "dtype",
                                           "threads",
                                           "loaders",
                                           "checkpoint-every-steps",
                                           "keep-checkpoints",
                                           "knn-every",
                                           "max-bad-percent"};

std::map<std::string, std::string> as_text(const Options& options) {
  std::map<std::string, std::string> text;
  visit_options(options, [&](const char* name, const auto& value, const char*, const char*) {
    text[name] = str(std::boolalpha, value);
  });
  return text;
}

// Those of `names` that the run was told for one time, as a command that follows must be told them
// again: " --data ..".
std::string told_once(const Options& kept, const Options& now,
                      const std::vector<std::string>& names) {
  const auto before = as_text(kept), after = as_text(now);
  std::string flags;
  for (const std::string& name : names) {
    if (before.at(name) == after.at(name)) continue;
    flags += str(" --", name, " ", shell_quoted(after.at(name)));
  }
  return flags;
}

// Empty where no judge can look at the pictures.
std::string advice(const Training& training, const Options& kept) {
  const data::Dataset& pictures = training.pictures();
  const Options& now = training.options();
  const char* judge = pictures.labelled() ? "all" : pictures.multi_label() ? "mlp" : nullptr;
  const auto spec = data::parse_spec(now.data);
  if (judge == nullptr || !data::has_split(spec, data::Split::test)) return "";
  const std::string run = shell_quoted(now.out);
  if (now.limit >= 0 && now.data != kept.data) {  // --data would be other pictures, without limit
    return str("; judge it with 'nat eval ", judge, " ", run, told_once(kept, now, kElsewhere),
               "' once the line 'data' of ", now.out, "/config.toml is '", now.data, "'");
  }
  return str("; judge it with 'nat eval ", judge, " ", run, told_once(kept, now, {"data"}),
             told_once(kept, now, kElsewhere), "'");
}

int finish(Training& training, const Running& running) {
  const Options kept = RunFolder::open(training.options().out).options();
  const std::string next = advice(training, kept);  // now, as long as the data is surely there
  const Outcome outcome = training.run(running.stop_after);
  const std::string out = training.options().out;
  const auto rows = read_csv(out + "/metrics.csv");
  if (running.json) {
    nlohmann::json json = {{"run", data::printable(out)}, {"exit_code", static_cast<int>(outcome)}};
    if (!rows.empty()) json["last_epoch"] = rows.back();
    std::printf("%s\n", json.dump(2).c_str());
  } else if (outcome == Outcome::done) {
    std::printf("%s: trained %zu %s%s\n", out.c_str(), rows.size(),
                rows.size() == 1 ? "epoch" : "epochs", next.c_str());
  } else {
    std::printf("%s: stopped, saved; continue with 'nat resume %s%s'\n", out.c_str(),
                shell_quoted(out).c_str(), told_once(kept, training.options(), kOneTime).c_str());
  }
  return static_cast<int>(outcome);
}

}  // namespace

Command train_command(CLI::App& nat, const Options& defaults) {
  CLI::App* app = nat.add_subcommand("train", "train a network on pictures without labels");
  const auto options = std::make_shared<Options>(defaults);
  const auto running = std::make_shared<Running>();
  add_options(*app, *options);
  add_running(*app, *running);
  for (const char* option : {"--stop-after-steps", "--stop-after-seconds", "--json"}) {
    app->get_option(option)->group("Run");
  }
  return {app, [=] {
            validate(*options);
            validate(*running);
            refuse_idle_flags(*app, *options);
            require_outside("--out", options->out, options->data);
            Training training(*options, Training::Start::fresh);
            print_header(training);
            return finish(training, *running);
          }};
}

Command resume_command(CLI::App& nat) {
  CLI::App* app = nat.add_subcommand("resume", "continue a run from its newest checkpoint");
  const auto path = std::make_shared<std::string>();
  const auto running = std::make_shared<Running>();
  const auto given = std::make_shared<OneTimeOptions>();
  app->add_option("run", *path, "folder of the run")->required();
  given->add_to(*app, {"epochs"});
  given->add_to(*app, kOneTime);
  app->get_option("--epochs")
      ->description(
          "passes over the data in all; if not given those of the run, which keeps the number; a "
          "cosine schedule follows it");
  add_running(*app, *running);
  return {app, [=] {
            validate(*running);
            const Options options = given->instead_of(RunFolder::open(*path).options());
            validate(options);
            Training training(options, Training::Start::resume);
            std::fprintf(stderr, "%s", training.summary().c_str());
            if (training.is_done()) {
              std::fprintf(stderr,
                           "nothing is left to train: all %lld epochs are done; 'nat resume %s "
                           "--epochs N' goes on to N\n",
                           static_cast<long long>(options.epochs), shell_quoted(*path).c_str());
            }
            return finish(training, *running);
          }};
}

}  // namespace nat::tools
