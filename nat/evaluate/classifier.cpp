#include "nat/evaluate/classifier.h"

#include <cmath>

#include "engine/optimizer.h"
#include "kernels/cast.h"
#include "kernels/nat_head.h"
#include "kernels/reduce.h"
#include "kernels/sigmoid_xent.h"
#include "kernels/softmax_xent.h"
#include "kernels/targets.h"

namespace nat {

Schedule official_classifier_schedule(std::int64_t steps_per_epoch) {
  return {.kind = Schedule::Kind::inverse,
          .rate = 1,
          .gamma = 0.3 / static_cast<double>(steps_per_epoch),
          .t0 = 20 * steps_per_epoch};
}

Classifier::Classifier(Context& ctx, Sequential& head, std::int64_t batch, const Sgd& sgd,
                       std::uint64_t seed, ClassifierLoss loss)
    : head_(head),
      sgd_(sgd),
      seed_(seed),
      loss_(loss),
      execution_(ctx, head, batch, Mode::train),
      dials_(ctx.device, sizeof(Dials), "classifier"),
      losses_(ctx.device, static_cast<std::size_t>(batch) * sizeof(float), "classifier"),
      loss_sum_(ctx.device, sizeof(float), "classifier") {
  sgd_prepare(ctx, sgd, head.parameters());
  if (loss != ClassifierLoss::square) return;
  const std::size_t bytes = execution_.output().bytes();
  targets_ = Buffer(ctx.device, bytes, "classifier");
  normalized_ = Buffer(ctx.device, bytes, "classifier");
  inv_norm_ = Buffer(ctx.device, losses_.bytes(), "classifier");
}

// The features of one batch to where the head reads them.
void Classifier::take(Context& ctx, ConstView features) {
  const View input = execution_.input();
  NAT_CHECK(features.shape.elements() == input.shape.elements(), ErrorKind::usage,
            "classifier: features ", to_string(features.shape), ", planned for ",
            to_string(input.shape));
  cast(ctx, features,
       features.shape.rank == 4 ? input : View(input.data, input.dtype, features.shape));
}

// Loss of every picture, and the gradient of their mean where backward starts.
void Classifier::differentiate(Context& ctx, ConstView answers, View losses) {
  const ConstView y = execution_.output();
  const View dy = execution_.output_gradient();
  const float scale = 1 / static_cast<float>(execution_.batch());
  switch (loss_) {
    case ClassifierLoss::softmax:
      softmax_xent(ctx, scale, y, answers, losses, dy);
      break;
    case ClassifierLoss::logistic:
      sigmoid_xent(ctx, scale, y, answers, losses, dy);
      break;
    case ClassifierLoss::square: {
      const View targets(targets_.data(), DType::f32, y.shape);
      target_rows(ctx, TargetKind::basis, seed_, answers, targets);
      nat_head(ctx, scale, y, targets, View(normalized_.data(), DType::f32, y.shape),
               View(inv_norm_.data(), DType::f32, losses.shape), losses, dy);
      break;
    }
  }
}

double Classifier::train(Context& ctx, ConstView features, ConstView answers, std::uint32_t step,
                         double learning_rate) {
  const Dials dials{.rate = static_cast<float>(learning_rate), .step = step};
  const Shape bytes(sizeof(Dials));
  copy_to_device(ctx, ConstView(&dials, DType::u8, bytes), View(dials_.data(), DType::u8, bytes));
  const Dials* device_dials = dials_.as<Dials>();
  const Pass pass{.mode = Mode::train, .seed = seed_, .step = &device_dials->step};
  take(ctx, features);
  execution_.forward(ctx, pass);

  const View losses(losses_.data(), DType::f32, Shape(execution_.batch()));
  const View loss_sum(loss_sum_.data(), DType::f32, Shape(1));
  differentiate(ctx, answers, losses);
  sum(ctx, losses, loss_sum);
  execution_.backward(ctx, pass);
  sgd_step(ctx, sgd_, ConstView(&device_dials->rate, DType::f32, Shape(1)), loss_sum,
           head_.parameters());

  float total = 0;
  copy_to_host(ctx, loss_sum, View(&total, DType::f32, Shape(1)));
  synchronize(ctx);
  NAT_CHECK(std::isfinite(total), ErrorKind::not_finite, "the loss of a classifier is ", total,
            " in step ", step, "; a smaller --lr may help");
  return double{total} / static_cast<double>(execution_.batch());
}

ConstView Classifier::logits(Context& ctx, ConstView features) {
  take(ctx, features);
  execution_.forward(ctx, Pass{.mode = Mode::eval});
  return execution_.output();
}

}  // namespace nat
