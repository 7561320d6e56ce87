// nat train, nat resume.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "tools/commands.h"
#include "tools/training.h"

namespace nat::tools {

namespace {

struct Running {
  std::int64_t stop_after = 0;
  bool json = false;
};

void add_running(CLI::App& command, Running& running) {
  command.add_option("--stop-after-steps", running.stop_after,
                     "stop after this many steps with a checkpoint and exit code 75");
  command.add_flag("--json", running.json, "print the outcome as JSON");
}

void print_header(const Training& training) {
  std::fprintf(stderr, "%s", training.summary().c_str());
  visit_options(training.options(), [](const char* name, const auto& value, const char*) {
    std::fprintf(stderr, "  %s\n", str(std::boolalpha, name, " = ", value).c_str());
  });
}

int finish(Training& training, const Running& running) {
  const Outcome outcome = training.run(running.stop_after);
  const std::string out = training.options().out;
  const auto rows = read_csv(out + "/metrics.csv");
  if (running.json) {
    nlohmann::json json = {{"run", out}, {"exit_code", static_cast<int>(outcome)}};
    if (!rows.empty()) json["last_epoch"] = rows.back();
    std::printf("%s\n", json.dump(2).c_str());
  } else if (outcome == Outcome::done) {
    std::printf("%s: trained %lld epochs; judge it with 'nat eval all %s'\n", out.c_str(),
                static_cast<long long>(training.options().epochs), out.c_str());
  } else {
    std::printf("%s: stopped, saved; continue with 'nat resume %s'\n", out.c_str(), out.c_str());
  }
  return static_cast<int>(outcome);
}

}  // namespace

Command train_command(CLI::App& nat, const Options& defaults) {
  CLI::App* app = nat.add_subcommand("train", "train a network on pictures without labels");
  const auto options = std::make_shared<Options>(defaults);
  const auto running = std::make_shared<Running>();
  const auto config = std::make_shared<std::string>();
  add_options(*app, *options);
  app->add_option("--config", *config, "read options from a TOML file; flags override it");
  add_running(*app, *running);
  return {app, [=] {
            validate(*options);
            catch_signals();
            Training training(*options, Training::Start::fresh);
            print_header(training);
            return finish(training, *running);
          }};
}

Command resume_command(CLI::App& nat) {
  CLI::App* app = nat.add_subcommand("resume", "continue a run from its newest checkpoint");
  const auto path = std::make_shared<std::string>();
  const auto running = std::make_shared<Running>();
  const auto threads = std::make_shared<int>(-1);
  const auto loaders = std::make_shared<int>(0);
  app->add_option("run", *path, "folder of the run")->required();
  app->add_option("--threads", *threads, "compute threads, if not those of the run");
  app->add_option("--loaders", *loaders, "loader threads, if not those of the run");
  add_running(*app, *running);
  return {app, [=] {
            catch_signals();
            Options options = RunFolder::open(*path).options();
            if (*threads >= 0) options.threads = *threads;
            if (*loaders > 0) options.loaders = *loaders;
            validate(options);
            Training training(options, Training::Start::resume);
            std::fprintf(stderr, "%s", training.summary().c_str());
            return finish(training, *running);
          }};
}

}  // namespace nat::tools
