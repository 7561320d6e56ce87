// A classifier trained by SGD on features that somebody else computes and that never change because
// of it: the judge of the paper's table 3, which trains a fresh head on the frozen convolutions, on
// other crops of the pictures in every epoch. Where the features are the pictures themselves and
// the head is a whole network, this is training with labels.
//
//   loss = sum_i l(head(x_i), answer_i) / n        gradient and SGD of the head alone
//
// Everything lives in the context's memory. One step is bit for bit the same whenever its inputs
// are.
#pragma once

#include "engine/execution.h"
#include "engine/schedule.h"
#include "kernels/sgd.h"

namespace nat {

// l(y, answer) of one picture.
//   softmax    -log softmax(y)[label]
//   square     |y/|y| - e_label|^2: the loss of NAT with the class as the target (paper, table 1)
//   logistic   sum over classes, for pictures of several labels (kernels/sigmoid_xent.h)
enum class ClassifierLoss { softmax, square, logistic };

// The schedule of the authors' classifiers (test.lua of the official code), as shares of their
// first rate: constant for 20 epochs, then 1 / (1 + 0.3 (epochs - 20)). Theirs falls once an epoch,
// this one in every step.
Schedule official_classifier_schedule(std::int64_t steps_per_epoch);

class Classifier {
 public:
  // `head` ends in one output a class and must outlive the classifier. `seed` is of its dropout.
  Classifier(Context& ctx, Sequential& head, std::int64_t batch, const Sgd& sgd, std::uint64_t seed,
             ClassifierLoss loss = ClassifierLoss::softmax);

  // features (n, ...) as the head expects them, n the batch, in any dtype; answers i32: labels (n)
  // in [0, classes), or flags (n, classes) of the logistic loss. `step` is counted over the whole
  // training. Returns the loss.
  // Error(not_finite) when it is NaN or infinite; parameters are then still those of the step
  // before.
  double train(Context& ctx, ConstView features, ConstView answers, std::uint32_t step,
               double learning_rate);

  // (n, classes) f32, what the head says: no softmax, no sigmoid, not normalised; valid until the
  // next call. Running statistics, no dropout.
  ConstView logits(Context& ctx, ConstView features);

  std::int64_t classes() const { return head_.output_features(); }

 private:
  // What changes from step to step.
  struct Dials {
    float rate;
    std::uint32_t step;
  };

  void take(Context& ctx, ConstView features);
  void differentiate(Context& ctx, ConstView answers, View losses);

  Sequential& head_;
  Sgd sgd_;
  std::uint64_t seed_;
  ClassifierLoss loss_;
  Execution execution_;
  Buffer dials_, losses_, loss_sum_;
  Buffer targets_, normalized_, inv_norm_;  // of the square loss
};

}  // namespace nat
