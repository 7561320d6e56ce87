// A classifier trained by SGD on features that somebody else computes and that never change because
// of it: the judge of the paper (section 4.1), which trains a fresh head on the frozen
// convolutions, on other crops of the pictures in every epoch.
//
//   loss = sum_i -log softmax(head(x_i))[label_i] / n        gradient and SGD of the head alone
//
// Everything lives in the context's memory. One step is bit for bit the same whenever its inputs
// are.
#pragma once

#include "engine/execution.h"
#include "kernels/sgd.h"

namespace nat {

class Classifier {
 public:
  // `head` ends in one output a class and must outlive the classifier. `seed` is of its dropout.
  Classifier(Context& ctx, Sequential& head, std::int64_t batch, const Sgd& sgd,
             std::uint64_t seed);

  // features (n, ...) as the head expects them, n the batch, in any dtype and channel block; labels
  // (n) i32 in [0, classes). `step` is counted over the whole training. Returns the loss.
  // Error(not_finite) when it is NaN or infinite; parameters are then still those of the step
  // before.
  double train(Context& ctx, ConstView features, ConstView labels, std::uint32_t step,
               double learning_rate);

  // (n, classes) f32, before the softmax; valid until the next call. Running statistics, no
  // dropout.
  ConstView logits(Context& ctx, ConstView features);

  std::int64_t classes() const { return head_.output_features(); }

 private:
  // What changes from step to step.
  struct Dials {
    float rate;
    std::uint32_t step;
  };

  void take(Context& ctx, ConstView features);

  Sequential& head_;
  Sgd sgd_;
  std::uint64_t seed_;
  Execution execution_;
  Buffer dials_, losses_, loss_sum_;
};

}  // namespace nat
