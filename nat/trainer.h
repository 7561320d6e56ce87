// Algorithm 1 of the paper: one step of Noise As Targets.
//
//   1. forward             u = network(X_b), z = u/|u| (the paper's f_theta)
//   2. re-assign           in re-assignment epochs: the permutation of the batch's own targets that
//                          maximises sum_i z_i . c_p(i); it takes effect in this very step
//   3. loss and gradient   sum_i |z_i - c_i|^2
//   4. backward and SGD
//
// A pool of several batches can exchange targets at once. Before its first step the features of all
// its pictures are computed, batch by batch, exactly as its steps would compute them before any of
// them changes the parameters: each batch with its own statistics and with the dropout masks of its
// step. Then line 2 is done once, for the pool, and its steps train on the targets found. That pass
// leaves the running statistics alone, so every picture still counts once in them.
//
// The trainer sees pictures, features and targets; which network makes the features is not its
// business.
#pragma once

#include <chrono>
#include <functional>

#include "engine/execution.h"
#include "kernels/lap.h"
#include "kernels/preprocess.h"
#include "kernels/recording.h"
#include "kernels/sgd.h"
#include "nat/assigner.h"
#include "nat/picture_feed.h"
#include "nat/targets.h"

namespace nat {

struct TrainerOptions {
  FrontEnd front = FrontEnd::sobel;
  bool mean_loss = false;  // gradient of the batch mean instead of the batch sum
  Sgd sgd;                 // the learning rate is set step by step
  std::uint64_t seed = 0;
  std::int64_t pool = 0;  // pictures that exchange targets at once, whole batches; 0 = one batch
  AssignmentSolver solver = AssignmentSolver::exact;
  bool time_stages = false;  // CUDA: wait after each stage instead of recording the step
};

// What one step did. Cosines are between feature and target, averaged over the batch.
struct StepReport {
  double loss = 0;           // batch mean of |z - c|^2, after re-assignment
  double cosine_before = 0;  // with the targets the images came with: the health signal
  double cosine_after = 0;   // with the targets they were trained on
  std::int64_t judged = 0;   // images that cosine_before speaks for: the batch, or all of a pool in
                             // the step that re-assigned it and none in its others
  std::int64_t moved = 0;    // images whose target changed
  LapReport lap;             // of a re-assigning step
};

// Seconds by stage, accumulated over steps. On CUDA a step runs as one recorded sequence, whose
// time stands under `recorded`; the stages are told apart only when TrainerOptions::time_stages
// asks.
struct StageSeconds {
  double preprocess = 0, forward = 0, assign = 0, head = 0, backward = 0, update = 0;
  double recorded = 0;
  double total() const {
    return preprocess + forward + assign + head + backward + update + recorded;
  }
};

class Trainer {
 public:
  // `pixels` is the shape of a batch of stored pictures. Error(usage) when the pool is not a whole
  // number of batches or the device does not have the solver.
  Trainer(Context& ctx, Sequential& net, Targets& targets, const TrainerOptions& options,
          Shape pixels);

  struct Order {
    std::uint32_t step = 0;  // counted over the whole run; names the dropout masks
    std::int64_t part = 0;   // which batch of its pool
    bool reassign = false;   // the pool, which happens in the step of part 0; the same for its rest
    double learning_rate = 0;
  };
  // One whole step where the pool is one batch: load, begin, finish.
  StepReport step(Context& ctx, const ImageBatch& batch, const Order& order);

  // Brings a pool to the device (nat/picture_feed.h); it must stay as it is until the begin() that
  // opens it returns. On CUDA that runs beside the step under way:
  //
  //   load(first); for (;;) { begin(order); load(next); report = finish(); }
  //
  // with load() once for each pool.
  void load(Context& ctx, const ImageBatch& pool);
  // Enqueues a step. Nothing in it waits for the host. Part 0, and the first step after a resume in
  // the middle of a pool, open the pool loaded next.
  void begin(Context& ctx, const Order& order);
  // Waits for the step. Error(not_finite) when the loss is NaN or infinite; parameters are then
  // still those of the step before.
  StepReport finish(Context& ctx);
  // Looks at the batch of the last step once more, with the network as that step left it and the
  // running statistics. Error(not_finite) when a feature is NaN or infinite. No loss shows that:
  // that of the step was of the parameters before it, and of the statistics of its own batch.
  // Trains nothing and counts no seconds, but waits for the device: for whoever saves the network.
  void check_features(Context& ctx);

  std::int64_t parts() const { return parts_; }  // batches of a pool
  const StageSeconds& seconds() const { return seconds_; }
  const Execution& execution() const { return execution_; }

 private:
  // What a step gives back, in the context's memory.
  struct Result {
    float loss_sum, cosine_sum_after;  // of the batch
    float cosine_sum;                  // of what was re-assigned, before that
    std::int32_t moved;
    LapReport lap;
  };
  // What changes from step to step, in the context's memory.
  struct Dials {
    float rate;
    std::uint32_t step;
  };
  // The images of a batch or a pool, one a row: features and targets.
  struct Rows {
    View ids, held, z, c, column_of_row;
  };

  void set_dials(const Order& order);
  void take_batch(Context& ctx, std::int64_t part);
  void reassign_pool(Context& ctx);
  void compute(Context& ctx, bool reassigning);
  void features(Context& ctx, const Pass& pass);
  void look_up(Context& ctx, const Rows& images);
  void reassign(Context& ctx, const Rows& images);
  void run(Context& ctx, Recording& recording, const std::function<void()>& enqueue);
  Pass pass() const;
  void count_time(Context& ctx, double& stage);

  Sequential& net_;
  Targets& targets_;
  TrainerOptions options_;
  std::int64_t parts_;
  Execution execution_;
  Assigner assigner_;
  Buffer memory_;
  HostBuffer host_memory_;
  PictureFeed feed_;
  Order order_;        // of the step under way
  Rows batch_, pool_;  // pool_ only where it is more than a batch
  View inv_norm_, loss_, dials_, result_;
  View host_dials_, host_result_;  // dials of all steps of a pool
  struct {
    Recording keeping_step, reassigning_step, features, pool;
  } recorded_;
  std::chrono::steady_clock::time_point stage_began_;
  StageSeconds seconds_;
};

// Shows pictures to the network without training it, so that the running statistics of an untrained
// network describe the data. Needed before its features may stand as the baseline. Dropout is that
// of step `step` of a training with this seed.
void calibrate_batchnorm(Context& ctx, Execution& execution, FrontEnd front, View pixels,
                         View boxes, std::uint64_t seed, std::uint32_t step);

// Whether epoch `epoch` re-assigns: epochs 0, period, 2 period, ... as in the official code;
// period 0 never does.
constexpr bool reassigns(std::int64_t epoch, std::int64_t period) {
  return period > 0 && epoch % period == 0;
}

// The same with a period in steps: whether a pool trained in `steps` steps from `first_step` on is
// re-assigned; those that hold the steps 0, period, 2 period, ... are.
constexpr bool reassigns_at(std::int64_t first_step, std::int64_t steps, std::int64_t period) {
  return period > 0 && (first_step + period - 1) / period * period < first_step + steps;
}

}  // namespace nat
