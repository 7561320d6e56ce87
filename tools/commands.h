// The subcommands of nat, one file each. A command registers its options and returns what to run
// once the command line is parsed; run() returns the exit code.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "tools/options.h"

namespace nat::tools {

struct Command {
  CLI::App* app;
  std::function<int()> run;
};

// `defaults` already hold the preset and the config file.
Command train_command(CLI::App& nat, const Options& defaults);
Command resume_command(CLI::App& nat);
Command sweep_command(CLI::App& nat, const Options& defaults);
Command eval_command(CLI::App& nat);
Command embed_command(CLI::App& nat);
Command export_command(CLI::App& nat);
Command pack_command(CLI::App& nat);
Command inspect_command(CLI::App& nat, const Options& defaults);
Command neighbors_command(CLI::App& nat);
Command report_command(CLI::App& nat);
Command demo_command(CLI::App& nat);
Command lap_command(CLI::App& nat);
Command doctor_command(CLI::App& nat);
Command bench_command(CLI::App& nat);

}  // namespace nat::tools
