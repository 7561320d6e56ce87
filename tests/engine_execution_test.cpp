// A whole small network: gradients by central differences, memory sharing, allocations, precision,
// train and eval mode, dropout.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "engine/execution.h"
#include "engine/init.h"
#include "engine/optimizer.h"
#include "kernels/cast.h"
#include "kernels/cpu_info.h"
#include "kernels/nat_head.h"
#include "tests/opcases/device.h"
#include "tests/opcases/tensor.h"
#include "tests/tiny_network.h"

// Every allocation of tensor size in this program is counted, whoever asks for it.
namespace {
constexpr std::size_t kTensorBytes = 1024;
std::atomic<int> large_allocations{0};

void* counted(std::size_t alignment, std::size_t bytes) {
  if (bytes >= kTensorBytes) ++large_allocations;
  void* data = nullptr;
  return posix_memalign(&data, alignment, bytes) == 0 ? data : nullptr;
}
}  // namespace

extern "C" void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
  return counted(alignment, bytes);
}
[[gnu::noinline]] void* operator new(std::size_t bytes) {
  if (void* data = counted(alignof(std::max_align_t), bytes)) return data;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return counted(alignof(std::max_align_t), bytes);
}
[[gnu::noinline]] void operator delete(void* data) noexcept { std::free(data); }
[[gnu::noinline]] void operator delete(void* data, std::size_t) noexcept { std::free(data); }

using namespace nat;
using namespace nat::test;

namespace {

// Enough batch rows for the statistics, few enough for float64 loops.
constexpr std::int64_t kBatch = 8;

// The head of Noise As Targets on an execution: z = u / |u|, loss = sum |z - c|^2, gradient to u.
class Head {
 public:
  Head(Context& ctx, const Execution& execution)
      : dtype_(execution.output().dtype),
        z_(execution.output().shape, dtype_),
        target_(z_.shape(), dtype_),
        inv_norm_(Shape(execution.batch()), dtype_),
        loss_(Shape(execution.batch()), dtype_) {
    Tensor raw(z_.shape(), dtype_);
    raw.fill_uniform(11, -1, 1);
    normalize_rows(ctx, raw.view(), target_.view(), inv_norm_.view());
  }

  double operator()(Context& ctx, const Execution& execution) {
    nat_head(ctx, 1, execution.output(), target_.view(), z_.view(), inv_norm_.view(), loss_.view(),
             execution.output_gradient());
    double total = 0;
    for (std::int64_t i = 0; i < loss_.size(); ++i) total += loss_.get(i);
    return total;
  }

 private:
  DType dtype_;
  Tensor z_, target_, inv_norm_, loss_;
};

// A network, an execution of it for training, and the head.
struct Training {
  Context ctx;
  Sequential net;
  Execution execution;
  Head head;
  Tensor step_number, rate;
  Pass pass;

  explicit Training(const TinySizes& sizes, DType real = DType::f32, Math math = Math::f32,
                    Sharing sharing = Sharing::on, const std::vector<std::string>& keep = {})
      : ctx(kDevice, math),
        net(tiny_network(ctx, sizes, real)),
        execution(ctx, net, kBatch, Mode::train, keep, sharing),
        head(ctx, execution),
        step_number(Shape(1), DType::i32),
        rate(Shape(1), DType::f32),
        pass(this->pass_of(Mode::train, 5, 1)) {
    initialize(ctx, Init::torch7, 1, net.parameters());
    show_pictures(1);
  }

  // The same pictures for every dtype: multiples of 1/64 within one are exact even in bf16.
  void show_pictures(std::uint64_t seed) { show_pictures(ctx, execution, seed); }
  static void show_pictures(Context& ctx, const Execution& execution, std::uint64_t seed) {
    Tensor pictures(execution.input().shape, DType::f64);
    pictures.fill_uniform(seed, -1, 1);
    for (std::int64_t i = 0; i < pictures.size(); ++i) {
      pictures.set(i, std::round(pictures.get(i) * 64) / 64);
    }
    cast(ctx, pictures.view(), execution.input());
  }

  double loss() {
    execution.forward(ctx, pass);
    return head(ctx, execution);
  }
  double forward_backward() {
    const double value = loss();
    execution.backward(ctx, pass);
    return value;
  }
  double step(float learning_rate) {
    const double value = forward_backward();
    rate.fill(learning_rate);
    sgd_step(ctx, {}, rate.view(), {}, net.parameters());
    return value;
  }
  Pass pass_of(Mode mode, std::uint64_t seed, int step) {
    step_number.fill(step);
    return {.mode = mode, .seed = seed, .step = step_number.view().as<std::uint32_t>()};
  }
};

// Any view as doubles in plain row-major order.
std::vector<double> values(Context& ctx, ConstView view) {
  Tensor plain(view.shape, DType::f64);
  cast(ctx, view, plain.view());
  return plain.values();
}

// A parameter of the set in file order, which does not depend on the layout in memory.
std::vector<double> in_file_order(Context& ctx, const ParameterSet& set, std::size_t index,
                                  View flat) {
  const Parameter& parameter = set.parameters()[index];
  const std::vector<double> memory =
      values(ctx, rows(flat, parameter.offset, parameter.offset + parameter.shape.elements()));
  const std::vector<float> narrow(memory.begin(), memory.end());
  const std::vector<float> file = set.to_file(parameter, narrow.data());
  return {file.begin(), file.end()};
}

double relative_l2(const std::vector<double>& actual, const std::vector<double>& expected) {
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    error += std::pow(actual[i] - expected[i], 2);
    norm += std::pow(expected[i], 2);
  }
  return std::sqrt(error / norm);
}

// Multiplies every weight of a convolution or linear layer by 1 + (s_1 + ... + s_k) size, s = +-1.
void round_weights(Training& training, std::uint64_t seed, int k, double size) {
  const ParameterSet& set = training.net.parameters();
  for (const Parameter& parameter : set.parameters()) {
    if (parameter.role != Role::weight) continue;
    const View flat =
        rows(set.values(), parameter.offset, parameter.offset + parameter.shape.elements());
    std::vector<double> w = values(training.ctx, flat);
    for (std::size_t i = 0; i < w.size(); ++i) {
      const auto at = static_cast<std::uint64_t>(parameter.offset) + i;
      const std::uint32_t bits = philox(seed, RandomStream::synthetic, 0, at).value[0];
      int sum = 0;
      for (int j = 0; j < k; ++j) sum += (bits >> j & 1) != 0 ? 1 : -1;
      w[i] *= 1 + sum * size;
    }
    upload(training.ctx, w, flat);
  }
}

// Gradients of all parameters after one step, in file order.
std::vector<std::vector<double>> gradients_of_step(Training& training) {
  training.forward_backward();
  const ParameterSet& set = training.net.parameters();
  std::vector<std::vector<double>> gradients;
  for (std::size_t i = 0; i < set.parameters().size(); ++i) {
    gradients.push_back(in_file_order(training.ctx, set, i, set.gradients()));
  }
  return gradients;
}

bool same_bits(Training& a, View of_a, Training& b, View of_b) {
  return host_copy<std::uint8_t>(a.ctx, of_a) == host_copy<std::uint8_t>(b.ctx, of_b);
}

// Central differences through the whole network against its backward pass, the worst relative
// error over all parameters. h is small because a ReLU or a pool that switches inside [-h, h] has
// no derivative there: with h = 1e-7 that happens to none of the few hundred activations, and
// rounding, about 1e-15 / h, stays far below 1e-6.
double worst_gradient_error(Training& training) {
  training.forward_backward();
  const std::vector<double> analytic = values(training.ctx, training.net.parameters().gradients());
  double worst = 0;
  for (const Parameter& parameter : training.net.parameters().parameters()) {
    const View flat = training.net.parameters().values();
    const std::vector<double> w = values(
        training.ctx, rows(flat, parameter.offset, parameter.offset + parameter.shape.elements()));
    const double* g = analytic.data() + parameter.offset;
    double scale = 0, error = 0;
    for (std::int64_t i = 0; i < parameter.shape.elements(); ++i) {
      const double before = w[static_cast<std::size_t>(i)], h = 1e-7;
      const auto loss_at = [&](double value) {
        const std::int64_t at = parameter.offset + i;
        upload(training.ctx, std::vector<double>{value}, rows(flat, at, at + 1));
        return training.loss();
      };
      const double above = loss_at(before + h), below = loss_at(before - h);
      loss_at(before);
      scale = std::max(scale, std::abs(g[i]));
      error = std::max(error, std::abs((above - below) / (2 * h) - g[i]));
    }
    CAPTURE(parameter.name);
    CHECK(scale > 1e-3);  // a gradient of nothing would prove nothing
    worst = std::max(worst, error / scale);
  }
  return worst;
}

}  // namespace

TEST_CASE("the gradient of every parameter through the whole network equals central differences") {
  for (const Mode mode : {Mode::train, Mode::eval}) {
    for (const float dropout : {0.0f, 0.5f}) {
      CAPTURE((mode == Mode::train));
      CAPTURE(dropout);
      Training training({.picture = Shape(1, 6, 6, 2),
                         .conv1 = 3,
                         .conv2 = 2,
                         .hidden = 5,
                         .dimension = 4,
                         .dropout = dropout},
                        DType::f64);
      // Running statistics that describe the pictures, so that eval mode is a working network too.
      for (int pass = 0; pass < 20; ++pass) training.loss();
      training.pass.mode = mode;
      CHECK(worst_gradient_error(training) <= 1e-6);
    }
  }
}

TEST_CASE("batch norms without a scale of their own are passed through, and stay as they are") {
  Training training({.picture = Shape(1, 6, 6, 2),
                     .conv1 = 3,
                     .conv2 = 2,
                     .hidden = 5,
                     .dimension = 4,
                     .affine = Affine::no},
                    DType::f64);
  const ParameterSet& set = training.net.parameters();
  const auto all = [&] { return values(training.ctx, set.statistic_values()); };
  const std::vector<double> before = all();
  for (int pass = 0; pass < 20; ++pass) training.loss();
  for (const Mode mode : {Mode::train, Mode::eval}) {
    training.pass.mode = mode;
    CHECK(worst_gradient_error(training) <= 1e-6);
  }
  training.step(0.1f);
  for (const Parameter& parameter : set.parameters()) {
    CAPTURE(parameter.name);
    CHECK(parameter.name.substr(0, 4) != "bn1.");
    CHECK(parameter.name.substr(0, 4) != "bn2.");
  }
  const std::vector<double> after = all();
  int constants = 0;
  for (const Statistic& statistic : set.statistics()) {
    const bool is_constant = statistic.name.find("running") == std::string::npos;
    for (std::int64_t i = statistic.offset; i < statistic.offset + statistic.size; ++i) {
      const auto at = static_cast<std::size_t>(i);
      CHECK((before[at] == after[at]) == is_constant);
      constants += is_constant;
    }
  }
  CHECK(constants == 2 * (3 + 2));
}

void set(Training& training, const std::string& name, const std::vector<double>& value) {
  for (const Parameter& parameter : training.net.parameters().parameters()) {
    if (parameter.name != name) continue;
    upload(training.ctx, value,
           rows(training.net.parameters().values(), parameter.offset,
                parameter.offset + parameter.shape.elements()));
  }
}

// In all networks of today a layer that reads its output again stands before one that keeps its x.
TEST_CASE("a gradient is not written over an output that the layer in front still reads") {
  const TinySizes sizes{.picture = Shape(1, 6, 6, 2),
                        .conv1 = 3,
                        .conv2 = 2,
                        .hidden = 5,
                        .dimension = 4,
                        .renormed = true};
  Training on(sizes, DType::f64), off(sizes, DType::f64, Math::f32, Sharing::off);
  // With shifts of 0, as at the start, the second norm takes the first one's scales out again, and
  // what is left of their gradients would be smaller than the rounding of central differences.
  for (Training* training : {&on, &off}) set(*training, "bn2.bias", {0.5, -0.4});
  CHECK(on.forward_backward() == off.forward_backward());
  CHECK(same_bits(on, on.net.parameters().gradients(), off, off.net.parameters().gradients()));
  CHECK(worst_gradient_error(on) <= 1e-6);
}

// Whether the gradient of this layer's output has memory of its own.
bool has_own_gradient(const Training& training, const std::string& layer) {
  const auto& slots = training.execution.memory_plan().slots();
  return std::any_of(slots.begin(), slots.end(),
                     [&](const MemoryPlan::Slot& slot) { return slot.name == "d " + layer; });
}

TEST_CASE("sharing memory changes no bit of outputs and gradients") {
  for (const Math math : {Math::f32, Math::bf16}) {
    CAPTURE(name(math));
    Training on({.dropout = 0.5f}, DType::f32, math, Sharing::on);
    Training off({.dropout = 0.5f}, DType::f32, math, Sharing::off);
    for (int step = 0; step < 2; ++step) {
      CHECK(on.loss() == off.loss());
      CHECK(values(on.ctx, on.execution.output()) == values(off.ctx, off.execution.output()));
      on.execution.backward(on.ctx, on.pass);
      off.execution.backward(off.ctx, off.pass);
      CHECK(same_bits(on, on.net.parameters().gradients(), off, off.net.parameters().gradients()));
      CHECK(same_bits(on, on.net.parameters().statistic_values(), off,
                      off.net.parameters().statistic_values()));
    }
    CHECK(on.execution.memory_plan().total() < off.execution.memory_plan().total());
    for (const auto& layer : off.net.layers()) {
      CAPTURE(layer->name());
      CHECK(has_own_gradient(off, layer->name()));
    }
    CHECK_FALSE(has_own_gradient(on, "conv1"));  // bn1 writes it over its input
  }
}

// Where such pictures are folded (those of 2 channels on CUDA alone, those of 4 on the CPU, too),
// what they are folded to is kept, and they are forgotten unless told otherwise.
TEST_CASE("a strided first layer has the right gradients, whether memory is shared or not") {
  std::int64_t channels = 0;
  SUBCASE("2 channels") { channels = 2; }
  SUBCASE("4 channels") { channels = 4; }
  const bool folds = kOnCuda || channels == 4;
  const TinySizes sizes{.picture = Shape(1, 12, 12, channels),
                        .conv1 = 3,
                        .conv2 = 2,
                        .hidden = 5,
                        .dimension = 4,
                        .first = {.kernel = 5, .stride = 2, .pad = 2}};
  const std::vector<std::string> keep = {Execution::kInput};
  Training on(sizes, DType::f64, Math::f32, Sharing::on, keep);
  Training off(sizes, DType::f64, Math::f32, Sharing::off);
  CHECK(on.forward_backward() == off.forward_backward());
  CHECK(same_bits(on, on.net.parameters().gradients(), off, off.net.parameters().gradients()));
  CHECK(worst_gradient_error(on) <= 1e-6);

  const int end = 2 * static_cast<int>(on.net.layers().size());  // the head between both ways
  CHECK(on.execution.memory_plan().slots().front().last == end);
  const MemoryPlan plan = Execution::plan(on.ctx, on.net, kBatch, Mode::train);
  const auto slot = [&](const std::string& name) {
    return std::find_if(plan.slots().begin(), plan.slots().end(),
                        [&](const MemoryPlan::Slot& s) { return s.name == name; });
  };
  CHECK((slot("conv1 saved") != plan.slots().end()) == folds);
  CHECK(slot("input")->last == (folds ? 0 : end));
}

TEST_CASE("evaluation keeps nothing that only a backward pass would read") {
  Context ctx(kDevice);
  Sequential net = tiny_network(ctx, {});
  const auto saved = [&](Mode mode, const std::string& layer) {
    const MemoryPlan plan = Execution::plan(ctx, net, kBatch, mode);
    return std::count_if(plan.slots().begin(), plan.slots().end(),
                         [&](const auto& slot) { return slot.name == layer + " saved"; });
  };
  CHECK(saved(Mode::train, "bn1") == 4);  // pooled: where each maximum was, and what it was
  CHECK(saved(Mode::eval, "bn1") == 2);
  CHECK(saved(Mode::train, "bn2") == 2);
  CHECK(saved(Mode::eval, "bn2") == 2);

  const Execution evaluation(ctx, net, kBatch, Mode::eval);
  CHECK(net.parameters().gradients().empty());
  const Execution training(ctx, net, kBatch, Mode::train);
  CHECK(net.parameters().gradients().shape == net.parameters().values().shape);
}

TEST_CASE("after the first step a training step allocates nothing of tensor size") {
  for (const Math math : {Math::f32, Math::bf16}) {
    CAPTURE(name(math));
    const int before = large_allocations;
    Training training({.dropout = 0.5f}, DType::f32, math);
    training.step(0.01f);
    const int warm = large_allocations;
    CHECK((warm > before || kOnCuda));  // the count works; it sees host memory only
    const std::size_t high_water = training.ctx.scratch.high_water();
    for (int step = 0; step < 5; ++step) training.step(0.01f);
    if (!kOnCuda) CHECK(large_allocations == warm);
    CHECK(training.ctx.scratch.high_water() == high_water);
  }
}

TEST_CASE("a step in float32 equals the step in float64, for every parameter") {
  Training single({}), twice({}, DType::f64);
  // A rate of one makes the update as large as the parameters, so that its error shows. On the CPU
  // Winograd's convolutions round to a few 1e-6 of what they compute, and a gradient of beta, a sum
  // over pixels that nearly cancels, shows it magnified.
  constexpr double kTolerance = kOnCuda ? 1e-5 : 3e-5;
  CHECK(single.step(1) == doctest::Approx(twice.step(1)).epsilon(1e-5));
  const ParameterSet &a = single.net.parameters(), &b = twice.net.parameters();
  for (std::size_t i = 0; i < a.parameters().size(); ++i) {
    CAPTURE(a.parameters()[i].name);
    CHECK(relative_l2(in_file_order(single.ctx, a, i, a.values()),
                      in_file_order(twice.ctx, b, i, b.values())) <= kTolerance);
    CHECK(relative_l2(in_file_order(single.ctx, a, i, a.gradients()),
                      in_file_order(twice.ctx, b, i, b.gradients())) <= 1e-4);
  }
}

TEST_CASE("a step in bfloat16 comes close to the step in float64") {
  if (!kOnCuda && !cpu_info().bf16) {
    MESSAGE("skipped: this processor has no bfloat16 products");
    return;
  }
  // What rounding to bfloat16 may do to a gradient, measured in float64 on the same network. A
  // layer y = W x meets three roundings of relative size u = 2^-8 at most: of W, of the stored x
  // and of the stored y; backward of W, dy and dx. Summed over many products of random sign they
  // weigh the same: relative errors of the w, of the x, or of the whole sum, independent and of one
  // size, all have the mean square sum (w x)^2 times that size squared. So three roundings of each
  // weight stand for them, forward and backward, with every ReLU and maximum that they switch. Here
  // all of them have the size u. Real ones are uniform in +-u (fraction 1) to +-u / 2 (fraction
  // near 2), root mean square 0.41 u: 2.4 times less where errors grow with their cause, about
  // sqrt(2.4) = 1.5 times less where they come from switches, whose number grows with it. A
  // gradient that is stored in bfloat16, as on CUDA, adds u. Which switches flip is chance, so the
  // largest of four draws counts. Seen on a processor with bfloat16 products: 0.2 to 0.4 of the
  // bound in the smooth network, 0.1 to 0.6 in the other.
  constexpr double kU = 0x1p-8;
  for (const bool smooth : {true, false}) {
    CAPTURE(smooth);
    const TinySizes sizes{.picture = Shape(1, smooth ? 6 : 12, smooth ? 6 : 12, 2),
                          .smooth = smooth};
    Training half(sizes, DType::f32, Math::bf16), twice(sizes, DType::f64);
    const auto rounded = gradients_of_step(half), exact = gradients_of_step(twice);
    std::vector<double> bounds(exact.size(), 0);
    for (std::uint64_t draw = 0; draw < 4; ++draw) {
      Training noisy(sizes, DType::f64);
      round_weights(noisy, draw, 3, kU);
      const auto gradients = gradients_of_step(noisy);
      for (std::size_t i = 0; i < exact.size(); ++i) {
        bounds[i] = std::max(bounds[i], relative_l2(gradients[i], exact[i]) + kU);
      }
    }
    for (std::size_t i = 0; i < exact.size(); ++i) {
      const Parameter& parameter = half.net.parameters().parameters()[i];
      CAPTURE(parameter.name);
      // Without a ReLU between, the next batch norm takes a shift out again: no gradient.
      if (smooth && parameter.role == Role::shift) continue;
      CHECK(relative_l2(rounded[i], exact[i]) <= bounds[i]);
    }
  }
}

TEST_CASE("training lowers the loss; eval mode then normalises with the running statistics") {
  Training training({});
  const double first = training.step(0.05f);
  double last = first;
  for (int step = 0; step < 30; ++step) last = training.step(0.05f);
  CHECK(last < 0.5 * first);

  Context& ctx = training.ctx;
  Execution eval(ctx, training.net, kBatch, Mode::eval, {"conv2", "bn2"});
  Training::show_pictures(ctx, eval, 1);
  eval.forward(ctx, Pass{.mode = Mode::eval});
  const ParameterSet& set = training.net.parameters();
  const auto parameter = [&](const std::string& name) {
    for (std::size_t i = 0; i < set.parameters().size(); ++i) {
      if (set.parameters()[i].name == name) return values(ctx, set.value(i));
    }
    return std::vector<double>();
  };
  const auto statistic = [&](const std::string& name) {
    for (std::size_t i = 0; i < set.statistics().size(); ++i) {
      if (set.statistics()[i].name == name) return values(ctx, set.statistic(i));
    }
    return std::vector<double>();
  };
  const auto gamma = parameter("bn2.weight"), beta = parameter("bn2.bias");
  const auto mean = statistic("bn2.running_mean"), var = statistic("bn2.running_var");
  REQUIRE(var.size() == 32);
  const std::vector<double> x = values(ctx, eval.kept("conv2")), y = values(ctx, eval.kept("bn2"));
  REQUIRE(x.size() == y.size());
  double worst = 0, largest = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t c = i % 32;
    const double v = gamma[c] * (x[i] - mean[c]) / std::sqrt(var[c] + 1e-5) + beta[c];
    worst = std::max(worst, std::abs(y[i] - std::max(v, 0.0)));
    largest = std::max(largest, std::abs(v));
  }
  CHECK(worst <= 8 * 0x1p-24 * largest);  // a few float32 operations on values up to `largest`
  CHECK(largest > 0.5);
}

TEST_CASE("in eval mode a picture's features do not depend on the rest of its batch") {
  Training training({});
  for (int step = 0; step < 3; ++step) training.step(0.05f);
  Execution eight(training.ctx, training.net, 8, Mode::eval);
  Execution three(training.ctx, training.net, 3, Mode::eval);
  Training::show_pictures(training.ctx, eight, 1);
  Training::show_pictures(training.ctx, three, 1);  // the first three of the eight
  eight.forward(training.ctx, Pass{});
  three.forward(training.ctx, Pass{});
  const std::vector<double> all = values(training.ctx, eight.output());
  const std::vector<double> some = values(training.ctx, three.output());
  // Products may take another path for another number of rows: rounding of sums of up to 1152
  // products in three layers, (8 + sqrt(K)) u each.
  CHECK(relative_l2(some, {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(some.size())}) <=
        3 * (8 + std::sqrt(1152.0)) * 0x1p-24);
}

TEST_CASE("kept outputs survive the forward pass") {
  const std::vector<std::string> every = {"conv1", "bn1", "conv2", "bn2", "fc3", "bn3", "fc4"};
  Training training({});
  Context& ctx = training.ctx;
  Execution separate(ctx, training.net, kBatch, Mode::eval, every, Sharing::off);
  Training::show_pictures(ctx, separate, 1);
  separate.forward(ctx, Pass{});
  for (const std::string& layer : every) {
    CAPTURE(layer);
    Execution shared(ctx, training.net, kBatch, Mode::eval, {layer});
    Training::show_pictures(ctx, shared, 1);
    shared.forward(ctx, Pass{});
    CHECK(values(ctx, shared.kept(layer)) == values(ctx, separate.kept(layer)));
    CHECK(shared.output().data ==
          shared.kept(layer).data);  // nothing runs behind the last one kept
  }
  // A layer that ran long before the last one still has its output.
  for (std::size_t last = 1; last < every.size(); ++last) {
    for (std::size_t first = 0; first < last; ++first) {
      CAPTURE(every[first]);
      CAPTURE(every[last]);
      Execution shared(ctx, training.net, kBatch, Mode::eval, {every[first], every[last]});
      Training::show_pictures(ctx, shared, 1);
      shared.forward(ctx, Pass{});
      CHECK(values(ctx, shared.kept(every[first])) == values(ctx, separate.kept(every[first])));
      CHECK(values(ctx, shared.kept(every[last])) == values(ctx, separate.kept(every[last])));
    }
  }
  CHECK_THROWS_WITH_AS(Execution(ctx, training.net, 1, Mode::eval, {"conv9"}),
                       "layer 'conv9' does not exist; the network has conv1, bn1, conv2, bn2, fc3, "
                       "bn3, fc4",
                       Error);
}

TEST_CASE("a batch of no pictures is refused") {
  Context ctx(kDevice);
  Sequential net = tiny_network(ctx, {});
  for (const Mode mode : {Mode::train, Mode::eval}) {
    CHECK_THROWS_WITH_AS(Execution(ctx, net, 0, mode), "--batch 0 is not positive", Error);
  }
}

TEST_CASE("in training the whole network runs, whatever is kept") {
  Training plain({}), keeping({}, DType::f32, Math::f32, Sharing::on, {"bn1"});
  Training separate({}, DType::f32, Math::f32, Sharing::off, {"bn1"});
  CHECK(keeping.loss() == plain.loss());
  separate.loss();
  CHECK(values(keeping.ctx, keeping.execution.kept("bn1")) ==
        values(separate.ctx, separate.execution.kept("bn1")));
  keeping.execution.backward(keeping.ctx, keeping.pass);
  plain.execution.backward(plain.ctx, plain.pass);
  CHECK(same_bits(keeping, keeping.net.parameters().gradients(), plain,
                  plain.net.parameters().gradients()));
}

TEST_CASE("dropout is the same for the same step and seed, and new for another") {
  Training training({.dropout = 0.5f});
  const auto output = [&](std::uint64_t seed, int step, Mode mode) {
    training.execution.forward(training.ctx, training.pass_of(mode, seed, step));
    return values(training.ctx, training.execution.output());
  };
  const std::vector<double> once = output(1, 7, Mode::train);
  CHECK(output(1, 7, Mode::train) == once);
  CHECK(output(1, 8, Mode::train) != once);
  CHECK(output(2, 7, Mode::train) != once);
  CHECK(output(1, 7, Mode::eval) == output(2, 8, Mode::eval));  // no dropout when judging
}
