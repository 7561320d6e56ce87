// The one table of options: command line flags, config.toml and the printed header all come from
// it.
#pragma once

#include <CLI/CLI.hpp>
#include <charconv>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <system_error>
#include <type_traits>
#include <vector>

#include "data/open.h"
#include "kernels/check.h"
#include "nat/recipe.h"

namespace nat::tools {

// What a run is made of: the recipe, and where and how it runs.
struct Options : Recipe {
  std::string data;
  std::string out = "runs/nat";
  std::int64_t limit = -1;
  std::string device = "auto";
  std::string dtype = "auto";
  int threads = 0;
  int loaders = 0;
  std::int64_t checkpoint_every_steps = 0;
  int keep_checkpoints = 3;
  std::int64_t knn_every = 0;
  double max_bad_percent = 5;

  // No option: the config.toml of the run that these are of; empty where they are of none.
  std::string read_from;
};

inline const std::string kDataHelp = "training pictures: " + data::spec_form();

// Calls visit(name, member, group, description) for every option, in the order of config.toml and
// of the printed header. The group is where the help of a command lists it.
template <class OptionsType, class Visit>
void visit_options(OptionsType& o, Visit&& visit) {
  visit("preset", o.preset, "Run", "recipe: official, paper, cifar or fmnist");
  visit("data", o.data, "Data", kDataHelp.c_str());
  visit("out", o.out, "Run", "folder of the run");
  visit("limit", o.limit, "Data",
        "use this many pictures, evenly spaced over the classes; -1 = all");
  visit("seed", o.seed, "Run", "seed of every random number");
  visit("size", o.size, "Data", "side of the network's input in pixels");
  visit("stored-size", o.stored_size, "Data", "side of the stored picture before cropping");
  visit("front", o.front, "Network", "front end: sobel, high_pass or clean");
  visit("crop", o.crop, "Data", "random crop: area, shift or none");
  visit("min-area", o.min_area, "Data", "smallest share of the picture that an area crop keeps");
  visit("flip", o.flip, "Data", "mirror half of the pictures");
  visit("network", o.network, "Network", "convnet or alexnet");
  visit("width", o.width, "Network", "multiplies the channels of the convnet");
  visit("dimension", o.dimension, "Network", "dimension d of features and targets");
  visit("init", o.init, "Network", "initial values: he or torch7");
  visit("targets", o.targets, "Method", "sphere (uniform on it) or basis (one-hot vectors)");
  visit("batch", o.batch, "Optimiser", "pictures a step");
  visit("epochs", o.epochs, "Optimiser", "passes over the data");
  visit("period", o.period, "Method",
        "epochs between re-assignments, counted from epoch 0; 0 = never");
  visit("assign-every-steps", o.assign_every_steps, "Method",
        "steps between re-assignments, instead of --period; 0 = by --period");
  visit("assign-pool", o.assign_pool, "Method",
        "pictures that exchange targets at once, a multiple of --batch; 0 = one batch");
  visit("solver", o.solver, "Method",
        "of re-assignments: exact, auction, greedy, sinkhorn or none");
  visit("loss", o.loss, "Method", "mean or sum over the batch");
  visit("lr", o.lr, "Optimiser", "learning rate");
  visit("schedule", o.schedule, "Optimiser",
        "learning rate over time: constant, cosine or inverse");
  visit("gamma", o.gamma, "Optimiser", "decay per step of the inverse schedule");
  visit("t0", o.t0, "Optimiser", "steps before the inverse schedule decays");
  visit("momentum", o.momentum, "Optimiser", "momentum of SGD");
  visit("weight-decay", o.weight_decay, "Optimiser", "weight decay of SGD");
  visit("device", o.device, "Run", "auto, cpu or cuda");
  visit("dtype", o.dtype, "Run", "activations: f32, tf32 (CUDA only), bf16 or auto");
  visit("threads", o.threads, "Run", "compute threads; 0 = one a core");
  visit("loaders", o.loaders, "Run",
        "threads that prepare batches; 0 = automatic: 1 on the CPU, up to 8 on CUDA");
  visit("checkpoint-every-steps", o.checkpoint_every_steps, "Run",
        "save every N steps as well as after every epoch; 0 = epochs only");
  visit("keep-checkpoints", o.keep_checkpoints, "Run", "how many checkpoints stay on disk");
  visit("knn-every", o.knn_every, "Run",
        "judge features by kNN every N epochs while training; 0 = never");
  visit("max-bad-percent", o.max_bad_percent, "Data",
        "stop when more pictures than this are unreadable");
}

// Brings a value to the form that the parser of the command line cannot misread: it would take 0x10
// for 16, 010 for 8, -1 for the largest of the unsigned numbers and 7 for true. Returns what is
// wrong with the text, empty when nothing is.
template <class T>
std::string normalize_value(std::string& text) {
  if constexpr (std::is_same_v<T, bool>) {
    const bool is_yes = text == "true" || text == "yes" || text == "on" || text == "1";
    const bool is_no = text == "false" || text == "no" || text == "off" || text == "0";
    return is_yes || is_no ? "" : str("'", text, "' is neither true nor false");
  } else if constexpr (std::is_arithmetic_v<T>) {
    constexpr bool kWhole = std::is_integral_v<T>;
    T value{};
    const char* last = text.data() + text.size();
    const auto [end, error] = std::from_chars(text.data(), last, value);
    if (error == std::errc::result_out_of_range) {
      return str("'", text, kWhole ? "' is too large" : "' does not fit a double");
    }
    if (error != std::errc{} || end != last) {
      return str("'", text, "' is not a ", kWhole ? "whole " : "", "number",
                 std::is_unsigned_v<T> ? " from 0 on" : "");
    }
    if constexpr (kWhole) text = std::to_string(value);
  }
  return "";
}

// Adds an option whose help shows the value of `member` as its default.
template <class T>
CLI::Option* add_value(CLI::App& command, const std::string& name, T& member,
                       const std::string& description) {
  CLI::Option* option = command.add_option(name, member, description)->capture_default_str();
  if constexpr (std::is_arithmetic_v<T>) {
    option->transform(CLI::Validator(normalize_value<T>, ""));
  }
  return option;
}

// The same for a value that may be missing, which `description` says more about.
template <class T>
CLI::Option* add_value(CLI::App& command, const std::string& name, std::optional<T>& member,
                       const std::string& description) {
  return command.add_option(name, member, description)
      ->transform(CLI::Validator(normalize_value<T>, ""));
}

// Adds --step: which checkpoint of a run a command looks at.
void add_step(CLI::App& command, std::optional<std::int64_t>& step);

// Adds every option to a command, and --config; defaults are those of `options`.
void add_options(CLI::App& command, Options& options);

// Presets and config files set defaults, so they are looked for before the flags are parsed:
// fmnist < preset of FILE < --preset < other lines of --config FILE < flags.
Options defaults_from(int argc, const char* const* argv);

// What becomes of the values that a line 'preset' stands for.
enum class PresetLine { taken, passed_over };

void read_config(const std::filesystem::path& file, Options& options,
                 PresetLine preset_line = PresetLine::taken);  // Error(usage)
// `where` names the text in messages.
void parse_config(const std::string& text, const std::string& where, Options& options,
                  PresetLine preset_line = PresetLine::taken);
std::string to_toml(const Options& options);

// "name = value" before and after, of the options that differ; where the run lies does not count.
struct Change {
  std::string name, before, after;
};
std::vector<Change> changes(const Options& before, const Options& after);

// May a run go on with another value? Yes where the recipe stays what it is or only ends elsewhere.
// dtype changes the numbers from there on (and so does device where dtype is auto), device and
// threads the last digits of a step; limit may only change where the same pictures are left, which
// the fingerprint of the data sees to.
bool may_change(const std::string& name);

inline constexpr std::int64_t kMostEpochs = 1000000;
inline constexpr std::uint64_t kLargestSeed = std::numeric_limits<std::int64_t>::max();  // of TOML

// Checks values that only make sense together or within bounds. Error(usage).
void validate(const Options& options);

// Error(usage) unless low <= value <= high; NaN is outside.
template <class T>
void require_range(const char* option, T value, T low, T high) {
  NAT_CHECK(value >= low && value <= high, ErrorKind::usage, "--", option, " ", value,
            " is outside ", low, " .. ", high);
}

// Error(usage) with a suggestion unless the value is one of the choices.
void require_choice(const char* option, const std::string& value,
                    const std::vector<std::string>& choices);

// Error(usage) where a name of the list is there twice.
void require_once(const char* option, const std::vector<std::string>& names);

// Error(usage) unless 0 <= threads <= 4096; 0 = one a core.
void require_threads(int threads);

// "--epoch": did you mean --epochs? Empty when nothing is near.
std::string suggestion(const std::string& unknown, const std::vector<std::string>& known);

}  // namespace nat::tools
