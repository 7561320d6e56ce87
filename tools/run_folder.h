// The folder of a run:
//
//   config.toml                       every option
//   manifest.jsonl bad_images.jsonl   which picture each id means
//   metrics.csv metrics.jsonl         one row an epoch: the same bytes however often resumed
//   timing.csv timing.jsonl           one row an epoch: wall-clock seconds
//   checkpoints/step-*.safetensors    newest last
//   results.json report.html figures/ written by nat eval and nat report
#pragma once

#include <filesystem>
#include <memory>

#include "engine/checkpoint.h"
#include "tools/options.h"

namespace nat::tools {

class RunFolder {
 public:
  // Makes the folder and owns it; it holds a run from write_config on. Error(usage) when it already
  // does, Error(io) when it cannot be made.
  static RunFolder create(const Options& options);
  // Error(checkpoint) when there is no run.
  static RunFolder open(const std::filesystem::path& path);
  // The same, and owns the folder. Error(checkpoint) when another process does.
  static RunFolder open_owned(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path file(const char* name) const { return path_ / name; }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  Options options() const;  // from config.toml
  void write_config(const Options& options) const;

 private:
  class Lock;  // held until the last copy is gone, or the process

  explicit RunFolder(std::filesystem::path path) : path_(std::move(path)) {}
  void own();

  std::filesystem::path path_;
  std::shared_ptr<const Lock> lock_;
};

}  // namespace nat::tools
