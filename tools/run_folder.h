// The folder of a run:
//
//   config.toml                       every option
//   manifest.jsonl bad_images.jsonl   which picture each id means
//   metrics.csv metrics.jsonl         one row an epoch: the same bytes however often resumed
//   timing.csv timing.jsonl           one row an epoch: wall-clock seconds
//   train.log                         what stderr told of the training, for people
//   events.out.tfevents.nat           both once more for TensorBoard, one event an epoch
//   checkpoints/step-*.safetensors    newest last
//   library_plans.txt                 CUDA: which implementation of a library computes what
//   judgements.jsonl                  one line a nat eval
//   results.json report.html figures/ written by nat eval all and nat report
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/checkpoint.h"
#include "tools/folder_lock.h"
#include "tools/options.h"

namespace nat::tools {

class RunFolder {
 public:
  // Throws now what create would throw later, after the data was read.
  static void require_creatable(const std::filesystem::path& path);
  // Makes the folder and owns it; it holds a run from write_config on. Error(usage) when it already
  // does, Error(io) when it cannot be made.
  static RunFolder create(const Options& options);
  // The same in the place of another run, whose files go; files that nat did not write stay.
  // Error(checkpoint) when another process owns it.
  static RunFolder replace(const Options& options);
  // Error(checkpoint) when there is no run.
  static RunFolder open(const std::filesystem::path& path);
  // The same, and owns the folder. Error(checkpoint) when another process does.
  static RunFolder open_owned(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path file(const char* name) const { return path_ / name; }
  std::filesystem::path checkpoints() const { return path_ / "checkpoints"; }
  void make_checkpoints() const;  // Error(io) where the folder cannot be made
  // Is this one of the files that nat writes here, a temporary name of one, or would it lie among
  // its checkpoints or figures?
  bool has_own(const std::filesystem::path& file) const;
  // From config.toml. Error(checkpoint) when it was damaged or edited into what cannot be.
  Options options() const;
  void write_config(const Options& options) const;
  // The one of that step: Error(usage) where it is not kept, with those that are. Without a step
  // the newest that can be read, and stderr says why newer ones cannot: Error(checkpoint) where
  // there is none, with the reason.
  Checkpoint checkpoint(std::optional<std::int64_t> step = {}) const;
  // In what `options` differ from those that the checkpoint was trained with. Error(checkpoint)
  // where that decides the results: they would be of neither recipe.
  std::vector<Change> recipe_changes(const Checkpoint& checkpoint, const Options& options) const;

 private:
  explicit RunFolder(std::filesystem::path path) : path_(std::move(path)) {}
  void own();  // and clears away what killed processes have left half written

  std::filesystem::path path_;
  std::shared_ptr<const FolderLock> lock_;  // until the last copy is gone, or the process
};

// The path as a shell takes it for one word.
std::string shell_quoted(const std::string& path);

}  // namespace nat::tools
