// How long does a whole training step take? Or, with --work features, to look at pictures with a
// trained network?
//
//   bench_step [--device cpu|cuda] [--network convnet|alexnet] [--batch N] [--dtype f32|tf32|bf16]
//              [--work nat|model|features] [--steps N] [--warmup N] [--threads N] [--ceilings]
//              [--json]
//
// --work nat is a step with everything (preprocessing, forward, exact assignment, loss, backward,
// SGD) in which every step re-assigns, the dearest case; --work model leaves out what comes before
// forward, and the assignment; --work features prepares pictures, takes them through the network as
// evaluation does and brings the embedding to the host. Prints the median and the fastest step,
// pictures a second, milliseconds by stage and peak memory. On CUDA the steps are timed as they
// train, recorded; the stages come from a second run that waits for each. --ceilings measures the
// copy and product rates of the device in the same run and prints the share of the roofline's floor
// and of the product rate (MFU).
//
// --check DIR, instead, takes three model steps without dropout and writes what another program
// needs to take the same ones: DIR/first.safetensors with parameters, images and targets,
// DIR/last.safetensors with the parameters and losses afterwards.
// bench/peers/pytorch_step.py times PyTorch on the same work in the same run.
#include <sys/resource.h>

#include <ctime>
#include <filesystem>
#include <map>

#include "bench/ceilings.h"
#include "bench/steps.h"
#include "engine/init.h"
#include "engine/parameter_file.h"
#include "kernels/cpu_info.h"
#include "kernels/library_plans.h"
#include "models/alexnet.h"
#include "tools/roofline/roofline.h"

namespace {

using namespace nat;

struct Asked {
  std::string device = "cpu", network = "convnet", dtype = "f32", work = "nat", plans, check;
  std::int64_t batch = 256, steps = 20, warmup = 3, dimension = 0;
  int size = 0, threads = 0;
  float momentum = 0.9f;
  bool ceilings = false, json = false;

  bool is_small() const { return network == "convnet"; }
  int side() const { return size > 0 ? size : is_small() ? 28 : kAlexNetPicture; }
  int stored_channels() const { return is_small() ? 1 : 3; }
  ArchitectureOptions architecture() const {
    return {.name = network, .dimension = dimension > 0 ? dimension : is_small() ? 64 : 2048};
  }
  Sgd rule() const {
    Sgd rule;
    rule.momentum = momentum;
    return rule;
  }
  Shape stored() const { return {batch, side(), side(), stored_channels()}; }
};

double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

double peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

Network make_network(Context& ctx, const Asked& asked, bool with_dropout) {
  const ArchitectureOptions architecture = asked.architecture();
  NetworkTable table = architecture_table(architecture);
  for (HiddenRow& row : table.hidden) {
    if (!with_dropout) row.dropout = 0;
  }
  Network network = build_network(ctx, architecture.name, Shape(1, asked.side(), asked.side(), 2),
                                  table, architecture.dimension);
  initialize(ctx, Init::he, bench::kSeed, network.net->parameters());
  return network;
}

// ---- time ---------------------------------------------------------------------------------------

// Seconds of each step after the warm-up, and of the processor against the wall.
struct Times {
  std::vector<double> steps;
  double wall = 0, processor = 0;
};

// `group` steps are enqueued before the host waits, and each is taken to last its share.
template <class Step>
Times time_steps(Context& ctx, const Asked& asked, std::int64_t group, Step&& step) {
  for (std::int64_t i = 0; i < asked.warmup; ++i) step();
  synchronize(ctx);
  Times times;
  const double processor = processor_seconds(), wall = bench::now();
  for (std::int64_t done = 0; done < asked.steps; done += group) {
    const double began = bench::now();
    for (std::int64_t i = 0; i < group; ++i) step();
    synchronize(ctx);
    times.steps.push_back((bench::now() - began) / static_cast<double>(group));
  }
  times.wall = bench::now() - wall;
  times.processor = processor_seconds() - processor;
  return times;
}

using Stages = std::map<std::string, double>;  // milliseconds of a step

Stages stages_of(const StageSeconds& seconds, std::int64_t steps) {
  const double scale = 1e3 / static_cast<double>(steps);
  return {{"preprocess", scale * seconds.preprocess}, {"forward", scale * seconds.forward},
          {"assign", scale * seconds.assign},         {"head", scale * seconds.head},
          {"backward", scale * seconds.backward},     {"update", scale * seconds.update}};
}

StageSeconds difference(const StageSeconds& after, const StageSeconds& before) {
  StageSeconds passed;
  for (double StageSeconds::*stage :
       {&StageSeconds::preprocess, &StageSeconds::forward, &StageSeconds::assign,
        &StageSeconds::head, &StageSeconds::backward, &StageSeconds::update}) {
    passed.*stage = after.*stage - before.*stage;
  }
  return passed;
}

struct Measured {
  Times times;
  Stages stages;
  std::size_t arena_bytes = 0;
};

Measured measure_nat_step(Context& ctx, const Asked& asked, Sequential& net) {
  const bench::StoredPictures pictures(ctx.device, asked.stored());
  Measured measured;
  const auto measure = [&](bool instrumented) {
    bench::NatStep step(ctx, net, pictures, asked.rule(), instrumented);
    StageSeconds before;
    std::int64_t run = 0;
    Times times = time_steps(ctx, asked, 1, [&] {
      if (run++ == asked.warmup) before = step.seconds();
      step.run(ctx);
    });
    measured.stages = stages_of(difference(step.seconds(), before), asked.steps);
    measured.arena_bytes = step.memory_plan().total();
    return times;
  };
  measured.times = measure(false);
  if (ctx.device == Device::cuda) measure(true);
  return measured;
}

Measured measure_model_step(Context& ctx, const Asked& asked, Sequential& net) {
  bench::ModelStep step(ctx, net, asked.batch, asked.rule());
  bench::StoredPictures(ctx.device, asked.stored()).prepare(ctx, step.input());
  Measured measured;
  measured.arena_bytes = step.memory_plan().total();
  const std::int64_t group = ctx.device == Device::cuda ? 5 : 1;
  measured.times = time_steps(ctx, asked, group, [&] { step.run(ctx); });
  double began = bench::now();
  for (std::int64_t i = 0; i < asked.steps; ++i) {
    step.enqueue(ctx, [&](const char* stage) {
      synchronize(ctx);
      const double ended = bench::now();
      measured.stages[stage] += 1e3 * (ended - began) / static_cast<double>(asked.steps);
      began = ended;
    });
  }
  return measured;
}

Measured measure_feature_step(Context& ctx, const Asked& asked, Sequential& net) {
  const bench::StoredPictures pictures(ctx.device, asked.stored());
  bench::FeatureStep step(ctx, net, pictures);
  Measured measured;
  measured.arena_bytes = step.memory_plan().total();
  measured.times = time_steps(ctx, asked, 1, [&] { step.run(ctx); });
  return measured;
}

// ---- judged by what the device can do -----------------------------------------------------------

// Shares of what the device reached in this run.
nlohmann::json judge(const Asked& asked, double seconds) {
  const Device device = bench::device_of(asked.device);
  const Math math = bench::math_of(asked.dtype);
  Context ctx(device);
  const double copied = bench::copy_rate(ctx, bench::copy_bytes(device));
  const double product = bench::product_rate(device, math, bench::product_side(device));
  roofline::Workload workload = roofline::workload_of(asked.architecture(), asked.side());
  workload.batch = asked.batch;
  workload.math = math;
  workload.momentum = asked.momentum > 0;
  workload.stored_channels = asked.stored_channels();
  std::vector<roofline::Operation> operations = roofline::step_operations(workload);
  if (asked.work == "model") {
    std::erase_if(operations, [](const roofline::Operation& operation) {
      return operation.kind == roofline::Kind::preprocess || operation.name == "scores" ||
             operation.name == "assignment";
    });
  }
  const double floor =
      roofline::floor_of(operations, {product, product, product, copied}, math).seconds;
  const double flops = roofline::training_flops_of_picture(workload);
  return {{"copy_bytes_per_second", copied},
          {"product_flops_per_second", product},
          {"floor_ms", 1e3 * floor},
          {"share_of_floor", floor / seconds},
          {"mfu", flops * static_cast<double>(asked.batch) / seconds / product}};
}

Measured measure_step(Context& ctx, const Asked& asked) {
  if (!asked.plans.empty() && std::filesystem::exists(asked.plans)) {
    load_library_plans(ctx, asked.plans);
  }
  const Network network = make_network(ctx, asked, true);
  Measured measured = asked.work == "model"      ? measure_model_step(ctx, asked, *network.net)
                      : asked.work == "features" ? measure_feature_step(ctx, asked, *network.net)
                                                 : measure_nat_step(ctx, asked, *network.net);
  std::sort(measured.times.steps.begin(), measured.times.steps.end());
  return measured;
}

double median_seconds(const Measured& measured) {
  const std::vector<double>& sorted = measured.times.steps;
  return sorted[sorted.size() / 2];
}

nlohmann::json to_json(const Asked& asked, Device device, const Measured& measured) {
  const Times& times = measured.times;
  const double median = median_seconds(measured);
  return {{"device", bench::device_name(device)},
          {"network", asked.network},
          {"work", asked.work},
          {"batch", asked.batch},
          {"dtype", asked.dtype},
          {"threads", cpu_info().threads},
          {"median_ms", 1e3 * median},
          {"fastest_ms", 1e3 * times.steps.front()},
          {"images_per_second", static_cast<double>(asked.batch) / median},
          {"processor_per_wall", times.processor / times.wall},
          {"peak_mib", peak_mib()},
          {"arena_mib", static_cast<double>(measured.arena_bytes) / (1 << 20)},
          {"stages_ms", measured.stages}};
}

nlohmann::json measure(const Asked& asked) {
  set_compute_threads(asked.threads);
  const Device device = bench::device_of(asked.device);
  Measured measured;
  {  // the memory of the step is free again when the ceilings are measured
    Context ctx(device, bench::math_of(asked.dtype));
    measured = measure_step(ctx, asked);
  }
  nlohmann::json json = to_json(asked, device, measured);
  if (asked.ceilings) json["judged"] = judge(asked, median_seconds(measured));
  return json;
}

void print(const Asked& asked, const nlohmann::json& result) {
  std::printf("%s, %s %s batch %lld, %s step: median %.2f ms, fastest %.2f ms, %.0f pictures/s\n",
              result["device"].get<std::string>().c_str(), asked.network.c_str(),
              asked.dtype.c_str(), static_cast<long long>(asked.batch), asked.work.c_str(),
              result["median_ms"].get<double>(), result["fastest_ms"].get<double>(),
              result["images_per_second"].get<double>());
  for (const auto& [name, ms] : result["stages_ms"].items()) {
    std::printf("  %-12s %8.2f ms\n", name.c_str(), ms.get<double>());
  }
  std::printf(
      "  processor/wall %.2f on %d threads, peak host memory %.0f MiB, activations %.0f MiB\n",
      result["processor_per_wall"].get<double>(), result["threads"].get<int>(),
      result["peak_mib"].get<double>(), result["arena_mib"].get<double>());
  if (!result.contains("judged")) return;
  const nlohmann::json& judged = result["judged"];
  std::printf(
      "  floor %.3f ms by a copy of %.1f GB/s and products of %.2f TFLOP/s: %.1f %% of it, MFU "
      "%.1f "
      "%%\n",
      judged["floor_ms"].get<double>(), judged["copy_bytes_per_second"].get<double>() / 1e9,
      judged["product_flops_per_second"].get<double>() / 1e12,
      100 * judged["share_of_floor"].get<double>(), 100 * judged["mfu"].get<double>());
}

// ---- the same steps for another program ---------------------------------------------------------

// Puts a tensor of any dtype as float32, in the layout it has in memory.
void put(Context& ctx, const char* name, ConstView view, Checkpoint& checkpoint) {
  const std::vector<std::int64_t> shape(view.shape.dim.begin(),
                                        view.shape.dim.begin() + view.shape.rank);
  const std::vector<float> values = bench::download(ctx, view);
  checkpoint.put(name, DType::f32, shape, values.data());
}

void take_three_steps(const Asked& asked) {
  constexpr int kSteps = 3;
  const std::filesystem::path folder = asked.check;
  std::filesystem::create_directories(folder);
  Context ctx(bench::device_of(asked.device), bench::math_of(asked.dtype));
  const Network network = make_network(ctx, asked, false);
  bench::ModelStep step(ctx, *network.net, asked.batch, asked.rule());
  bench::StoredPictures(ctx.device, asked.stored()).prepare(ctx, step.input());
  Checkpoint first, last;
  put_parameters(ctx, network.net->parameters(), first);
  put(ctx, "check.images", step.input(), first);
  put(ctx, "check.targets", step.targets(), first);
  first.save(folder / "first.safetensors");
  std::vector<double> losses;
  for (int i = 0; i < kSteps; ++i) {
    step.run(ctx);
    losses.push_back(step.loss(ctx));
    std::printf("step %d: loss %.6f\n", i, losses.back());
  }
  put_parameters(ctx, network.net->parameters(), last);
  last.put("check.losses", DType::f64, {kSteps}, losses.data());
  last.save(folder / "last.safetensors");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("time whole training steps");
  Asked asked;
  bench::add_device(app, asked.device);
  app.add_option("--network", asked.network)->check(CLI::IsMember({"convnet", "alexnet"}));
  app.add_option("--work", asked.work)->check(CLI::IsMember({"nat", "model", "features"}));
  app.add_option("--batch", asked.batch)->check(CLI::PositiveNumber);
  app.add_option("--dtype", asked.dtype)->check(CLI::IsMember({"f32", "tf32", "bf16"}));
  app.add_option("--steps", asked.steps)->check(CLI::PositiveNumber);
  app.add_option("--warmup", asked.warmup, "CUDA: at least 3, for the recording");
  app.add_option("--dimension", asked.dimension);
  app.add_option("--size", asked.size);
  app.add_option("--threads", asked.threads);
  app.add_option("--momentum", asked.momentum);
  app.add_option("--plans", asked.plans, "CUDA: a file that bench_conv wrote");
  app.add_option("--check", asked.check, "write three steps to this folder instead of timing");
  app.add_flag("--ceilings", asked.ceilings, "measure what the device can do, and judge by it");
  app.add_flag("--json", asked.json);
  CLI11_PARSE(app, argc, argv);
  return bench::guarded("bench_step", [&] {
    if (!asked.check.empty()) return take_three_steps(asked);
    NAT_CHECK(!asked.ceilings || asked.work != "features", ErrorKind::usage,
              "--ceilings judges training steps; leave it out with --work features");
    const nlohmann::json result = measure(asked);
    if (asked.json) {
      std::printf("%s\n", result.dump().c_str());
    } else {
      print(asked, result);
    }
  });
}
