#include "nat/trainer.h"

#include <cassert>
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

}  // namespace

Trainer::Trainer(Context& ctx, Sequential& net, Targets& targets, const TrainerOptions& options,
                 Shape pixels)
    : net_(net),
      targets_(targets),
      options_(options),
      execution_(ctx, net, pixels[0], Mode::train),
      assigner_(ctx, pixels[0], targets.dimension()),
      transfer_(ctx.device) {
  NAT_CHECK(net.output_features() == targets.dimension(), ErrorKind::usage, "the network gives ",
            net.output_features(), "-dimensional features but targets have dimension ",
            targets.dimension(), "; use the same --dimension");
  const std::int64_t n = pixels[0], d = targets.dimension();
  const Shape dials(sizeof(Dials)), result(sizeof(Result));
  const auto carve = [&](char* base) {
    Carver carver(base);
    for (Loaded& loaded : loaded_) {
      loaded.pixels = carver.take(pixels, DType::u8);
      loaded.boxes = carver.take(Shape(n, 5), DType::f32);
      loaded.ids = carver.take(Shape(n), DType::i32);
    }
    ids_ = carver.take(Shape(n), DType::i32);
    held_ = carver.take(Shape(n), DType::i32);
    column_of_row_ = carver.take(Shape(n), DType::i32);
    z_ = carver.take(Shape(n, d), DType::f32);
    c_ = carver.take(Shape(n, d), DType::f32);
    inv_norm_ = carver.take(Shape(n), DType::f32);
    loss_ = carver.take(Shape(n), DType::f32);
    dials_ = carver.take(dials, DType::u8);
    result_ = carver.take(result, DType::u8);
    return carver.used();
  };
  memory_ = Buffer(ctx.device, carve(nullptr), "trainer");
  carve(memory_.as<char>());
  const auto carve_host = [&](char* base) {
    Carver carver(base);
    host_dials_ = carver.take(dials, DType::u8);
    host_result_ = carver.take(result, DType::u8);
    return carver.used();
  };
  host_memory_ = HostBuffer(ctx.device, carve_host(nullptr), "trainer");
  carve_host(host_memory_.as<char>());
}

StepReport Trainer::step(Context& ctx, const ImageBatch& batch, const Order& order) {
  load(ctx, batch);
  begin(ctx, order);
  return finish(ctx);
}

void Trainer::load(Context& ctx, const ImageBatch& batch) {
  const Loaded& to = loaded_[loads_++ % 2];
  NAT_CHECK(batch.pixels.shape == to.pixels.shape, ErrorKind::unexpected, "batch of ",
            to_string(batch.pixels.shape), " pictures, planned for ", to_string(to.pixels.shape));
  transfer_.copy(ctx, batch.pixels, to.pixels);
  transfer_.copy(ctx, batch.boxes, to.boxes);
  transfer_.copy(ctx, ConstView(batch.ids.data(), DType::i32, to.ids.shape), to.ids);
}

void Trainer::begin(Context& ctx, const Order& order) {
  assert(steps_ < loads_);
  lap_began_ = std::chrono::steady_clock::now();
  reassigning_ = order.reassign;
  const Loaded& from = loaded_[steps_++ % 2];
  *host_dials_.as<Dials>() = {.rate = static_cast<float>(order.learning_rate), .step = order.step};
  transfer_.wait();
  copy_to_device(ctx, host_dials_, dials_);
  copy(ctx, from.ids, ids_);
  preprocess(ctx, options_.front, from.pixels, from.boxes, execution_.input());
  lap(ctx, seconds_.preprocess);
  if (ctx.device == Device::cuda && !options_.time_stages) {
    recordings_[order.reassign].run(ctx, [&] { compute(ctx, order.reassign); });
  } else {
    compute(ctx, order.reassign);
  }
  copy_to_host(ctx, result_, host_result_);
}

void Trainer::compute(Context& ctx, bool reassigning) {
  const Dials* dials = dials_.as<Dials>();
  const ConstView rate(&dials->rate, DType::f32, Shape(1));
  const View loss_sum(&result_.as<Result>()->loss_sum, DType::f32, Shape(1));
  const Pass pass{.mode = Mode::train, .seed = options_.seed, .step = &dials->step};

  execution_.forward(ctx, pass);  // u = f(X)
  lap(ctx, seconds_.forward);

  normalize_rows(ctx, execution_.output(), z_, inv_norm_);  // z = u / |u|
  targets_.held(ctx, ids_, held_);
  targets_.rows(ctx, held_, c_);
  lap(ctx, seconds_.head);
  if (reassigning) reassign(ctx);

  const auto n = static_cast<float>(z_.shape[0]);
  nat_loss(ctx, options_.mean_loss ? 1 / n : 1, z_, inv_norm_, c_, loss_,
           execution_.output_gradient());
  sum(ctx, loss_, loss_sum);
  lap(ctx, seconds_.head);

  execution_.backward(ctx, pass);
  lap(ctx, seconds_.backward);

  sgd_step(ctx, options_.sgd, rate, loss_sum, net_.parameters());
  lap(ctx, seconds_.update);
}

void Trainer::reassign(Context& ctx) {
  Result* result = result_.as<Result>();
  assigner_.assign(ctx, z_, c_,
                   {.column_of_row = column_of_row_,
                    .cosine_sum = View(&result->cosine_sum, DType::f32, Shape(1)),
                    .lap = &result->lap});
  targets_.exchange(ctx, ids_, column_of_row_, held_, View(&result->moved, DType::i32, Shape(1)));
  targets_.rows(ctx, held_, c_);
  lap(ctx, seconds_.assign);
}

StepReport Trainer::finish(Context& ctx) {
  synchronize(ctx);
  if (ctx.device == Device::cuda && !options_.time_stages) lap(ctx, seconds_.recorded);
  const Result& result = *host_result_.as<Result>();
  const auto n = static_cast<double>(z_.shape[0]);
  StepReport report;
  report.loss = static_cast<double>(result.loss_sum) / n;
  NAT_CHECK(std::isfinite(report.loss), ErrorKind::not_finite, "the loss is ", report.loss,
            "; lower --lr, or resume from the last checkpoint with another setting");
  report.cosine_after = 1 - report.loss / 2;  // |z - c|^2 = 2 - 2 z.c for unit rows
  report.cosine_before = report.cosine_after;
  if (reassigning_) {
    report.cosine_before = static_cast<double>(result.cosine_sum) / n;
    report.moved = result.moved;
    report.lap = result.lap;
  }
  return report;
}

// Adds the time since the last lap to one stage. Where work is only enqueued that means waiting for
// it, which a recorded step must not do.
void Trainer::lap(Context& ctx, double& stage) {
  if (ctx.device == Device::cuda && &stage != &seconds_.recorded) {
    if (!options_.time_stages) return;
    synchronize(ctx);
  }
  const auto now = std::chrono::steady_clock::now();
  stage += std::chrono::duration<double>(now - lap_began_).count();
  lap_began_ = now;
}

void calibrate_batchnorm(Context& ctx, Execution& execution, FrontEnd front, View pixels,
                         View boxes) {
  preprocess(ctx, front, pixels, boxes, execution.input());
  execution.forward(ctx, Pass{.mode = Mode::train});
}

}  // namespace nat
