// The steps that bench_step times.
//
//   ModelStep   forward, loss, backward, SGD on pictures that are already prepared on the device
//   NatStep     everything: pictures to the device, preprocessing, forward, exact assignment,
//               loss, backward, SGD
//   FeatureStep  no training: pictures to the device, preprocessing, forward with running
//               statistics, and the embedding back to the host
#pragma once

#include <functional>
#include <numeric>
#include <vector>

#include "bench/measure.h"
#include "bench/tensors.h"
#include "engine/execution.h"
#include "engine/optimizer.h"
#include "kernels/nat_head.h"
#include "kernels/reduce.h"
#include "kernels/targets.h"
#include "nat/trainer.h"

namespace nat::bench {

inline constexpr float kLearningRate = 0.01f;
inline constexpr std::uint64_t kSeed = 1;

class ModelStep {
 public:
  // Called after each stage with its name.
  using Mark = std::function<void(const char*)>;

  ModelStep(Context& ctx, Sequential& net, std::int64_t batch, const Sgd& rule)
      : net_(net),
        rule_(rule),
        batch_(batch),
        execution_(ctx, net, batch, Mode::train, {Execution::kInput}),
        targets_(ctx, Shape(batch, net.output_features()), DType::f32),
        z_(ctx, Shape(batch, net.output_features()), DType::f32),
        inv_norm_(ctx, Shape(batch), DType::f32),
        losses_(ctx, Shape(batch), DType::f32),
        loss_sum_(ctx, Shape(1), DType::f32),
        rate_(ctx, Shape(1), DType::f32),
        step_(ctx, Shape(1), DType::i32) {
    std::vector<float> ids(static_cast<std::size_t>(batch));
    std::iota(ids.begin(), ids.end(), 0.0f);
    const DeviceTensor rows(ctx, Shape(batch), DType::i32);
    upload(ctx, ids, rows.view());
    target_rows(ctx, TargetKind::sphere, kSeed, rows.view(), targets_.view());
    upload(ctx, {kLearningRate}, rate_.view());
    sgd_prepare(ctx, rule, net.parameters());
    synchronize(ctx);
  }

  // The pictures stay here from step to step.
  View input() const { return execution_.input(); }
  ConstView targets() const { return targets_.view(); }
  const MemoryPlan& memory_plan() const { return execution_.memory_plan(); }

  void enqueue(Context& ctx, const Mark& mark) {
    const Pass pass{.mode = Mode::train, .seed = kSeed, .step = step_.view().as<std::uint32_t>()};
    execution_.forward(ctx, pass);
    mark("forward");
    nat_head(ctx, 1 / static_cast<float>(batch_), execution_.output(), targets_.view(), z_.view(),
             inv_norm_.view(), losses_.view(), execution_.output_gradient());
    sum(ctx, losses_.view(), loss_sum_.view());
    mark("head");
    execution_.backward(ctx, pass);
    mark("backward");
    sgd_step(ctx, rule_, rate_.view(), loss_sum_.view(), net_.parameters());
    mark("update");
  }

  void run(Context& ctx) {
    recording_.run(ctx, [&] { enqueue(ctx, [](const char*) {}); });
  }

  // Batch mean of the step that ran last.
  double loss(Context& ctx) const {
    return static_cast<double>(download(ctx, loss_sum_.view()).front()) /
           static_cast<double>(batch_);
  }

 private:
  Sequential& net_;
  Sgd rule_;
  std::int64_t batch_;
  Execution execution_;
  DeviceTensor targets_, z_, inv_norm_, losses_, loss_sum_, rate_, step_;
  Recording recording_;
};

// Stored pictures of random bytes: the time of a step does not depend on what they show.
class StoredPictures {
 public:
  StoredPictures(Device device, const Shape& shape)
      : shape_(shape),
        memory_(device, static_cast<std::size_t>(shape.elements()), "pictures"),
        ids_(static_cast<std::size_t>(shape[0])),
        boxes_(ids_.size(), CropBox{.width = static_cast<float>(shape[2]),
                                    .height = static_cast<float>(shape[1])}) {
    std::iota(ids_.begin(), ids_.end(), 0);
    auto* bytes = memory_.as<std::uint8_t>();
    for (std::int64_t i = 0; i < shape.elements(); ++i) {
      const auto at = static_cast<std::uint64_t>(i);
      const Random4 words = philox(kSeed, RandomStream::synthetic, 0, at / 4);
      bytes[i] = static_cast<std::uint8_t>(words.value[at % 4] >> 24);
    }
  }
  ImageBatch batch() const {
    return {.ids = ids_,
            .pixels = ConstView(memory_.data(), DType::u8, shape_),
            .boxes = ConstView(boxes_.data(), DType::f32, Shape(shape_[0], 5))};
  }

  // Prepares them as the input of a network: whole pictures, Sobel.
  void prepare(Context& ctx, View images) const {
    const DeviceTensor pixels(ctx, shape_, DType::u8);
    const DeviceTensor boxes(ctx, batch().boxes.shape, DType::f32);
    copy_to_device(ctx, batch().pixels, pixels.view());
    copy_to_device(ctx, batch().boxes, boxes.view());
    preprocess(ctx, FrontEnd::sobel, pixels.view(), boxes.view(), images);
    synchronize(ctx);
  }

 private:
  Shape shape_;
  HostBuffer memory_;
  std::vector<std::int32_t> ids_;
  std::vector<CropBox> boxes_;
};

class NatStep {
 public:
  // `instrumented` tells the stages apart, which on CUDA means waiting for each.
  NatStep(Context& ctx, Sequential& net, const StoredPictures& pictures, const Sgd& rule,
          bool instrumented)
      : pictures_(pictures),
        targets_(ctx, kSeed, pictures.batch().pixels.shape[0], net.output_features()),
        trainer_(ctx, net, targets_,
                 {.mean_loss = true, .sgd = rule, .seed = kSeed, .time_stages = instrumented},
                 pictures.batch().pixels.shape) {
    trainer_.load(ctx, pictures_.batch());
  }

  // While the device computes, the next batch is brought to it. Every step re-assigns.
  void run(Context& ctx) {
    trainer_.begin(ctx, {.step = step_++, .reassign = true, .learning_rate = kLearningRate});
    trainer_.load(ctx, pictures_.batch());
    trainer_.finish(ctx);
  }
  const StageSeconds& seconds() const { return trainer_.seconds(); }
  const MemoryPlan& memory_plan() const { return trainer_.execution().memory_plan(); }

 private:
  const StoredPictures& pictures_;
  Targets targets_;
  Trainer trainer_;
  std::uint32_t step_ = 0;
};

class FeatureStep {
 public:
  FeatureStep(Context& ctx, Sequential& net, const StoredPictures& pictures)
      : pictures_(pictures),
        execution_(ctx, net, pictures.batch().pixels.shape[0], Mode::eval),
        pixels_(ctx, pictures.batch().pixels.shape, DType::u8),
        boxes_(ctx, pictures.batch().boxes.shape, DType::f32),
        features_(static_cast<std::size_t>(execution_.output().shape.elements())) {}

  void run(Context& ctx) {
    copy_to_device(ctx, pictures_.batch().pixels, pixels_.view());
    copy_to_device(ctx, pictures_.batch().boxes, boxes_.view());
    preprocess(ctx, FrontEnd::sobel, pixels_.view(), boxes_.view(), execution_.input());
    execution_.forward(ctx, Pass{.mode = Mode::eval});
    copy_to_host(ctx, execution_.output(),
                 View(features_.data(), DType::f32, execution_.output().shape));
  }
  const MemoryPlan& memory_plan() const { return execution_.memory_plan(); }

 private:
  const StoredPictures& pictures_;
  Execution execution_;
  DeviceTensor pixels_, boxes_;
  std::vector<float> features_;
};

}  // namespace nat::bench
