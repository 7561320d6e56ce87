#include "tools/training.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <sstream>

#include "data/manifest.h"
#include "engine/durable_file.h"
#include "kernels/cpu_info.h"
#include "nat/evaluate/knn.h"
#include "nat/evaluate/standardize.h"
#include "tools/features.h"
#include "tools/left_out.h"
#include "tools/output_file.h"
#include "tools/stderr_progress.h"

namespace nat::tools {

namespace {

constexpr const char* kBadPictures = "bad_images.jsonl";

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

const std::vector<std::string> kMetrics = {"epoch",
                                           "steps",
                                           "lr",
                                           "loss",
                                           "loss_before_assignment",
                                           "won_by_assignment",
                                           "won_by_sgd",
                                           "cosine_before",
                                           "cosine_after",
                                           "moved",
                                           "reassigned",
                                           "solver_steps",
                                           "solver_paths",
                                           "solver_gap",
                                           "knn"};
const std::vector<std::string> kTiming = {
    "epoch",  "seconds", "images_per_second", "data_wait", "preprocess", "forward",
    "assign", "head",    "backward",          "update",    "recorded",   "judging_and_checkpoints"};

Schedule make_schedule(const Options& options) {
  Schedule schedule;
  schedule.rate = options.lr;
  schedule.gamma = options.gamma;
  schedule.t0 = options.t0;
  schedule.kind = options.schedule == "cosine"     ? Schedule::Kind::cosine
                  : options.schedule == "constant" ? Schedule::Kind::constant
                                                   : Schedule::Kind::inverse;
  return schedule;
}

data::LoaderOptions training_loading(const Context& ctx, const Options& options,
                                     const data::Dataset& pictures) {
  const auto usable = std::ssize(pictures.usable_ids());
  NAT_CHECK(options.batch <= usable, ErrorKind::usage, "--batch ", options.batch,
            " is more than the ", usable, " pictures; give ",
            usable >= 2 ? str("at most ", usable) : "at least 2 pictures");
  NAT_CHECK(options.assign_pool <= usable, ErrorKind::usage, "--assign-pool ", options.assign_pool,
            " is more than the ", usable, " pictures");
  data::LoaderOptions loading;
  loading.memory = page_locked(ctx.device);
  loading.batch_size = static_cast<int>(std::max(options.batch, options.assign_pool));
  loading.augmentation = augmentation(options, pictures.shape());
  loading.seed = options.seed;
  loading.threads = loader_threads(options, ctx.device, loading.batch_size, pictures.shape());
  return loading;
}

TargetKind target_kind(const Options& options) {
  return options.targets == "basis" ? TargetKind::basis : TargetKind::sphere;
}

AssignmentSolver assignment_solver(const Options& options) {
  return options.solver == "auction"    ? AssignmentSolver::auction
         : options.solver == "greedy"   ? AssignmentSolver::greedy
         : options.solver == "sinkhorn" ? AssignmentSolver::sinkhorn
                                        : AssignmentSolver::exact;
}

TrainerOptions trainer_options(const Options& options) {
  TrainerOptions trainer;
  trainer.pool = options.assign_pool;
  trainer.solver = assignment_solver(options);
  trainer.front = front_end(options);
  trainer.mean_loss = options.loss == "mean";
  trainer.sgd.momentum = static_cast<float>(options.momentum);
  trainer.sgd.weight_decay = static_cast<float>(options.weight_decay);
  trainer.seed = options.seed;
  return trainer;
}

// As they were when the run began.
std::unique_ptr<data::Dataset> reopen_pictures(const Options& options) {
  const RunFolder folder = RunFolder::open(options.out);
  return reopen_data(options, data::read_quarantined(folder.file(kBadPictures)));
}

void require_knn_data(const Options& options, const KnnPictures& knn) {
  NAT_CHECK(knn.test && knn.test->labelled() && knn.bank->labelled(), ErrorKind::usage,
            "--knn-every needs one label a picture and a test split, which ", options.data,
            " does not have; leave it out");
  const auto usable = std::ssize(knn.bank->usable_ids());
  NAT_CHECK(usable >= kKnnNeighbours, ErrorKind::usage, "--knn-every looks for ", kKnnNeighbours,
            " neighbours among the ", usable, " pictures; leave it out or give more");
  require_known_classes("--knn-every", *knn.bank, *knn.test);
}

// Now, not at the end of the first epoch that is judged.
void require_knn_room(Context& ctx, const Options& options, Network& network,
                      const KnnPictures& knn) {
  const std::vector<std::string> taps = {"conv"};
  const std::int64_t pictures =
      std::ssize(knn.bank->usable_ids()) + std::ssize(knn.test->usable_ids());
  const char* advice = "leave --knn-every out";
  require_room(feature_bytes(pictures, feature_numbers(ctx, network, taps).all),
               "the features that --knn-every judges", advice);
  try {
    network_features(ctx, options, network, knn.bank->shape(), evaluation_batch(options, *knn.bank),
                     taps);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::memory) throw;
    throw Error(ErrorKind::memory, str("--knn-every: ", error.what(), "; or ", advice));
  }
}

// Both splits are opened before an epoch is trained: what is wrong with them is found then.
KnnPictures open_knn_pictures(Context& ctx, const Options& options, Network& network) {
  constexpr std::int64_t kTest = 2000;
  KnnPictures knn;
  if (options.knn_every == 0) return knn;
  if (data::has_split(data::parse_spec(options.data), data::Split::test)) {
    knn = {open_data(options, data::Split::train, "", kBankPictures),
           open_data(options, data::Split::test, "", kTest)};
  }
  require_knn_data(options, knn);
  require_knn_room(ctx, options, network, knn);
  return knn;
}

Shape batch_shape(std::int64_t n, const data::PictureShape& picture) {
  return {n, picture.height, picture.width, picture.channels};
}

// What smaller batches would take: activations are what memory runs out for.
std::string batch_advice(const Context& ctx, const Options& options, Network& network) {
  std::string needs;
  for (std::int64_t batch = options.batch; batch >= 1 && batch > options.batch / 16; batch /= 2) {
    const std::size_t bytes = Execution::plan(ctx, *network.net, batch, Mode::train).total();
    needs += str(needs.empty() ? "" : ", ", "--batch ", batch, ": ", bytes >> 20, " MiB");
  }
  const char* pool = options.assign_pool > options.batch
                         ? "; the scores of a pool take 4 bytes x --assign-pool x --assign-pool"
                         : "";
  return str("; activations take ", needs, pool);
}

// A system that gives memory only when it is used would end the process without a word. A card says
// itself that it has no more.
void require_training_memory(const Context& ctx, const Options& options, Network& network) {
  if (ctx.device != Device::cpu) return;
  const std::size_t activations =
      Execution::plan(ctx, *network.net, options.batch, Mode::train).total();
  const auto parameters = static_cast<std::size_t>(network.net->parameters().size());
  const std::size_t copies = options.momentum != 0 ? 3 : 2;  // values, gradients, momenta
  const std::size_t needed = activations + copies * parameters * sizeof(float);
  NAT_CHECK(needed <= memory_limit(), ErrorKind::memory, "training takes ", needed >> 20,
            " MiB, and there are ", memory_limit() >> 20, batch_advice(ctx, options, network));
}

std::unique_ptr<Trainer> make_trainer(Context& ctx, const Options& options, Network& network,
                                      Targets& targets, const data::PictureShape& pictures) {
  require_training_memory(ctx, options, network);
  try {
    return std::make_unique<Trainer>(ctx, *network.net, targets, trainer_options(options),
                                     batch_shape(options.batch, pictures));
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::memory) throw;
    throw Error(ErrorKind::memory, error.what() + batch_advice(ctx, options, network));
  }
}

// What can be refused before the pictures are opened is refused then.
Options new_run(const Options& options, Training::Start start) {
  if (start == Training::Start::fresh) RunFolder::require_creatable(options.out);
  return with_absolute_data(options);
}

}  // namespace

Training::Training(Options options, Start start)
    : options_(start == Start::resume ? std::move(options) : new_run(options, start)),
      pictures_(start == Start::resume ? reopen_pictures(options_)
                                       : open_data(options_, data::Split::train)),
      ctx_(make_context(options_)),
      network_(make_network(*ctx_, options_, pictures_->shape())),
      targets_(*ctx_, options_.seed, pictures_->size(), options_.dimension, target_kind(options_)),
      loader_(std::make_unique<data::Loader>(*pictures_,
                                             training_loading(*ctx_, options_, *pictures_))),
      trainer_(make_trainer(*ctx_, options_, network_, targets_, pictures_->shape())),
      knn_(open_knn_pictures(*ctx_, options_, network_)),
      schedule_(make_schedule(options_)),
      folder_(take_folder(start)),
      log_(folder_.file("train.log"), std::ios::app),
      metrics_(folder_.file("metrics"), kMetrics),
      timing_(folder_.file("timing"), kTiming),
      events_(folder_),
      progress_(progress_on_stderr()) {
  if (start != Start::resume) {
    begin_folder();
  } else {
    data::check_same_data(*pictures_, folder_.file("manifest.jsonl"));
    list_bad_pictures();  // packed pictures know of those that the folder had not come to
    restore();
    events_.match_metrics();
    keep_epochs();
  }
  first_step_ = step_;
}

RunFolder Training::take_folder(Start start) {
  signals_.hold();
  if (start == Start::fresh) return RunFolder::create(options_);
  return start == Start::anew ? RunFolder::replace(options_) : RunFolder::open_owned(options_.out);
}

// The log is for people, who can do without: no run ends because it cannot be written.
void Training::note(const std::string& line) {
  progress_.note(line);
  log_ << line << std::endl;
}

void Training::begin_folder() {
  metrics_.truncate_to({});
  timing_.truncate_to({});
  events_.clear();
  write_durably(folder_.file("manifest.jsonl"), data::manifest_lines(*pictures_));
  list_bad_pictures();
  folder_.write_config(options_);
}

void Training::list_bad_pictures() {
  listed_bad_ = pictures_->bad_count();  // first: loaders may find one more at any moment
  write_durably(folder_.file(kBadPictures), data::bad_picture_lines(*pictures_));
}

// At once: a run that is killed may go on only without the pictures that it has listed.
void Training::list_new_bad_pictures() {
  const std::size_t bad = pictures_->bad_count();
  if (bad == listed_bad_) return;
  note(str(bad, " of ", pictures_->size(),
           " pictures cannot be read any more: ", folder_.file(kBadPictures).string()));
  list_bad_pictures();
}

std::string Training::devices() const {
  const CpuInfo cpu = cpu_info();
  std::string text;
  if (ctx_->device == Device::cuda) text = str("device cuda (", cuda_device().name, "), ");
  text += str("device cpu (", cpu.threads, " threads, oneDNN ", cpu.onednn,
              cpu.amx      ? ", AMX"
              : cpu.avx512 ? ", AVX-512"
                           : "",
              "), ", name(ctx_->math));
  if (ctx_->device == Device::cpu && options_.device == "auto") {
    text += "; not cuda: " + cuda_device().reason;
  }
  return text;
}

std::string Training::summary() const {
  std::ostringstream out;
  out << devices() << '\n'
      << "data " << pictures_->size() << " pictures " << pictures_->shape().width << "x"
      << pictures_->shape().height << "x" << pictures_->shape().channels << " from "
      << pictures_->catalog().source << ", loader threads " << loader_->threads() << '\n';
  if (const std::size_t bad = pictures_->bad_count(); bad > 0) {
    out << bad << " of " << pictures_->size()
        << " pictures cannot be read and are left out: " << folder_.file(kBadPictures).string()
        << '\n';
  }
  out << remark_lines(*pictures_);
  if (options_.crop == "shift" && !shift_has_room(options_, *pictures_)) {
    out << "crop shift has no room: pictures of " << sides(pictures_->shape())
        << " pixels are used whole\n";
  }
  out << "network " << network_.architecture << ", " << network_.net->parameters().size()
      << " parameters, " << steps_per_epoch() << " steps an epoch\n";
  return out.str();
}

Outcome Training::run(const StopAfter& stop_after) {
  began_ = seconds_now();
  log_ << summary() << std::flush;
  if (epoch_ < options_.epochs) require_space_for_checkpoint();
  while (epoch_ < options_.epochs && !stopping_) train_epoch(stop_after);
  progress_.finish();
  return outcome_;
}

// Now, not after the first epoch.
void Training::require_space_for_checkpoint() const {
  const std::int64_t copies = options_.momentum != 0 ? 2 : 1;  // values, momenta
  const std::int64_t numbers = copies * network_.net->parameters().size() + pictures_->size();
  require_space(folder_.checkpoints().string(), numbers * static_cast<std::int64_t>(sizeof(float)),
                "free some disk space, then go on with 'nat resume'");
}

void Training::train_epoch(const StopAfter& stop_after) {
  epoch_began_ = seconds_now();
  stages_at_start_ = trainer_->seconds();
  epoch_began_step_ = step_;
  const std::int64_t steps = steps_per_epoch(), parts = trainer_->parts();
  std::int64_t next_pool = step_in_epoch_ / parts;
  loader_->start_epoch(static_cast<std::uint32_t>(epoch_), next_pool++);
  load_next();
  while (step_in_epoch_ < steps) {
    trainer_->begin(*ctx_, {.step = static_cast<std::uint32_t>(step_),
                            .part = step_in_epoch_ % parts,
                            .reassign = reassigns_step(step_in_epoch_),
                            .learning_rate = schedule_.at(step_, options_.epochs * steps)});
    if (next_pool == step_in_epoch_ / parts + 1 && next_pool * parts < steps) {
      load_next();  // beside the step
      ++next_pool;
    }
    const StepReport report = trainer_->finish(*ctx_);
    ++step_;
    ++step_in_epoch_;
    count(report, options_.batch);
    list_new_bad_pictures();
    progress_.update({.epoch = static_cast<int>(epoch_),
                      .epochs = static_cast<int>(options_.epochs),
                      .done = step_ * options_.batch,
                      .total = options_.epochs * steps * options_.batch,
                      .loss = report.loss});
    if (step_in_epoch_ == steps) break;
    if (should_stop(stop_after)) return save();
    if (options_.checkpoint_every_steps > 0 && step_ % options_.checkpoint_every_steps == 0) save();
  }
  finish_epoch();
  should_stop(stop_after);
}

// An incomplete last pool is left out, as an incomplete batch is.
std::int64_t Training::steps_per_epoch() const {
  return loader_->batches_per_epoch() * trainer_->parts();
}

// All steps of a pool say the same, so that a resumed run knows about the pool it is in.
bool Training::reassigns_step(std::int64_t step_in_epoch) const {
  if (options_.solver == "none") return false;
  if (options_.assign_every_steps == 0) return reassigns(epoch_, options_.period);
  const std::int64_t parts = trainer_->parts();
  const std::int64_t first = epoch_ * steps_per_epoch() + step_in_epoch / parts * parts;
  return reassigns_at(first, parts, options_.assign_every_steps);
}

double Training::share_reassigned() const {
  const std::int64_t steps = steps_per_epoch();
  std::int64_t count = 0;
  for (std::int64_t step = 0; step < steps; ++step) count += reassigns_step(step);
  return static_cast<double>(count) / static_cast<double>(steps);
}

void Training::load_next() {
  const data::Batch& batch = *loader_->next();
  trainer_->load(
      *ctx_,
      {.ids = batch.ids,
       .pixels = ConstView(batch.pixels, DType::u8, batch_shape(batch.size(), pictures_->shape())),
       .boxes = ConstView(batch.boxes.data(), DType::f32, Shape(batch.size(), 5))});
}

bool Training::should_stop(const StopAfter& stop_after) {
  if (epoch_ == options_.epochs) return stopping_;  // done, whatever was asked for meanwhile
  if (const int signal = signals_.take(); signal != 0) {
    note(str(signal == SIGINT ? "SIGINT" : "SIGTERM", ": saving a checkpoint, then stopping"));
    outcome_ = signal == SIGINT ? Outcome::interrupted : Outcome::terminated;
    stopping_ = true;
  } else if ((stop_after.steps > 0 && step_ - first_step_ >= stop_after.steps) ||
             (stop_after.seconds > 0 && seconds_now() - began_ >= stop_after.seconds)) {
    outcome_ = Outcome::stopped;
    stopping_ = true;
  }
  return stopping_;
}

void Training::count(const StepReport& report, std::int64_t images) {
  const auto n = static_cast<double>(images);
  sums_.images += n;
  sums_.loss += n * report.loss;
  sums_.cosine_before += static_cast<double>(report.judged) * report.cosine_before;
  sums_.cosine_after += n * report.cosine_after;
  sums_.moved += static_cast<double>(report.moved);
  sums_.solver_steps += static_cast<double>(report.lap.steps);
  sums_.solver_paths += static_cast<double>(report.lap.paths);
  sums_.solver_gap += static_cast<double>(report.lap.gap());
}

void Training::finish_epoch() {
  const double trained = seconds_now();
  const double learning_rate = schedule_.at(step_ - 1, options_.epochs * steps_per_epoch());
  const MetricsRow metrics = write_metrics(epoch_, learning_rate);
  const MetricsRow timing = write_timing(epoch_, trained);
  const std::int64_t epoch = epoch_;
  previous_loss_ = sums_.loss / sums_.images;
  sums_ = {};
  ++epoch_;
  step_in_epoch_ = 0;
  const double judged = seconds_now();
  save();
  saving_ = seconds_now() - judged;
  events_.append(epoch, metrics, timing);
}

// Before the checkpoint of the epoch, as its metrics are: a run that goes on behind that checkpoint
// has both rows, whenever it was killed. So the time of the checkpoint stands in the next row.
MetricsRow Training::write_timing(std::int64_t epoch, double trained) {
  const StageSeconds now = trainer_->seconds(), then = stages_at_start_;
  const double seconds = trained - epoch_began_;
  const auto images = static_cast<double>((step_ - epoch_began_step_) * options_.batch);
  MetricsRow row = {{"epoch", static_cast<double>(epoch)},
                    {"seconds", seconds},
                    {"images_per_second", images / seconds},
                    {"data_wait", loader_->data_wait_seconds()},
                    {"preprocess", now.preprocess - then.preprocess},
                    {"forward", now.forward - then.forward},
                    {"assign", now.assign - then.assign},
                    {"head", now.head - then.head},
                    {"backward", now.backward - then.backward},
                    {"update", now.update - then.update},
                    {"recorded", now.recorded - then.recorded},
                    {"judging_and_checkpoints", saving_ + seconds_now() - trained}};
  timing_.append(row);
  return row;
}

MetricsRow Training::write_metrics(std::int64_t epoch, double learning_rate) {
  const double n = sums_.images;
  const double loss = sums_.loss / n, before = 2 - 2 * sums_.cosine_before / n;
  MetricsRow row = {{"epoch", static_cast<double>(epoch)},
                    {"steps", static_cast<double>(step_)},
                    {"lr", learning_rate},
                    {"loss", loss},
                    {"loss_before_assignment", before},
                    {"won_by_assignment", before - loss},
                    {"won_by_sgd", previous_loss_ - before},
                    {"cosine_before", sums_.cosine_before / n},
                    {"cosine_after", sums_.cosine_after / n},
                    {"moved", sums_.moved / n},
                    {"reassigned", share_reassigned()},
                    {"solver_steps", sums_.solver_steps},
                    {"solver_paths", sums_.solver_paths},
                    {"solver_gap", sums_.solver_gap}};
  const bool judged = options_.knn_every > 0 && (epoch + 1) % options_.knn_every == 0;
  if (judged) row["knn"] = online_knn();
  metrics_.append(row);
  char line[200];
  std::snprintf(line, sizeof line,
                "epoch %lld/%lld  loss %.4f  cosine before %.4f after %.4f  moved %5.1f %%%s",
                static_cast<long long>(epoch) + 1, static_cast<long long>(options_.epochs), loss,
                row["cosine_before"], row["cosine_after"], 100 * row["moved"],
                judged ? str("  kNN ", 100 * row["knn"], " %").c_str() : "");
  note(line);
  return row;
}

// kNN on the last convolution, among some of the training pictures: a trend, not a result.
double Training::online_knn() {
  const std::vector<std::string> taps = {"conv"};
  FeatureSet bank_set = extract_features(*ctx_, options_, network_, *knn_.bank, taps);
  FeatureSet test_set = extract_features(*ctx_, options_, network_, *knn_.test, taps);
  standardize(bank_set.at["conv"], test_set.at["conv"]);
  Context host;  // features are host memory
  return knn_accuracy(host, {bank_set.at["conv"], bank_set.labels},
                      {test_set.at["conv"], test_set.labels}, knn_.bank->classes(),
                      {.k = {kKnnNeighbours}})
      .for_k(kKnnNeighbours)
      .accuracy;
}

}  // namespace nat::tools
