// Of Training: its checkpoints, and the way back from them.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <filesystem>

#include "engine/parameter_file.h"
#include "kernels/cpu_info.h"
#include "kernels/library_plans.h"
#include "tools/training.h"

namespace nat::tools {

namespace {

// CUDA: which implementation of a library computes what (kernels/library_plans.h). Kept before the
// first checkpoint, so that whoever resumes takes the same, were they timed or proposed.
constexpr const char* kPlans = "library_plans.txt";

}  // namespace

// Once more where some have come: the first judging of --knn-every brings its own.
void Training::keep_plans() {
  if (ctx_->device != Device::cuda) return;
  std::vector<LibraryPlan> plans;
  list_library_plans(*ctx_, plans);
  if (plans.size() == kept_plans_) return;
  save_library_plans(*ctx_, folder_.file(kPlans).string());
  for (const LibraryPlan& plan : plans) {
    if (kept_plans_ == 0 && plan.implementation == "plain kernel") {
      note("no library computes " + plan.problem + "; a plain kernel does, which is slow");
    }
  }
  kept_plans_ = plans.size();
}

// A damaged file costs the last bits of what follows, not the run.
void Training::take_kept_plans() {
  std::error_code ignored;
  const std::string file = folder_.file(kPlans).string();
  if (ctx_->device != Device::cuda || !std::filesystem::exists(file, ignored)) return;
  try {
    load_library_plans(*ctx_, file);
  } catch (const Error& error) {
    note(str("plans are chosen anew: ", error.what()));
  }
}

void Training::save() {
  list_new_bad_pictures();
  keep_plans();
  Checkpoint checkpoint;
  put_parameters(*ctx_, network_.net->parameters(), checkpoint);
  check_finite(checkpoint);  // the loss of the last step was that of the parameters before it
  trainer_->check_features(*ctx_);
  const std::vector<std::int32_t> permutation = targets_.permutation(*ctx_);
  checkpoint.put("nat.permutation", DType::i32, {static_cast<std::int64_t>(permutation.size())},
                 permutation.data());
  checkpoint.put("nat.epoch_sums", DType::f64, {sizeof(EpochSums) / sizeof(double)}, &sums_);
  checkpoint.put("nat.previous_loss", DType::f64, {1}, &previous_loss_);
  metrics_.flush();
  timing_.flush();
  checkpoint.metadata = {{"format", "nat-1"},
                         {"step", std::to_string(step_)},
                         {"epoch", std::to_string(epoch_)},
                         {"step_in_epoch", std::to_string(step_in_epoch_)},
                         {"architecture", network_.architecture},
                         {"config", to_toml(options_)},
                         {"metrics", to_string(metrics_.sizes())},
                         {"math", name(ctx_->math)},
                         {"threads", std::to_string(cpu_info().threads)}};
  checkpoint.save(checkpoint_path(folder_.checkpoints(), step_));
  prune(folder_.checkpoints(), options_.keep_checkpoints, step_);
}

void Training::restore() {
  take_kept_plans();
  const NewestCheckpoint newest = newest_valid(folder_.checkpoints());
  if (newest.path.empty()) {
    NAT_CHECK(newest.skipped.empty(), ErrorKind::checkpoint, "run ", folder_.path().string(),
              " has no usable checkpoint: ", newest.skipped.front(),
              "; train into another folder to begin again");
    begin_again();
    return;
  }
  for (const std::string& line : newest.skipped) note(line);
  if (!newest.skipped.empty()) {
    note(str("continuing from ", newest.path.filename().string()));
  }
  const Checkpoint& checkpoint = newest.checkpoint;
  check_finite(checkpoint);
  // Half a run with one recipe and half with another would be a run of neither.
  const std::vector<Change> changed = folder_.recipe_changes(checkpoint, options_);
  const std::int64_t trained = checkpoint.metadata_number("epoch");
  NAT_CHECK(trained <= options_.epochs || options_.epochs == folder_.options().epochs,
            ErrorKind::usage, "run ", folder_.path().string(), " was trained for ", trained,
            " epochs already, more than --epochs ", options_.epochs);
  read_parameters(*ctx_, checkpoint, Momenta::read, network_.net->parameters());
  std::vector<std::int32_t> permutation(static_cast<std::size_t>(targets_.images()));
  checkpoint.read("nat.permutation", DType::i32, {targets_.images()}, permutation.data());
  targets_.restore(*ctx_, permutation);
  read_counters(checkpoint);
  for (const auto& [name, before, after] : changed) {
    note(str(name, " = ", after, " from here on (before: ", before, ")"));
  }
  note_other_math(checkpoint);
  const LogSizes logged = parse_log_sizes(checkpoint.metadata_value("metrics"));
  NAT_CHECK(logged.rows == static_cast<std::uint64_t>(epoch_), ErrorKind::checkpoint,
            "the newest checkpoint of ", folder_.path().string(), " expects ", logged.rows,
            " rows of metrics after ", epoch_, " epochs; remove it to go on from the one before");
  metrics_.truncate_to(logged);
  forget_later_timing();
  // What a process that was killed between its save and its pruning left.
  prune(folder_.checkpoints(), options_.keep_checkpoints, step_);
}

// dtype "auto" may stand for another one on another machine. Old checkpoints do not tell.
void Training::note_other_math(const Checkpoint& checkpoint) {
  const auto before = checkpoint.metadata.find("math");
  const std::string now = name(ctx_->math);
  if (before == checkpoint.metadata.end() || before->second == now) return;
  note(str("computing in ", now, " from here on (before: ", before->second, ")"));
}

// Stopped before the first checkpoint: an epoch ends with a row of metrics, a checkpoint and an
// event, in this order. Where there is an event, or a second row, the checkpoints are elsewhere,
// and what was logged must stay.
void Training::begin_again() {
  const std::uint64_t rows = metrics_.sizes().rows;
  NAT_CHECK(rows <= 1 && events_.empty(), ErrorKind::checkpoint, "run ", folder_.path().string(),
            " has logged ", rows, rows == 1 ? " epoch" : " epochs",
            ", but there is no checkpoint in ", folder_.checkpoints().string(),
            "; bring them back, or train into another folder to begin again");
  folder_.make_checkpoints();
  metrics_.truncate_to({});
  timing_.truncate_to({});
}

void Training::keep_epochs() {
  Options kept = folder_.options();
  if (kept.epochs == options_.epochs) return;
  kept.epochs = options_.epochs;
  folder_.write_config(kept);
}

// A checksum proves that the file is whole, not that its numbers belong together.
void Training::read_counters(const Checkpoint& checkpoint) {
  step_ = checkpoint.metadata_number("step");
  epoch_ = checkpoint.metadata_number("epoch");
  step_in_epoch_ = checkpoint.metadata_number("step_in_epoch");
  const std::int64_t steps = steps_per_epoch();
  NAT_CHECK(epoch_ <= kMostEpochs && step_ / steps == epoch_ && step_ % steps == step_in_epoch_,
            ErrorKind::checkpoint, "the newest checkpoint of ", folder_.path().string(), " is at ",
            step_, " steps, which are not ", epoch_, " epochs of ", steps, " steps and ",
            step_in_epoch_, " more; remove it to go on from the one before");
  std::array<double, sizeof(EpochSums) / sizeof(double)> sums;
  checkpoint.read("nat.epoch_sums", DType::f64, {std::ssize(sums)}, sums.data());
  checkpoint.read("nat.previous_loss", DType::f64, {1}, &previous_loss_);
  sums_ = std::bit_cast<EpochSums>(sums);
  const auto finite = [](double value) { return std::isfinite(value); };
  NAT_CHECK(std::all_of(sums.begin(), sums.end(), finite) && finite(previous_loss_) &&
                sums_.images == static_cast<double>(step_in_epoch_ * options_.batch),
            ErrorKind::checkpoint, "the newest checkpoint of ", folder_.path().string(),
            " has sums that are not those of ", step_in_epoch_,
            " steps; remove it to go on from the one before");
}

// Epochs that are trained once more get a row once more. No checkpoint holds the size of this log:
// runs that are equal in all but the time they took have equal checkpoints.
void Training::forget_later_timing() {
  const std::vector<MetricsRow> rows = read_csv(folder_.file("timing.csv"));
  const auto later = std::find_if(rows.begin(), rows.end(), [this](const MetricsRow& row) {
    const auto epoch = row.find("epoch");
    return epoch == row.end() || epoch->second >= static_cast<double>(epoch_);
  });
  timing_.truncate_to_rows(static_cast<std::uint64_t>(later - rows.begin()));
}

}  // namespace nat::tools
