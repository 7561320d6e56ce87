#include "nat/trainer.h"

#include <chrono>
#include <cmath>

#include "engine/optimizer.h"
#include "kernels/nat_head.h"
#include "kernels/reduce.h"

namespace nat {

namespace {

// Hands out views of one buffer, each on a 256-byte boundary.
class Carver {
 public:
  explicit Carver(char* base) : base_(base) {}
  View take(Shape shape, DType dtype) {
    const View view(base_ == nullptr ? nullptr : base_ + used_, dtype, shape);
    used_ += (view.bytes() + 255) / 256 * 256;
    return view;
  }
  std::size_t used() const { return used_; }

 private:
  char* base_;
  std::size_t used_ = 0;
};

// Adds the time since the last lap to one stage.
class Stopwatch {
 public:
  void lap(double& stage) {
    const auto now = std::chrono::steady_clock::now();
    stage += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

float scalar(Context& ctx, View one) {
  float value = 0;
  copy_to_host(ctx, one, View(&value, DType::f32, Shape(1)));
  synchronize(ctx);
  return value;
}

}  // namespace

Trainer::Trainer(Context& ctx, Sequential& net, Targets& targets, const TrainerOptions& options,
                 Shape pixels)
    : net_(net),
      targets_(targets),
      options_(options),
      execution_(ctx, net, pixels[0], Mode::train),
      assigner_(ctx, pixels[0], targets.dimension()) {
  NAT_CHECK(net.output_features() == targets.dimension(), ErrorKind::usage, "the network gives ",
            net.output_features(), "-dimensional features but targets have dimension ",
            targets.dimension(), "; use the same --dimension");
  const std::int64_t n = pixels[0], d = targets.dimension();
  const auto carve = [&](char* base) {
    Carver carver(base);
    pixels_ = carver.take(pixels, DType::u8);
    boxes_ = carver.take(Shape(n, 5), DType::f32);
    z_ = carver.take(Shape(n, d), DType::f32);
    c_ = carver.take(Shape(n, d), DType::f32);
    inv_norm_ = carver.take(Shape(n), DType::f32);
    loss_ = carver.take(Shape(n), DType::f32);
    loss_sum_ = carver.take(Shape(1), DType::f32);
    return carver.used();
  };
  memory_ = Buffer(ctx.device, carve(nullptr), "trainer");
  carve(memory_.as<char>());
}

StepReport Trainer::step(Context& ctx, const ImageBatch& batch, const Order& order) {
  StepReport report;
  Stopwatch watch;
  const Pass pass{.mode = Mode::train, .seed = options_.seed, .step = order.step};

  load_pictures(ctx, batch);
  watch.lap(seconds_.preprocess);

  execution_.forward(ctx, pass);  // u = f(X)
  watch.lap(seconds_.forward);

  normalize_rows(ctx, execution_.output(), z_, inv_norm_);  // z = u / |u|
  targets_.rows(ctx, batch.ids, c_);
  if (order.reassign) {
    watch.lap(seconds_.head);
    reassign(ctx, batch.ids, report);
    watch.lap(seconds_.assign);
  }
  const double n = static_cast<double>(batch.ids.size());
  const float scale = options_.mean_loss ? static_cast<float>(1 / n) : 1.0f;
  nat_loss(ctx, scale, z_, inv_norm_, c_, loss_, execution_.output_gradient());
  measure_loss(ctx, order.reassign, report);
  watch.lap(seconds_.head);

  execution_.backward(ctx, pass);
  watch.lap(seconds_.backward);

  Sgd rule = options_.sgd;
  rule.learning_rate = static_cast<float>(order.learning_rate);
  sgd_step(ctx, rule, net_.parameters());
  watch.lap(seconds_.update);
  return report;
}

void Trainer::load_pictures(Context& ctx, const ImageBatch& batch) {
  NAT_CHECK(batch.pixels.shape == pixels_.shape, ErrorKind::unexpected, "batch of ",
            to_string(batch.pixels.shape), " pictures, planned for ", to_string(pixels_.shape));
  copy_to_device(ctx, batch.pixels, pixels_);
  copy_to_device(ctx, batch.boxes, boxes_);
  preprocess(ctx, options_.front, pixels_, boxes_, execution_.input());
}

void Trainer::reassign(Context& ctx, std::span<const std::int32_t> ids, StepReport& report) {
  const Assignment assignment = assigner_.assign(ctx, z_, c_);
  report.lap = assignment.lap;
  report.cosine_before = assignment.mean_cosine_before;
  report.moved = targets_.permute(ids, assignment.column_of_row);
  targets_.rows(ctx, ids, c_);
}

void Trainer::measure_loss(Context& ctx, bool reassigned, StepReport& report) {
  sum(ctx, loss_, loss_sum_);
  report.loss = static_cast<double>(scalar(ctx, loss_sum_)) / static_cast<double>(loss_.shape[0]);
  NAT_CHECK(std::isfinite(report.loss), ErrorKind::not_finite, "the loss is ", report.loss,
            "; lower --lr, or resume from the last checkpoint with another setting");
  report.cosine_after = 1 - report.loss / 2;  // |z - c|^2 = 2 - 2 z.c for unit rows
  if (!reassigned) report.cosine_before = report.cosine_after;
}

void calibrate_batchnorm(Context& ctx, Execution& execution, FrontEnd front, View pixels,
                         View boxes) {
  preprocess(ctx, front, pixels, boxes, execution.input());
  execution.forward(ctx, Pass{.mode = Mode::train});
}

}  // namespace nat
