// What the libraries keep with a context: their handles, and every plan that has been chosen so
// far. Only kernels/cuda/libraries includes this.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernels/cuda/libraries/conv2d_plan.h"
#include "kernels/cuda/libraries/functions.h"
#include "kernels/cuda/libraries/plan_file.h"
#include "kernels/cuda/state.h"
#include "kernels/library_plans.h"

namespace nat::gpu {

// Frees whatever cuDNN and cuBLASLt create.
struct Free {
  void operator()(cudnnHandle_t handle) const { cudnn::functions().destroy(handle); }
  void operator()(cublasLtHandle_t handle) const { cublaslt::functions().destroy(handle); }
  void operator()(cublasLtMatmulDesc_t operation) const {
    cublaslt::functions().destroy_operation(operation);
  }
  void operator()(cublasLtMatrixLayout_t layout) const {
    cublaslt::functions().destroy_layout(layout);
  }
  void operator()(cublasLtMatmulPreference_t preference) const {
    cublaslt::functions().destroy_preference(preference);
  }
};
template <class Pointer>
using Handle = std::unique_ptr<std::remove_pointer_t<Pointer>, Free>;

// Identifies a problem: every number that the choice of its implementation depends on.
using Key = std::vector<std::int64_t>;

struct ConvolutionEntry {
  std::string name;                   // of the problem in a plan file
  std::optional<cudnn::Plan> plan;    // nullopt: cuDNN cannot do it here
  std::optional<float> milliseconds;  // when it was chosen by timing
  std::vector<TimedPlan> timed;       // then also all candidates, fastest first
};

struct ProductEntry {
  std::string name;
  Handle<cublasLtMatmulDesc_t> operation;
  Handle<cublasLtMatrixLayout_t> a, b, c;         // as cuBLASLt sees them, see gemm.cpp
  std::optional<cublasLtMatmulAlgo_t> algorithm;  // nullopt: cuBLASLt cannot do it here
  std::size_t workspace_bytes = 0;
  std::optional<float> milliseconds;
};

struct Libraries {
  Handle<cudnnHandle_t> cudnn;
  Handle<cublasLtHandle_t> cublaslt;
  std::string cudnn_prefix, cublaslt_prefix;  // of names in plan files: version and device
  bool autotune = false;  // time the candidates of a new problem instead of trusting heuristics
  PlanFile pinned;
  std::map<Key, ConvolutionEntry> convolutions;
  std::map<Key, ProductEntry> products;
};

// The libraries of a context, started at the first call: Error(device) when one does not start or
// has another major version than the headers that the program was built with.
Libraries& libraries_of(Context& ctx);

// How many candidates are timed for one problem: both heuristics of cuDNN propose about 60.
inline constexpr int kMostTimed = 96;
// How long a run takes on the stream of the context: the best of a few bursts, after one run that
// warms up. nullopt when run() says that it did not start. Cut short where the result is far above
// `to_beat`.
std::optional<float> best_milliseconds(Context& ctx, float to_beat,
                                       const std::function<bool()>& run);

std::string implementation(const cudnn::Plan& plan);  // "engine 62"

// The numbers that stand for a plan in a plan file, and back; nullopt when they cannot be one.
std::vector<std::int64_t> to_numbers(const cudnn::Recipe& recipe);
std::optional<cudnn::Recipe> to_recipe(const std::vector<std::int64_t>& numbers);
std::vector<std::int64_t> to_numbers(const cublasLtMatmulAlgo_t& algorithm);
std::optional<cublasLtMatmulAlgo_t> to_algorithm(const std::vector<std::int64_t>& numbers);

}  // namespace nat::gpu
