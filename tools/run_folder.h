// The folder of a run:
//
//   config.toml                       every option
//   manifest.jsonl bad_images.jsonl   which picture each id means
//   metrics.csv metrics.jsonl         one row an epoch: the same bytes however often a run was
//   resumed timing.csv timing.jsonl           one row an epoch: wall-clock seconds
//   checkpoints/step-*.safetensors    newest last
//   results.json report.html figures/ written by nat eval and nat report
#pragma once

#include <filesystem>

#include "engine/checkpoint.h"
#include "tools/options.h"

namespace nat::tools {

class RunFolder {
 public:
  // Error(usage) when the folder already holds a run; Error(io) when it cannot be made.
  static RunFolder create(const Options& options);
  // Error(checkpoint) when there is no run.
  static RunFolder open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path file(const char* name) const { return path_ / name; }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  Options options() const;  // from config.toml

 private:
  explicit RunFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

}  // namespace nat::tools
