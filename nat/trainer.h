// Algorithm 1 of the paper: one step of Noise As Targets.
//
//   1. forward             u = f(X_b), z = u/|u|
//   2. re-assign           in re-assignment epochs: the permutation of the batch's own targets that
//                          maximises sum_i z_i . c_p(i); it takes effect in this very step
//   3. loss and gradient   sum_i |z_i - c_i|^2
//   4. backward and SGD
//
// The trainer sees pictures, features and targets; which network makes the features is not its
// business.
#pragma once

#include <span>

#include "engine/execution.h"
#include "kernels/lap.h"
#include "kernels/preprocess.h"
#include "kernels/sgd.h"
#include "nat/assigner.h"
#include "nat/targets.h"

namespace nat {

// Host memory: what the loader delivers.
struct ImageBatch {
  std::span<const std::int32_t> ids;
  ConstView pixels;  // (n, h, w, c) u8
  ConstView boxes;   // (n, 5) f32, kernels/crop_box.h
};

struct TrainerOptions {
  FrontEnd front = FrontEnd::sobel;
  bool mean_loss = false;  // gradient of the batch mean instead of the batch sum
  Sgd sgd;                 // the learning rate is set step by step
  std::uint64_t seed = 0;
};

// What one step did. Cosines are between feature and target, averaged over the batch.
struct StepReport {
  double loss = 0;           // batch mean of |z - c|^2, after re-assignment
  double cosine_before = 0;  // with the targets the images came with: the health signal
  double cosine_after = 0;   // with the targets they were trained on
  std::int64_t moved = 0;    // images whose target changed
  LapReport lap;             // of a re-assigning step
};

// Seconds by stage, accumulated over steps.
struct StageSeconds {
  double preprocess = 0, forward = 0, assign = 0, head = 0, backward = 0, update = 0;
  double total() const { return preprocess + forward + assign + head + backward + update; }
};

class Trainer {
 public:
  // `pixels` is the shape of a batch of stored pictures.
  Trainer(Context& ctx, Sequential& net, Targets& targets, const TrainerOptions& options,
          Shape pixels);

  struct Order {
    std::uint32_t step = 0;  // counted over the whole run; names the dropout masks
    bool reassign = false;
    double learning_rate = 0;
  };
  // Error(not_finite) when the loss is NaN or infinite; parameters are then still those of the step
  // before.
  StepReport step(Context& ctx, const ImageBatch& batch, const Order& order);

  const StageSeconds& seconds() const { return seconds_; }
  const Execution& execution() const { return execution_; }

 private:
  void load_pictures(Context& ctx, const ImageBatch& batch);
  void reassign(Context& ctx, std::span<const std::int32_t> ids, StepReport& report);
  void measure_loss(Context& ctx, bool reassigned, StepReport& report);

  Sequential& net_;
  Targets& targets_;
  TrainerOptions options_;
  Execution execution_;
  Assigner assigner_;
  Buffer memory_;
  View pixels_, boxes_, z_, inv_norm_, c_, loss_, loss_sum_;
  StageSeconds seconds_;
};

// Shows pictures to the network without training it, so that the running statistics of an untrained
// network describe the data. Needed before its features may stand as the baseline.
void calibrate_batchnorm(Context& ctx, Execution& execution, FrontEnd front, View pixels,
                         View boxes);

// Whether epoch `epoch` re-assigns: epochs 0, period, 2 period, ... as in the official code;
// period 0 never does.
constexpr bool reassigns(std::int64_t epoch, std::int64_t period) {
  return period > 0 && epoch % period == 0;
}

}  // namespace nat
