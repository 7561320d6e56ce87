#include "tools/options.h"

#include <toml++/toml.h>
#include <algorithm>
#include <fstream>
#include <limits>
#include <numeric>
#include <sstream>
#include <utility>

#include "data/files.h"
#include "engine/run_log.h"

namespace nat::tools {

void add_options(CLI::App& command, Options& options) {
  visit_options(options, [&](const char* name, auto& member, const char* group,
                             const char* description) {
    add_value(command, std::string("--") + name, member, description)->take_last()->group(group);
  });
  command
      .add_option_function<std::string>(
          "--config", [](const std::string&) {},  // defaults_from has read it
          "read options from a TOML file; flags override it")
      ->group("Run");
}

void add_step(CLI::App& command, std::optional<std::int64_t>& step) {
  add_value(command, "--step", step,
            "the network after this many steps, of which a checkpoint is kept; if not given the "
            "newest");
}

namespace {
void take_preset(const std::string& name, Options& options) {
  require_choice("preset", name, preset_names());
  static_cast<Recipe&>(options) = preset(name);
}
}  // namespace

Options defaults_from(int argc, const char* const* argv) {
  std::optional<std::string> preset_name, config;  // "" is one that was asked for
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const auto value_of = [&](const std::string& flag) -> std::optional<std::string> {
      if (word == flag && i + 1 < argc) return argv[i + 1];
      if (word.rfind(flag + "=", 0) == 0) return word.substr(flag.size() + 1);
      return {};
    };
    if (const auto value = value_of("--preset")) preset_name = value;
    if (const auto value = value_of("--config")) config = value;
  }
  Options options;
  if (preset_name) take_preset(*preset_name, options);
  if (config) {
    read_config(*config, options, preset_name ? PresetLine::passed_over : PresetLine::taken);
  }
  if (preset_name) options.preset = *preset_name;
  return options;
}

namespace {

// On one line, and not all of a long one.
std::string shown(const toml::node& node) {
  std::ostringstream text;
  node.visit([&](const auto& value) { text << value; });
  constexpr std::size_t kMost = 40;
  const std::string all = text.str();
  return data::printable(all.substr(0, kMost)) + (all.size() > kMost ? "..." : "");
}

template <class T>
constexpr const char* kind_of_value() {
  if constexpr (std::is_same_v<T, bool>) return "true or false";
  if constexpr (std::is_integral_v<T>) return "a whole number";
  return std::is_floating_point_v<T> ? "a number" : "a text in quotes";
}

template <class T>
void assign(const toml::node& node, const std::string& where, T& member) {
  constexpr bool kWhole = std::is_integral_v<T> && !std::is_same_v<T, bool>;
  const auto value = node.value_exact<std::conditional_t<kWhole, std::int64_t, T>>();
  if (value) {
    if constexpr (kWhole) {
      using Limits = std::numeric_limits<T>;
      constexpr std::int64_t kLast = std::numeric_limits<std::int64_t>::max();  // of TOML
      NAT_CHECK(std::in_range<T>(*value), ErrorKind::usage, where, " = ", *value, " is outside ",
                Limits::min(), " .. ",
                std::in_range<std::int64_t>(Limits::max()) ? Limits::max() : static_cast<T>(kLast));
    }
    member = static_cast<T>(*value);
    return;
  }
  if constexpr (std::is_floating_point_v<T>) {  // "lr = 1" is a number too
    if (const auto whole = node.value_exact<std::int64_t>()) {
      member = static_cast<T>(*whole);
      return;
    }
  }
  throw Error(ErrorKind::usage, str(where, " = ", shown(node),
                                    ": the value has the wrong type; give ", kind_of_value<T>()));
}

}  // namespace

void read_config(const std::filesystem::path& file, Options& options, PresetLine preset_line) {
  std::ifstream in(file, std::ios::binary);
  NAT_CHECK(in.is_open() && !data::is_folder(file.string()), ErrorKind::usage, "config ",
            file.string(), ": no such file, or it cannot be read; give lines like 'lr = 0.1'");
  constexpr std::streamsize kMost = 1 << 20;  // whatever else it is, it is no list of options
  std::string text(static_cast<std::size_t>(kMost) + 1, '\0');
  in.read(text.data(), kMost + 1);
  NAT_CHECK(in.gcount() <= kMost, ErrorKind::usage, "config ", file.string(), ": is longer than ",
            kMost, " bytes; give a file with lines like 'lr = 0.1'");
  text.resize(static_cast<std::size_t>(in.gcount()));
  parse_config(text, str("config ", file.string()), options, preset_line);
}

void parse_config(const std::string& text, const std::string& where, Options& options,
                  PresetLine preset_line) {
  toml::table table;
  try {
    table = toml::parse(text);
  } catch (const toml::parse_error& error) {
    throw Error(ErrorKind::usage, str(where, " line ", error.source().begin.line, ": ",
                                      data::printable(error.description())));
  }
  if (const toml::node* name = table.get("preset")) {
    if (const auto preset_name = name->value<std::string>()) {
      Options passed_over;
      take_preset(*preset_name, preset_line == PresetLine::taken ? options : passed_over);
    }
  }
  std::vector<std::string> known;
  visit_options(options, [&](const char* name, auto& member, const char*, const char*) {
    known.emplace_back(name);
    if (const toml::node* node = table.get(name)) {
      assign(*node, str(where, ", ", name), member);
    }
  });
  for (const auto& [key, value] : table) {
    const std::string name(key.str());
    NAT_CHECK(std::find(known.begin(), known.end(), name) != known.end(), ErrorKind::usage, where,
              ": unknown option '", data::printable(name), "'", suggestion(name, known));
  }
}

namespace {
std::string toml_value(const std::string& value) {
  std::ostringstream out;
  out << toml::value<std::string>(value);
  return out.str();
}
std::string toml_value(bool value) { return value ? "true" : "false"; }
// A float keeps its point, so that it reads back as a float.
std::string toml_value(double value) {
  const std::string text = shortest(value);
  return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
}
template <class T>
std::string toml_value(T value) {
  return std::to_string(value);
}
}  // namespace

std::string to_toml(const Options& options) {
  std::string text;
  visit_options(options, [&](const char* name, const auto& member, const char*, const char*) {
    text += str(name, " = ", toml_value(member), "\n");
  });
  return text;
}

std::vector<Change> changes(const Options& before, const Options& after) {
  std::vector<std::string> values;
  visit_options(before, [&](const char*, const auto& value, const char*, const char*) {
    values.push_back(toml_value(value));
  });
  std::vector<Change> changed;
  auto old_value = values.begin();
  visit_options(after, [&](const char* name, const auto& value, const char*, const char*) {
    const Change change{name, *old_value++, toml_value(value)};
    if (change.before != change.after && change.name != "out") changed.push_back(change);
  });
  return changed;
}

bool may_change(const std::string& name) {
  static const std::vector<std::string> names = {
      "preset",           "data",      "limit",
      "epochs",           "device",    "dtype",
      "threads",          "loaders",   "checkpoint-every-steps",
      "keep-checkpoints", "knn-every", "max-bad-percent"};
  return std::find(names.begin(), names.end(), name) != names.end();
}

void require_choice(const char* option, const std::string& value,
                    const std::vector<std::string>& choices) {
  std::string list;
  for (const std::string& choice : choices) list += (list.empty() ? "" : ", ") + choice;
  NAT_CHECK(std::find(choices.begin(), choices.end(), value) != choices.end(), ErrorKind::usage,
            "--", option, " '", value, "' does not exist; choose from ", list,
            suggestion(value, choices));
}

void require_once(const char* option, const std::vector<std::string>& names) {
  for (auto name = names.begin(); name != names.end(); ++name) {
    NAT_CHECK(std::find(names.begin(), name, *name) == name, ErrorKind::usage, "--", option, ": ",
              *name, " is named twice; name each once");
  }
}

void require_threads(int threads) { require_range("threads", threads, 0, 4096); }

namespace {
// Paths are kept in config.toml and in checkpoints, which hold text.
void require_text(const char* option, const std::string& path) {
  NAT_CHECK(data::printable(path) == path, ErrorKind::usage, "--", option, " ",
            data::printable(path),
            ": only UTF-8 without control characters can be kept in a run; rename it");
}
}  // namespace

void validate(const Options& options) {
  NAT_CHECK(!options.out.empty(), ErrorKind::usage, "--out is empty; give the folder of the run");
  require_choice("preset", options.preset, preset_names());
  require_text("out", options.out);
  require_text("data", options.data);
  require_choice("front", options.front, {"sobel", "high_pass", "clean"});
  require_choice("crop", options.crop, {"area", "shift", "none"});
  require_choice("network", options.network, {"convnet", "alexnet"});
  require_choice("init", options.init, {"he", "torch7"});
  require_choice("targets", options.targets, {"sphere", "basis"});
  require_choice("solver", options.solver, {"exact", "auction", "greedy", "sinkhorn", "none"});
  require_choice("loss", options.loss, {"mean", "sum"});
  require_choice("schedule", options.schedule, {"constant", "cosine", "inverse"});
  require_choice("device", options.device, {"auto", "cpu", "cuda"});
  require_choice("dtype", options.dtype, {"auto", "f32", "tf32", "bf16"});
  require_range("size", options.size, 8, 1024);
  require_range("stored-size", options.stored_size, options.size, 4096);
  require_range("min-area", options.min_area, 0.01, 1.0);
  require_range("width", options.width, 1, 64);
  require_range<std::int64_t>("dimension", options.dimension, 2, 65536);
  require_range<std::int64_t>("batch", options.batch, 2, 1 << 20);
  require_range<std::int64_t>("epochs", options.epochs, 1, kMostEpochs);
  require_range<std::int64_t>("period", options.period, 0, 1000000);
  require_range<std::int64_t>("assign-every-steps", options.assign_every_steps, 0,
                              std::int64_t{1} << 40);
  require_range<std::int64_t>("assign-pool", options.assign_pool, 0, 1 << 20);
  NAT_CHECK(options.assign_pool % options.batch == 0, ErrorKind::usage, "--assign-pool ",
            options.assign_pool, " is not a multiple of --batch ", options.batch,
            "; re-assignment happens before the first of several whole batches");
  require_range("lr", options.lr, 0.0, 1e6);
  require_range("momentum", options.momentum, 0.0, 0.9999);
  require_range("weight-decay", options.weight_decay, 0.0, 1.0);
  require_range("gamma", options.gamma, 0.0, 1e6);
  require_range<std::int64_t>("t0", options.t0, 0, std::int64_t{1} << 40);
  require_range<std::uint64_t>("seed", options.seed, 0, kLargestSeed);
  require_threads(options.threads);
  require_range("loaders", options.loaders, 0, 256);
  require_range("keep-checkpoints", options.keep_checkpoints, 1, 1000000);
  require_range<std::int64_t>("checkpoint-every-steps", options.checkpoint_every_steps, 0,
                              std::int64_t{1} << 40);
  require_range<std::int64_t>("knn-every", options.knn_every, 0, 1000000);
  require_range("max-bad-percent", options.max_bad_percent, 0.0, 100.0);
  NAT_CHECK(options.limit == -1 || options.limit >= 1, ErrorKind::usage, "--limit ", options.limit,
            " is not positive; leave it out to use every picture");
  NAT_CHECK(options.network != "alexnet" || options.size >= 63, ErrorKind::usage,
            "--network alexnet needs --size 63 or more (the paper's is 224), not ", options.size);
}

namespace {
// Levenshtein distance.
std::size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}
}  // namespace

std::string suggestion(const std::string& unknown, const std::vector<std::string>& known) {
  std::string best;
  std::size_t best_distance = unknown.size() / 3 + 2;
  for (const std::string& candidate : known) {
    const std::size_t distance = edit_distance(unknown, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best.empty() ? "" : "; did you mean '" + best + "'?";
}

}  // namespace nat::tools
