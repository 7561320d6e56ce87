// cuDNN answers for GPUs that are not there: every convolution of both networks has a plan that
// keeps the promises of its mode, on each of five devices, within the workspace limit. Finalised
// plans are looked up with the very functions of the product; none is run.
#include <doctest/doctest.h>

#include <set>
#include <string>

#include "kernels/cuda/libraries/conv2d_plan.h"
#include "kernels/space_to_depth.h"

using namespace nat;
using namespace nat::gpu;
using namespace nat::gpu::cudnn;

namespace {

constexpr std::size_t kFirstVersion = 90800;  // that knows described devices

struct Gpu {
  const char* name;
  int version;  // 900 for compute capability 9.0
  int multiprocessors, shared_optin, l2_bytes, clock_khz, memory_clock_khz;
  std::int64_t memory_bytes;
  int blocks_per_multiprocessor, threads_per_multiprocessor;
};

constexpr std::int64_t kGiB = std::int64_t{1} << 30;
const Gpu kGpus[] = {
    {"H200", 900, 132, 232448, 60 << 20, 1980000, 3201000, 140 * kGiB, 32, 2048},
    {"A100", 800, 108, 166912, 40 << 20, 1410000, 1593000, 80 * kGiB, 32, 2048},
    {"RTX 4090", 890, 128, 101376, 72 << 20, 2520000, 10501000, 24 * kGiB, 24, 1536},
    {"RTX 5090", 1200, 170, 101376, 96 << 20, 2407000, 14001000, 32 * kGiB, 24, 1536},
    {"B200", 1000, 148, 232448, 126 << 20, 1965000, 3996000, 180 * kGiB, 32, 2048},
};

// What cudaGetDeviceProperties would say, in cuDNN's words; it insists on every one of them.
std::string describe(const Gpu& gpu) {
  return str(R"({"deviceName": ")", gpu.name, R"(", "cudaDeviceId": 0, "pciDeviceId": 0)",
             R"(, "deviceVer": )", gpu.version, R"(, "driverVer": 13000)",
             R"(, "multiProcessorCount": )", gpu.multiprocessors, R"(, "warpSize": 32)",
             R"(, "regsPerBlock": 65536, "maxRegistersPerSM": 65536)",
             R"(, "maxSharedMemoryPerBlock": 49152, "maxSharedMemoryPerBlockOptin": )",
             gpu.shared_optin, R"(, "reservedSharedMemoryPerBlock": 1024)", R"(, "maxCtasPerSM": )",
             gpu.blocks_per_multiprocessor, R"(, "maxThreadsPerBlock": 1024, "maxThreadsPerSM": )",
             gpu.threads_per_multiprocessor,
             R"(, "maxGridSize": [2147483647, 65535, 65535], "maxBlockSize": [1024, 1024, 64])",
             R"(, "isTccDriver": 0, "supportCoopLaunch": 1, "smClockRateKHz": )", gpu.clock_khz,
             R"(, "memClockRateKHz": )", gpu.memory_clock_khz, R"(, "l2CacheSize": )", gpu.l2_bytes,
             R"(, "totalGlobalMem": )", gpu.memory_bytes, "}");
}

struct Layer {
  Conv2d conv;
  Shape x;
  std::int64_t channels;
};

constexpr std::int64_t kBatch = 256;
const Layer kAlexNet[] = {{{11, 4, 2}, {kBatch, 224, 224, 2}, 96},
                          {{5, 1, 2}, {kBatch, 27, 27, 96}, 256},
                          {{3, 1, 1}, {kBatch, 13, 13, 256}, 384},
                          {{3, 1, 1}, {kBatch, 13, 13, 384}, 384},
                          {{3, 1, 1}, {kBatch, 13, 13, 384}, 256}};
const Layer kConvNet[] = {{{5, 2, 2}, {kBatch, 28, 28, 2}, 32},
                          {{3, 1, 1}, {kBatch, 14, 14, 32}, 64},
                          {{3, 1, 1}, {kBatch, 7, 7, 64}, 128}};

// The convolutions that a training step asks cuDNN for: first layers are folded (as conv2d.cu does
// it) and compute no gradient of the pictures.
template <std::size_t kLayers>
std::vector<Convolution> step(const Layer (&layers)[kLayers], Math math) {
  std::vector<Convolution> all;
  for (const Layer& layer : layers) {
    const Shape y = conv2d_output(layer.conv, layer.x, layer.channels);
    Convolution c{Direction::forward,
                  layer.conv,
                  layer.x,
                  y,
                  math == Math::bf16 ? DType::bf16 : DType::f32,
                  math};
    c.x = conv2d_folded(Device::cuda, layer.conv, layer.x);
    if (c.x != layer.x) c.conv = folded_conv(layer.conv);
    all.push_back(c);
    c.direction = Direction::backward_weights;
    all.push_back(c);
    c.direction = Direction::backward_data;
    if (&layer != &layers[0]) all.push_back(c);
  }
  return all;
}

bool skipped() {
  if (functions().get_version() >= kFirstVersion) return false;
  MESSAGE("skipped: this cuDNN does not know described devices, version 9.8 does");
  return true;
}

void check_step(const Target& target, const std::vector<Convolution>& convolutions) {
  for (const Convolution& convolution : convolutions) {
    CAPTURE(to_string(convolution));
    const std::vector<Plan> plans = find_plans(target, convolution, 1);
    REQUIRE(plans.size() == 1);
    CHECK(plans[0].workspace_bytes >= 0);
    CHECK(plans[0].workspace_bytes <= kWorkspaceLimit);

    // The notes are those of the engine itself, read from its recipe once more.
    const Descriptor graph = convolution_graph(target, convolution);
    const std::optional<Candidate> engine = rebuild(target, graph, plans[0].recipe);
    REQUIRE(engine);
    CHECK_FALSE(engine->has(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC));
    if (convolution.math == Math::f32) {
      CHECK_FALSE(engine->has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE));
      CHECK_FALSE(engine->has(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS));
    }
  }
}

}  // namespace

TEST_CASE("every convolution of both networks has a plan on every device, in every mode") {
  if (skipped()) return;
  for (const Gpu& gpu : kGpus) {
    CAPTURE(gpu.name);
    const Target target(describe(gpu));
    for (const Math math : {Math::bf16, Math::tf32, Math::f32}) {
      check_step(target, step(kAlexNet, math));
      check_step(target, step(kConvNet, math));
    }
  }
}

TEST_CASE("bf16 and tf32 convolutions of the paper's network run on tensor cores") {
  if (skipped()) return;
  for (const Gpu& gpu : kGpus) {
    const Target target(describe(gpu));
    for (const Math math : {Math::bf16, Math::tf32}) {
      for (const Convolution& convolution : step(kAlexNet, math)) {
        CAPTURE(gpu.name);
        CAPTURE(to_string(convolution));
        const std::vector<Plan> plans = find_plans(target, convolution, 1);
        REQUIRE(!plans.empty());
        const Descriptor graph = convolution_graph(target, convolution);
        const std::optional<Candidate> engine = rebuild(target, graph, plans[0].recipe);
        REQUIRE(engine);
        CHECK(engine->has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE));
      }
    }
  }
}

TEST_CASE("a folded first layer in bf16 needs almost no workspace") {
  if (skipped()) return;
  constexpr std::int64_t kLittle = std::int64_t{16} << 20;  // its pictures take 53 MB
  const Target target(describe(kGpus[0]));
  const std::vector<Convolution> convolutions = step(kAlexNet, Math::bf16);
  for (const Convolution& convolution : {convolutions[0], convolutions[1]}) {
    CAPTURE(to_string(convolution));
    REQUIRE(convolution.x == Shape(kBatch, 57, 57, 32));
    const std::vector<Plan> plans = find_plans(target, convolution, 1);
    REQUIRE(plans.size() == 1);
    CHECK(plans[0].workspace_bytes <= kLittle);
  }
}

TEST_CASE("a plan is rebuilt from its recipe, and a foreign recipe is refused") {
  if (skipped()) return;
  const Target target(describe(kGpus[0]));
  for (const Convolution& convolution : step(kAlexNet, Math::bf16)) {
    CAPTURE(to_string(convolution));
    for (const Plan& plan : find_plans(target, convolution, 4)) {
      const std::optional<Plan> pinned = pinned_plan(target, convolution, plan.recipe);
      REQUIRE(pinned);
      CHECK(pinned->recipe == plan.recipe);
      CHECK(pinned->workspace_bytes == plan.workspace_bytes);
    }
    CHECK_FALSE(pinned_plan(target, convolution, Recipe{100000, {}}));
    CHECK_FALSE(pinned_plan(target, convolution, Recipe{0, {{0, 1 << 20}}}));
  }
}

TEST_CASE("candidates for tuning are all acceptable and all different") {
  if (skipped()) return;
  const Target target(describe(kGpus[0]));
  const Convolution convolution = step(kAlexNet, Math::bf16)[2];
  const std::vector<Plan> plans = find_plans(target, convolution, 64);
  CHECK(plans.size() >= 8);
  std::set<std::vector<std::int64_t>> recipes;
  for (const Plan& plan : plans) {
    std::vector<std::int64_t> numbers{plan.recipe.engine};
    for (const auto& [type, value] : plan.recipe.knobs) {
      numbers.push_back(type);
      numbers.push_back(value);
    }
    CHECK(recipes.insert(numbers).second);
    CHECK(pinned_plan(target, convolution, plan.recipe));
  }
}

TEST_CASE(
    "engines that are not deterministic, or round float32 operands, are proposed and refused") {
  if (skipped()) return;
  const Target target(describe(kGpus[0]));
  int not_deterministic = 0, on_tensor_cores = 0;
  for (const Convolution& convolution : step(kAlexNet, Math::f32)) {
    const Descriptor graph = convolution_graph(target, convolution);
    for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK}) {
      for (const Candidate& candidate : propose(target, graph, mode)) {
        if (candidate.has(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)) {
          ++not_deterministic;
          CHECK_FALSE(is_acceptable(candidate, Math::tf32));
        } else if (candidate.has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE)) {
          ++on_tensor_cores;
          CHECK_FALSE(is_acceptable(candidate, Math::f32));
          CHECK(is_acceptable(candidate, Math::tf32));
        }
      }
    }
  }
  CHECK(not_deterministic > 0);
  CHECK(on_tensor_cores > 0);
}

TEST_CASE("names of problems tell apart whatever changes a plan") {
  const Convolution base = step(kAlexNet, Math::bf16)[2];
  std::set<std::string> names{to_string(base)};
  Convolution other = base;
  other.direction = Direction::backward_data;
  CHECK(names.insert(to_string(other)).second);
  other = base;
  other.math = Math::tf32;
  CHECK(names.insert(to_string(other)).second);
  other = base;
  other.x.dim[0] = 128;
  CHECK(names.insert(to_string(other)).second);
  other = base;
  other.y.dim[3] = 128;
  CHECK(names.insert(to_string(other)).second);
  other = base;
  other.conv.pad = 1;
  CHECK(names.insert(to_string(other)).second);
}

TEST_CASE("a description that cuDNN does not understand is an error with its reason") {
  if (skipped()) return;
  for (const char* json : {"", "{}", "not json", R"({"deviceVer": 900})"}) {
    try {
      const Target target{std::string(json)};
      CHECK_MESSAGE(false, "accepted: ", json);
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::device);
      CHECK(std::string(error.what()).find("cuDNN: ") == 0);
      CHECK(std::string(error.what()).find('\n') == std::string::npos);
    }
  }
}
