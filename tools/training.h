// A training run: epochs of steps over a data set, with its log, its checkpoints and its way back
// from any of them.
#pragma once

#include <fstream>
#include <memory>

#include "data/loader.h"
#include "engine/progress.h"
#include "engine/run_log.h"
#include "engine/schedule.h"
#include "nat/trainer.h"
#include "tools/run_events.h"
#include "tools/run_folder.h"
#include "tools/session.h"
#include "tools/stop_signals.h"

namespace nat::tools {

// Exit codes of a run that did not fail (kernels/check.h holds the others).
enum class Outcome : int { done = 0, stopped = 75, interrupted = 130, terminated = 143 };

// When to stop early, counted from the start of this process's training; 0 = never.
struct StopAfter {
  std::int64_t steps = 0;
  double seconds = 0;
};

// What --knn-every judges by; empty without it.
struct KnnPictures {
  std::unique_ptr<data::Dataset> bank, test;
};

class Training {
 public:
  // Opens the data and builds everything; only when all of that went well does a fresh run make its
  // folder, write its manifest and, last, the config.toml that makes it a run. A resumed one
  // demands the same data and the same recipe. Nothing is trained yet. From the folder on, as
  // long as it exists, SIGINT and SIGTERM are requests to stop at the next step. A fresh run keeps
  // the path of its data absolute; `anew` is one in the place of an older run (RunFolder::replace).
  enum class Start { fresh, anew, resume };
  Training(Options options, Start start);

  // Trains until the last epoch, a signal, or the end of the first step at which it is to stop;
  // always leaves a checkpoint of where it stopped.
  Outcome run(const StopAfter& stop_after);

  bool is_done() const { return epoch_ == options_.epochs; }

  const Context& context() const { return *ctx_; }
  const Options& options() const { return options_; }
  const data::Dataset& pictures() const { return *pictures_; }
  std::string summary() const;  // device, precision, network, sizes: the lines of the run header

 private:
  // Sums over the images of the epoch under way; part of every checkpoint.
  struct EpochSums {
    double images = 0, loss = 0, cosine_before = 0, cosine_after = 0, moved = 0;
    double solver_steps = 0, solver_paths = 0, solver_gap = 0;
  };

  RunFolder take_folder(Start start);
  std::string devices() const;
  void note(const std::string& line);  // on stderr and in train.log
  void begin_folder();
  void list_bad_pictures();
  void list_new_bad_pictures();
  void restore();
  void note_other_math(const Checkpoint& checkpoint);
  void begin_again();
  void read_counters(const Checkpoint& checkpoint);
  void keep_epochs();  // in config.toml, where a resume has asked for more
  void forget_later_timing();
  void train_epoch(const StopAfter& stop_after);
  std::int64_t steps_per_epoch() const;
  bool reassigns_step(std::int64_t step_in_epoch) const;
  double share_reassigned() const;  // of the steps of the epoch
  void load_next();
  void finish_epoch();
  void count(const StepReport& report, std::int64_t images);
  // Both return the row.
  MetricsRow write_metrics(std::int64_t epoch, double learning_rate);
  MetricsRow write_timing(std::int64_t epoch, double trained);  // seconds when training ended
  double online_knn();
  void save();
  bool should_stop(const StopAfter& stop_after);

  void require_space_for_checkpoint() const;
  void keep_plans();
  void take_kept_plans();

  StopSignals signals_{StopSignals::Begin::deadly};  // first: the members below start threads
  Options options_;
  std::unique_ptr<data::Dataset> pictures_;
  std::unique_ptr<Context> ctx_;
  Network network_;
  Targets targets_;
  std::unique_ptr<data::Loader> loader_;
  std::unique_ptr<Trainer> trainer_;
  KnnPictures knn_;
  Schedule schedule_;
  RunFolder folder_;
  std::ofstream log_;
  MetricsLog metrics_, timing_;
  RunEvents events_;
  Progress progress_;
  std::size_t kept_plans_ = 0;

  std::size_t listed_bad_ = 0;  // pictures in bad_images.jsonl
  std::int64_t step_ = 0, epoch_ = 0, step_in_epoch_ = 0;
  std::int64_t first_step_ = 0;  // of this process
  EpochSums sums_;
  double previous_loss_ = 2;  // mean loss of the epoch before, 2 before learning
  bool stopping_ = false;
  Outcome outcome_ = Outcome::done;
  double began_ = 0;                   // seconds, when this process began to train
  double epoch_began_ = 0;             // seconds, when this process began the epoch
  double saving_ = 0;                  // seconds, of the checkpoint that ended the epoch before
  std::int64_t epoch_began_step_ = 0;  // after a resume, somewhere inside it
  StageSeconds stages_at_start_;
};

}  // namespace nat::tools
