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

std::int64_t parts_of(std::int64_t pool, std::int64_t batch) {
  NAT_CHECK(batch >= 1, ErrorKind::unexpected, "trainer: a batch of ", batch, " pictures");
  NAT_CHECK(pool >= 0 && pool % batch == 0, ErrorKind::usage, "--assign-pool ", pool,
            " is not a multiple of --batch ", batch);
  return pool == 0 ? 1 : pool / batch;
}

}  // namespace

Trainer::Trainer(Context& ctx, Sequential& net, Targets& targets, const TrainerOptions& options,
                 Shape pixels)
    : net_(net),
      targets_(targets),
      options_(options),
      parts_(parts_of(options.pool, pixels[0])),
      execution_(ctx, net, pixels[0], Mode::train),
      assigner_(ctx, parts_ * pixels[0], targets.dimension(), options.solver),
      feed_(ctx.device, parts_, pixels) {
  NAT_CHECK(net.output_features() == targets.dimension(), ErrorKind::usage, "the network gives ",
            net.output_features(), "-dimensional features but targets have dimension ",
            targets.dimension(), "; use the same --dimension");
  const std::int64_t n = pixels[0], d = targets.dimension();
  const Shape dials(sizeof(Dials)), result(sizeof(Result));
  const auto carve_rows = [d](Carver& carver, std::int64_t count) {
    return Rows{.ids = carver.take(Shape(count), DType::i32),
                .held = carver.take(Shape(count), DType::i32),
                .z = carver.take(Shape(count, d), DType::f32),
                .c = carver.take(Shape(count, d), DType::f32),
                .column_of_row = carver.take(Shape(count), DType::i32)};
  };
  const auto carve = [&](char* base) {
    Carver carver(base);
    batch_ = carve_rows(carver, n);
    if (parts_ > 1) pool_ = carve_rows(carver, parts_ * n);
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
    host_dials_ = carver.take(Shape(parts_ * dials.elements()), DType::u8);
    host_result_ = carver.take(result, DType::u8);
    return carver.used();
  };
  host_memory_ = HostBuffer(ctx.device, carve_host(nullptr), "trainer");
  carve_host(host_memory_.as<char>());
  sgd_prepare(ctx, options_.sgd, net_.parameters());
}

StepReport Trainer::step(Context& ctx, const ImageBatch& batch, const Order& order) {
  load(ctx, batch);
  begin(ctx, order);
  return finish(ctx);
}

void Trainer::load(Context& ctx, const ImageBatch& pool) { feed_.load(ctx, pool); }

void Trainer::begin(Context& ctx, const Order& order) {
  assert(0 <= order.part && order.part < parts_);
  stage_began_ = std::chrono::steady_clock::now();
  order_ = order;
  if (order.part == 0 || !feed_.is_open()) feed_.open();
  set_dials(order);
  if (parts_ > 1 && order.reassign && order.part == 0) reassign_pool(ctx);

  take_batch(ctx, order.part);
  const bool reassigning = parts_ == 1 && order.reassign;
  run(ctx, reassigning ? recorded_.reassigning_step : recorded_.keeping_step,
      [&] { compute(ctx, reassigning); });
  copy_to_host(ctx, result_, host_result_);
}

void Trainer::compute(Context& ctx, bool reassigning) {
  const ConstView rate(&dials_.as<Dials>()->rate, DType::f32, Shape(1));
  const View loss_sum(&result_.as<Result>()->loss_sum, DType::f32, Shape(1));
  const View cosine_sum(&result_.as<Result>()->cosine_sum_after, DType::f32, Shape(1));

  features(ctx, pass());
  look_up(ctx, batch_);
  if (reassigning) reassign(ctx, batch_);
  row_dot(ctx, batch_.z, batch_.c, loss_);
  sum(ctx, loss_, cosine_sum);

  const auto n = static_cast<float>(execution_.batch());
  nat_loss(ctx, options_.mean_loss ? 1 / n : 1, batch_.z, inv_norm_, batch_.c, loss_,
           execution_.output_gradient());
  sum(ctx, loss_, loss_sum);
  count_time(ctx, seconds_.head);

  execution_.backward(ctx, pass());
  count_time(ctx, seconds_.backward);

  sgd_step(ctx, options_.sgd, rate, loss_sum, net_.parameters());
  count_time(ctx, seconds_.update);
}

void Trainer::features(Context& ctx, const Pass& pass) {
  execution_.forward(ctx, pass);  // u
  count_time(ctx, seconds_.forward);
  normalize_rows(ctx, execution_.output(), batch_.z, inv_norm_);  // z = u / |u|
}

void Trainer::look_up(Context& ctx, const Rows& images) {
  targets_.held(ctx, images.ids, images.held);
  targets_.rows(ctx, images.held, images.c);
  count_time(ctx, seconds_.head);
}

void Trainer::reassign(Context& ctx, const Rows& images) {
  Result* result = result_.as<Result>();
  assigner_.assign(ctx, images.z, images.c,
                   {.column_of_row = images.column_of_row,
                    .cosine_sum = View(&result->cosine_sum, DType::f32, Shape(1)),
                    .lap = &result->lap});
  targets_.exchange(ctx, images.ids, images.column_of_row, images.held,
                    View(&result->moved, DType::i32, Shape(1)));
  targets_.rows(ctx, images.held, images.c);
  count_time(ctx, seconds_.assign);
}

void Trainer::reassign_pool(Context& ctx) {
  const std::int64_t n = execution_.batch();
  Pass pass = this->pass();
  pass.update_statistics = false;
  for (std::int64_t part = 0; part < parts_; ++part) {
    take_batch(ctx, part);
    run(ctx, recorded_.features, [&] { features(ctx, pass); });
    copy(ctx, batch_.z, rows(pool_.z, part * n, (part + 1) * n));
  }
  copy(ctx, feed_.all().ids, pool_.ids);
  run(ctx, recorded_.pool, [&] {
    look_up(ctx, pool_);
    reassign(ctx, pool_);
  });
}

// Brings a batch of the pool to where the recorded operations look for it.
void Trainer::take_batch(Context& ctx, std::int64_t part) {
  constexpr std::int64_t kBytes = sizeof(Dials);
  copy_to_device(ctx, rows(host_dials_, part * kBytes, (part + 1) * kBytes), dials_);
  const PictureFeed::Pictures pictures = feed_.part(part);
  copy(ctx, pictures.ids, batch_.ids);
  preprocess(ctx, options_.front, pictures.pixels, pictures.boxes, execution_.input());
  count_time(ctx, seconds_.preprocess);
}

void Trainer::set_dials(const Order& order) {
  for (std::int64_t part = 0; part < parts_; ++part) {
    host_dials_.as<Dials>()[part] = {
        .rate = static_cast<float>(order.learning_rate),
        .step = order.step + static_cast<std::uint32_t>(part - order.part)};
  }
}

Pass Trainer::pass() const {
  return {.mode = Mode::train, .seed = options_.seed, .step = &dials_.as<Dials>()->step};
}

void Trainer::run(Context& ctx, Recording& recording, const std::function<void()>& enqueue) {
  if (ctx.device == Device::cuda && !options_.time_stages) {
    recording.run(ctx, enqueue);
  } else {
    enqueue();
  }
}

StepReport Trainer::finish(Context& ctx) {
  synchronize(ctx);
  if (ctx.device == Device::cuda && !options_.time_stages) count_time(ctx, seconds_.recorded);
  const Result& result = *host_result_.as<Result>();
  StepReport report;
  report.judged = execution_.batch();
  report.loss = static_cast<double>(result.loss_sum) / static_cast<double>(report.judged);
  NAT_CHECK(std::isfinite(report.loss), ErrorKind::not_finite, "the loss of step ", order_.step + 1,
            " is ", std::isnan(report.loss) ? "nan" : "infinite",
            "; begin a new run with a lower --lr");
  report.cosine_after =
      static_cast<double>(result.cosine_sum_after) / static_cast<double>(report.judged);
  report.cosine_before = report.cosine_after;
  if (order_.reassign && order_.part > 0) report.judged = 0;
  if (order_.reassign && order_.part == 0) {
    report.judged *= parts_;
    NAT_CHECK(std::isfinite(result.cosine_sum), ErrorKind::not_finite, "the pool of step ",
              order_.step + 1, " has features that hold NaN or infinity",
              "; begin a new run with a lower --lr");
    report.cosine_before =
        static_cast<double>(result.cosine_sum) / static_cast<double>(report.judged);
    report.moved = result.moved;
    report.lap = result.lap;
  }
  return report;
}

void Trainer::check_features(Context& ctx) {
  if (!feed_.is_open()) return;  // no step yet
  const View total(&result_.as<Result>()->loss_sum, DType::f32, Shape(1));
  const StageSeconds of_steps = seconds_;
  take_batch(ctx, order_.part);
  features(ctx, {.mode = Mode::eval});
  row_dot(ctx, batch_.z, batch_.z, loss_);  // 1 for a unit row, NaN where u holds what is no number
  sum(ctx, loss_, total);
  copy_to_host(ctx, result_, host_result_);
  synchronize(ctx);
  seconds_ = of_steps;
  NAT_CHECK(std::isfinite(host_result_.as<Result>()->loss_sum), ErrorKind::not_finite,
            "after step ", order_.step + 1, " the features hold NaN or infinity",
            "; begin a new run with a lower --lr");
}

// Adds the time since the last call to one stage. Where work is only enqueued that means waiting
// for it, which a recorded step must not do.
void Trainer::count_time(Context& ctx, double& stage) {
  if (ctx.device == Device::cuda && &stage != &seconds_.recorded) {
    if (!options_.time_stages) return;
    synchronize(ctx);
  }
  const auto now = std::chrono::steady_clock::now();
  stage += std::chrono::duration<double>(now - stage_began_).count();
  stage_began_ = now;
}

void calibrate_batchnorm(Context& ctx, Execution& execution, FrontEnd front, View pixels,
                         View boxes, std::uint64_t seed, std::uint32_t step) {
  const Buffer number(ctx.device, sizeof step, "step number");
  copy_to_device(ctx, ConstView(&step, DType::i32, Shape(1)),
                 View(number.data(), DType::i32, Shape(1)));
  preprocess(ctx, front, pixels, boxes, execution.input());
  execution.forward(ctx,
                    Pass{.mode = Mode::train, .seed = seed, .step = number.as<std::uint32_t>()});
  synchronize(ctx);  // `step` and `number` end here
}

}  // namespace nat
