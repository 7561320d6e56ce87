#include "tools/run_folder.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <system_error>
#include <utility>

#include "data/files.h"
#include "engine/durable_file.h"

namespace nat::tools {

namespace fs = std::filesystem;

namespace {

// What makes a folder a run comes last.
constexpr std::array<std::string_view, 13> kFiles = {
    "results.json",   "judgements.jsonl", "report.html", "events.out.tfevents.nat",
    "timing.csv",     "timing.jsonl",     "metrics.csv", "metrics.jsonl",
    "manifest.jsonl", "bad_images.jsonl", "train.log",   "library_plans.txt",
    "config.toml"};

bool is_figure(const fs::path& file) {
  const std::string name = file.filename().string();
  if (name == "filters.png" || name == "results.svg") return true;
  constexpr std::string_view kCurve = "curve-";
  return name.starts_with(kCurve) &&
         name.find_first_not_of("0123456789", kCurve.size()) == name.size() - 4 &&
         name.ends_with(".svg");
}

void remove_file(const fs::path& file) {
  std::error_code error;
  fs::remove(file, error);
  if (error) throw_io_error(file, "remove", error.value());
}

void remove_figures(const fs::path& figures) {
  std::vector<fs::path> found;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(figures, ignored)) {
    if (is_figure(entry.path())) found.push_back(entry.path());
  }
  for (const fs::path& file : found) remove_file(file);
  fs::remove(figures, ignored);  // as long as nothing else is in it
}

bool is_file_of_run(std::string_view name) {
  return std::find(kFiles.begin(), kFiles.end(), name) != kFiles.end();
}

bool holds_run(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path / "config.toml", ignored);
}

void require_no_run(const fs::path& path) {
  NAT_CHECK(!holds_run(path), ErrorKind::usage, "--out ", path.string(),
            " already holds a run; continue it with 'nat resume ", path.string(),
            "' or choose another folder");
}

// The newest of somebody else's checkpoints would be taken for that of the new run.
void require_no_checkpoints(const RunFolder& folder) {
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder.checkpoints(), ignored)) {
    NAT_CHECK(entry.path().extension() != ".safetensors", ErrorKind::usage, "--out ",
              folder.path().string(), " has no config.toml but holds checkpoints of a run (",
              entry.path().filename().string(), "); choose another folder");
  }
}

}  // namespace

void RunFolder::require_creatable(const fs::path& path) {
  require_no_run(path);
  require_no_checkpoints(RunFolder(path));
  std::error_code ignored;
  fs::path place = fs::absolute(path, ignored);  // of the folders on the way the last there is
  while (!fs::exists(place, ignored) && place.has_relative_path()) place = place.parent_path();
  const bool is_folder = fs::is_directory(place, ignored);
  const bool can_write = is_folder && ::access(place.c_str(), W_OK | X_OK) == 0;
  const int reason = is_folder ? errno : ENOTDIR;
  NAT_CHECK(can_write, ErrorKind::io, "--out ", path.string(), ": ", std::strerror(reason),
            "; choose a folder that can be written to");
}

RunFolder RunFolder::create(const Options& options) {
  RunFolder folder(options.out);
  require_no_run(folder.path_);
  std::error_code error;
  fs::create_directories(folder.checkpoints(), error);
  NAT_CHECK(!error, ErrorKind::io, "--out ", folder.path_.string(), ": ", error.message(),
            "; choose a folder that can be written to");
  folder.own();
  require_no_run(folder.path_);  // once more, now that nobody else can make one
  require_no_checkpoints(folder);
  return folder;
}

RunFolder RunFolder::replace(const Options& options) {
  RunFolder folder = open_owned(options.out);
  remove_figures(folder.file("figures"));
  prune(folder.checkpoints(), 0);
  for (const std::string_view name : kFiles) remove_file(folder.path_ / name);
  folder.make_checkpoints();
  return folder;
}

RunFolder RunFolder::open(const fs::path& path) {
  NAT_CHECK(holds_run(path), ErrorKind::checkpoint, "run ", path.string(),
            ": there is no config.toml; give the folder that 'nat train --out' wrote");
  return RunFolder(path);
}

RunFolder RunFolder::open_owned(const fs::path& path) {
  RunFolder folder = open(path);
  folder.own();
  return folder;
}

void RunFolder::own() {
  lock_ = std::make_shared<FolderLock>(
      path_, ErrorKind::checkpoint,
      str("run ", path_.string(),
          ": another process is training it; wait for it, or stop it first"));
  remove_abandoned_in(path_, is_file_of_run);
  remove_abandoned_in(file("figures"), is_figure);
}

void RunFolder::make_checkpoints() const {
  std::error_code error;
  fs::create_directories(checkpoints(), error);
  NAT_CHECK(!error, ErrorKind::io, checkpoints().string(), ": cannot create the folder (",
            error.message(), "); make it a folder that can be written to");
}

bool RunFolder::has_own(const fs::path& file) const {
  std::error_code ignored;
  const fs::path run = fs::weakly_canonical(path_, ignored);
  const auto is_own = [&](const fs::path& folder, const std::string& name) {
    if (folder == run / "checkpoints" || folder == run / "figures") return true;
    return folder == run && (is_file_of_run(name) || is_file_of_run(target_of_temporary(name)));
  };
  // A file of the run may be a link, and a link from elsewhere may lead to one.
  const fs::path absolute = fs::absolute(file), target = fs::weakly_canonical(absolute, ignored);
  return is_own(fs::weakly_canonical(absolute.parent_path(), ignored), file.filename().string()) ||
         is_own(target.parent_path(), target.filename().string());
}

Options RunFolder::options() const {
  const std::string source = file("config.toml").string();
  const auto unusable = [&](const std::string& reason) {
    return Error(
        ErrorKind::checkpoint,
        data::printable(str(reason, "; repair the line: 'nat inspect ",
                            shell_quoted(path_.string()), "' shows it as it was, under config")));
  };
  Options options;
  try {
    read_config(source, options);
  } catch (const Error& error) {
    throw unusable(error.what());
  }
  try {
    validate(options);
  } catch (const Error& error) {
    throw unusable(str("config ", source, ": ", error.what()));
  }
  options.out = path_.string();
  options.read_from = source;
  return options;
}

namespace {

// "16, 32 and 48"; of many the last ones.
std::string in_words(const std::vector<std::int64_t>& steps) {
  constexpr std::ptrdiff_t kMost = 10;
  const std::ptrdiff_t hidden = std::max<std::ptrdiff_t>(0, std::ssize(steps) - kMost);
  std::string words = hidden > 0 ? str(hidden, " earlier ones") : "";
  for (auto step = steps.begin() + hidden; step != steps.end(); ++step) {
    words += str(words.empty() ? "" : step + 1 == steps.end() ? " and " : ", ", *step);
  }
  return words;
}

}  // namespace

Checkpoint RunFolder::checkpoint(std::optional<std::int64_t> step) const {
  if (step) {
    const std::vector<std::int64_t> kept = checkpoint_steps(checkpoints());
    NAT_CHECK(std::find(kept.begin(), kept.end(), *step) != kept.end(), ErrorKind::usage, "--step ",
              *step, ": the run ", path_.string(), " keeps no checkpoint of it",
              kept.empty() ? "" : "; choose from " + in_words(kept));
    return Checkpoint::load(checkpoint_path(checkpoints(), *step));
  }
  NewestCheckpoint newest = newest_valid(checkpoints());
  NAT_CHECK(!newest.path.empty(), ErrorKind::checkpoint, "run ", path_.string(),
            " has no usable checkpoint",
            newest.skipped.empty() ? "; train it first" : ": " + newest.skipped.front());
  // An older network must not pass for the newest.
  for (const std::string& line : newest.skipped) std::fprintf(stderr, "%s\n", line.c_str());
  if (!newest.skipped.empty()) {
    std::fprintf(stderr, "using %s\n", newest.path.filename().c_str());
  }
  return std::move(newest.checkpoint);
}

std::vector<Change> RunFolder::recipe_changes(const Checkpoint& checkpoint,
                                              const Options& options) const {
  const std::string& format = checkpoint.metadata_value("format");
  NAT_CHECK(format == "nat-1", ErrorKind::checkpoint, "run ", path_.string(),
            ": its checkpoint has the format '", data::printable(format.substr(0, 40)),
            "', not nat-1; it was written by another version of nat");
  Options then;
  try {
    parse_config(checkpoint.metadata_value("config"), "the config in the checkpoint", then);
  } catch (const Error& error) {
    throw Error(ErrorKind::checkpoint, error.what());
  }
  std::vector<Change> found = changes(then, options);
  for (const auto& [name, before, after] : found) {
    NAT_CHECK(may_change(name), ErrorKind::checkpoint, "run ", path_.string(),
              ": config.toml says ", name, " = ", after, ", the checkpoint was trained with ", name,
              " = ", before, "; put it back, or begin a new run");
  }
  return found;
}

void RunFolder::write_config(const Options& options) const {
  write_durably(file("config.toml"), to_toml(options));
}

std::string shell_quoted(const std::string& path) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+:@%,=-";
  if (!path.empty() && path.find_first_not_of(kPlain) == std::string::npos) return path;
  std::string quoted = "'";
  for (const char c : path) quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return quoted + "'";
}

}  // namespace nat::tools
