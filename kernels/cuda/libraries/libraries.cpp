#include "kernels/cuda/libraries/libraries.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "kernels/cuda/libraries/handles.h"
#include "kernels/library_plans.h"

namespace nat::gpu {

namespace {

// Versions of cuDNN count 10000 major + 100 minor + patch, as those of cuBLAS do.
constexpr std::size_t kMajor = 10000;

void start_cudnn(Libraries& libraries, const Context& ctx) {
  const std::size_t version = cudnn::functions().get_version();
  NAT_CHECK(version / kMajor == CUDNN_MAJOR, ErrorKind::device, "this program was built for cuDNN ",
            CUDNN_MAJOR, " but loaded version ", version,
            "; put the right libcudnn first on LD_LIBRARY_PATH");
  cudnnHandle_t handle = nullptr;
  cudnn::check(cudnn::functions().create(&handle), "starting");
  libraries.cudnn.reset(handle);
  cudnn::check(cudnn::functions().set_stream(handle, stream_of(ctx)), "setting the stream");
  libraries.cudnn_prefix = str("cudnn ", version, " sm ", ctx.cuda->compute_capability, ' ');
}

void start_cublaslt(Libraries& libraries, const Context& ctx) {
  const std::size_t version = cublaslt::functions().get_version();
  NAT_CHECK(version / kMajor == CUBLAS_VER_MAJOR, ErrorKind::device,
            "this program was built for cuBLAS ", CUBLAS_VER_MAJOR, " but loaded version ", version,
            "; put the right libcublasLt first on LD_LIBRARY_PATH");
  cublasLtHandle_t handle = nullptr;
  const cublasStatus_t status = cublaslt::functions().create(&handle);
  NAT_CHECK(status == CUBLAS_STATUS_SUCCESS, ErrorKind::device,
            "cuBLASLt: starting failed: ", cublaslt::functions().get_status_string(status));
  libraries.cublaslt.reset(handle);
  libraries.cublaslt_prefix = str("cublaslt ", version, " sm ", ctx.cuda->compute_capability, ' ');
}

bool is_on(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && std::strcmp(value, "1") == 0;
}

struct Event {
  cudaEvent_t event = nullptr;
  Event() { check_cuda(cudaEventCreate(&event), "creating an event"); }
  ~Event() { cudaEventDestroy(event); }
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
};

}  // namespace

Libraries& libraries_of(Context& ctx) {
  if (ctx.cuda->libraries == nullptr) {
    auto libraries = std::make_unique<Libraries>();
    start_cudnn(*libraries, ctx);
    start_cublaslt(*libraries, ctx);
    libraries->autotune = is_on("NAT_CUDNN_AUTOTUNE");
    ctx.cuda->libraries.reset(libraries.release());
  }
  return *ctx.cuda->libraries;
}

void destroy_libraries(Libraries* libraries) { delete libraries; }

// Within a burst the device does not wait for the host.
std::optional<float> best_milliseconds(Context& ctx, float to_beat,
                                       const std::function<bool()>& run) {
  constexpr int kBursts = 3, kRuns = 4;
  constexpr float kHopeless = 1.5f;
  const Event begin, end;
  if (!run()) return std::nullopt;
  float best = std::numeric_limits<float>::infinity();
  for (int burst = 0; burst < kBursts && (burst == 0 || best < kHopeless * to_beat); ++burst) {
    check_cuda(cudaEventRecord(begin.event, stream_of(ctx)), "timing a plan");
    for (int i = 0; i < kRuns; ++i) {
      if (!run()) return std::nullopt;
    }
    check_cuda(cudaEventRecord(end.event, stream_of(ctx)), "timing a plan");
    check_cuda(cudaEventSynchronize(end.event), "timing a plan");
    float elapsed = 0;
    check_cuda(cudaEventElapsedTime(&elapsed, begin.event, end.event), "timing a plan");
    best = std::min(best, elapsed / kRuns);
  }
  return best;
}

std::string implementation(const cudnn::Plan& plan) { return str("engine ", plan.recipe.engine); }

std::vector<std::int64_t> to_numbers(const cudnn::Recipe& recipe) {
  std::vector<std::int64_t> numbers{recipe.engine};
  for (const auto& [type, value] : recipe.knobs) {
    numbers.push_back(type);
    numbers.push_back(value);
  }
  return numbers;
}

std::optional<cudnn::Recipe> to_recipe(const std::vector<std::int64_t>& numbers) {
  if (numbers.size() % 2 == 0) return std::nullopt;
  cudnn::Recipe recipe;
  recipe.engine = numbers[0];
  for (std::size_t i = 1; i < numbers.size(); i += 2) {
    recipe.knobs.emplace_back(numbers[i], numbers[i + 1]);
  }
  return recipe;
}

std::vector<std::int64_t> to_numbers(const cublasLtMatmulAlgo_t& algorithm) {
  std::vector<std::int64_t> numbers(std::size(algorithm.data));
  std::memcpy(numbers.data(), algorithm.data, sizeof algorithm.data);
  return numbers;
}

std::optional<cublasLtMatmulAlgo_t> to_algorithm(const std::vector<std::int64_t>& numbers) {
  cublasLtMatmulAlgo_t algorithm{};
  if (numbers.size() != std::size(algorithm.data)) return std::nullopt;
  std::memcpy(algorithm.data, numbers.data(), sizeof algorithm.data);
  return algorithm;
}

void autotune_libraries(Context& ctx, bool on) { libraries_of(ctx).autotune = on; }

void load_library_plans(Context& ctx, const std::string& path) {
  libraries_of(ctx).pinned = PlanFile::load(path);
}

void save_library_plans(Context& ctx, const std::string& path) {
  const Libraries& libraries = libraries_of(ctx);
  PlanFile file = libraries.pinned;
  for (const auto& [key, entry] : libraries.convolutions) {
    if (entry.plan) file.set(entry.name, to_numbers(entry.plan->recipe));
  }
  for (const auto& [key, entry] : libraries.products) {
    if (entry.algorithm) file.set(entry.name, to_numbers(*entry.algorithm));
  }
  file.save(path);
}

void list_library_plans(Context& ctx, std::vector<LibraryPlan>& plans) {
  const Libraries& libraries = libraries_of(ctx);
  for (const auto& [key, entry] : libraries.convolutions) {
    plans.push_back({entry.name, entry.plan ? implementation(*entry.plan) : "plain kernel",
                     entry.plan ? entry.plan->workspace_bytes : 0, entry.milliseconds,
                     entry.timed});
  }
  for (const auto& [key, entry] : libraries.products) {
    int id = 0;
    if (entry.algorithm) {
      cublaslt::functions().get_algorithm_attribute(&*entry.algorithm, CUBLASLT_ALGO_CONFIG_ID, &id,
                                                    sizeof id, nullptr);
    }
    plans.push_back({entry.name,
                     entry.algorithm ? str("algorithm ", id) : "plain kernel",
                     static_cast<std::int64_t>(entry.workspace_bytes),
                     entry.milliseconds,
                     {}});
  }
}

}  // namespace nat::gpu
