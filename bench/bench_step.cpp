// How long does a whole training step take? Preprocessing, forward, exact assignment, loss,
// backward and SGD on generated pictures, with every step re-assigning (the dearest case).
//
//   bench_step [--network convnet|alexnet] [--batch N] [--dtype f32|bf16] [--steps N] [--warmup N]
//              [--threads N] [--json]
//
// Prints the median and the fastest step, pictures a second, milliseconds by stage, and peak
// memory. bench/peers/pytorch_step.py times PyTorch on the same work in the same run.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>
#include <numeric>

#include "engine/init.h"
#include "kernels/cpu_info.h"
#include "kernels/random.h"
#include "models/network.h"
#include "nat/trainer.h"

namespace {

using namespace nat;

struct Asked {
  std::string network = "convnet", dtype = "f32";
  std::int64_t batch = 256, steps = 20, warmup = 3, dimension = 0;
  int size = 0, threads = 0;
  bool json = false;
};

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

double peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

// Random bytes: the time of a step does not depend on what the pictures show.
std::vector<std::uint8_t> pictures(const Shape& shape) {
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(shape.elements()));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] =
        static_cast<std::uint8_t>(philox(1, RandomStream::synthetic, 0, i / 4).value[i % 4] >> 24);
  }
  return bytes;
}

nlohmann::json measure(const Asked& asked) {
  set_compute_threads(asked.threads);
  const bool small = asked.network == "convnet";
  const int size = asked.size > 0 ? asked.size : small ? 28 : 224;
  const std::int64_t dimension = asked.dimension > 0 ? asked.dimension : small ? 64 : 2048;
  Context ctx(Device::cpu, asked.dtype == "bf16" ? Math::bf16 : Math::f32);
  Network network = build_architecture(ctx, {.name = asked.network, .dimension = dimension},
                                       Shape(1, size, size, 2));
  initialize(ctx, Init::he, 1, network.net->parameters());
  Targets targets(ctx, 1, asked.batch, dimension);
  TrainerOptions options;
  options.mean_loss = true;
  options.sgd.momentum = 0.9f;
  const Shape shape(asked.batch, size, size, small ? 1 : 3);
  Trainer trainer(ctx, *network.net, targets, options, shape);

  std::vector<std::int32_t> ids(static_cast<std::size_t>(asked.batch));
  std::iota(ids.begin(), ids.end(), 0);
  const std::vector<std::uint8_t> pixels = pictures(shape);
  const CropBox whole{.width = static_cast<float>(size), .height = static_cast<float>(size)};
  const std::vector<CropBox> boxes(ids.size(), whole);
  const ImageBatch batch{.ids = ids,
                         .pixels = ConstView(pixels.data(), DType::u8, shape),
                         .boxes = ConstView(boxes.data(), DType::f32, Shape(asked.batch, 5))};

  std::vector<double> seconds;
  StageSeconds before;
  double wall = 0, processor = 0;
  for (std::int64_t i = 0; i < asked.warmup + asked.steps; ++i) {
    if (i == asked.warmup) {
      before = trainer.seconds();
      wall = now();
      processor = processor_seconds();
    }
    const double began = now();
    trainer.step(ctx, batch,
                 {.step = static_cast<std::uint32_t>(i), .reassign = true, .learning_rate = 0.01});
    if (i >= asked.warmup) seconds.push_back(now() - began);
  }
  wall = now() - wall;
  processor = processor_seconds() - processor;
  std::sort(seconds.begin(), seconds.end());
  const StageSeconds after = trainer.seconds();
  const auto stage = [&](double StageSeconds::*member) {
    return 1e3 * (after.*member - before.*member) / static_cast<double>(asked.steps);
  };
  const double median = seconds[seconds.size() / 2];
  return {{"network", asked.network},
          {"batch", asked.batch},
          {"dtype", asked.dtype},
          {"threads", cpu_info().threads},
          {"median_ms", 1e3 * median},
          {"fastest_ms", 1e3 * seconds.front()},
          {"images_per_second", static_cast<double>(asked.batch) / median},
          {"processor_per_wall", processor / wall},
          {"peak_mib", peak_mib()},
          {"arena_mib", static_cast<double>(trainer.execution().memory_plan().total()) / (1 << 20)},
          {"stages_ms",
           {{"preprocess", stage(&StageSeconds::preprocess)},
            {"forward", stage(&StageSeconds::forward)},
            {"assign", stage(&StageSeconds::assign)},
            {"head", stage(&StageSeconds::head)},
            {"backward", stage(&StageSeconds::backward)},
            {"update", stage(&StageSeconds::update)}}}};
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("time whole training steps");
  Asked asked;
  app.add_option("--network", asked.network)->check(CLI::IsMember({"convnet", "alexnet"}));
  app.add_option("--batch", asked.batch);
  app.add_option("--dtype", asked.dtype)->check(CLI::IsMember({"f32", "bf16"}));
  app.add_option("--steps", asked.steps);
  app.add_option("--warmup", asked.warmup);
  app.add_option("--dimension", asked.dimension);
  app.add_option("--size", asked.size);
  app.add_option("--threads", asked.threads);
  app.add_flag("--json", asked.json);
  CLI11_PARSE(app, argc, argv);
  const nlohmann::json result = measure(asked);
  if (asked.json) {
    std::printf("%s\n", result.dump().c_str());
    return 0;
  }
  std::printf("%s %s batch %lld on %d threads: median %.2f ms, fastest %.2f ms, %.0f pictures/s\n",
              asked.network.c_str(), asked.dtype.c_str(), static_cast<long long>(asked.batch),
              result["threads"].get<int>(), result["median_ms"].get<double>(),
              result["fastest_ms"].get<double>(), result["images_per_second"].get<double>());
  for (const auto& [name, ms] : result["stages_ms"].items()) {
    std::printf("  %-12s %8.2f ms\n", name.c_str(), ms.get<double>());
  }
  std::printf("  processor/wall %.2f, peak memory %.0f MiB (activations %.0f MiB)\n",
              result["processor_per_wall"].get<double>(), result["peak_mib"].get<double>(),
              result["arena_mib"].get<double>());
  return 0;
}
