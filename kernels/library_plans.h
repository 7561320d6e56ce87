// Which implementation of a library computes a convolution or a matrix product. CUDA only: cuDNN
// and cuBLASLt offer dozens a problem and guess well, but not always best.
//
//   autotune_libraries   from now on, a new problem times the candidates instead of trusting the
//                        guess (environment: NAT_CUDNN_AUTOTUNE=1)
//   load_library_plans   pins what a file says (kernels/cuda/libraries/plan_file.h); to be called
//                        before the first step. Lines of other versions or devices are ignored
//   save_library_plans   writes what was pinned and what has been chosen since
//   list_library_plans   what is in use, one row a problem
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernels/op.h"

namespace nat {

// One candidate that was timed.
struct TimedPlan {
  std::string implementation;
  std::int64_t workspace_bytes = 0;
  float milliseconds = 0;
};

struct LibraryPlan {
  std::string problem;         // readable, with library version and device
  std::string implementation;  // "engine 62", "algorithm 66", or "plain kernel"
  std::int64_t workspace_bytes = 0;
  std::optional<float> milliseconds;  // when it was chosen by timing
  std::vector<TimedPlan> timed;       // then also all convolution candidates, fastest first
};

using AutotuneLibraries = void(Context&, bool on);
using LoadLibraryPlans = void(Context&, const std::string& path);
using SaveLibraryPlans = void(Context&, const std::string& path);
using ListLibraryPlans = void(Context&, std::vector<LibraryPlan>& plans);

namespace gpu {
AutotuneLibraries autotune_libraries;
LoadLibraryPlans load_library_plans;
SaveLibraryPlans save_library_plans;
ListLibraryPlans list_library_plans;
}  // namespace gpu

inline constexpr Op<AutotuneLibraries> autotune_libraries{nullptr,
                                                          gpu_or_null<gpu::autotune_libraries>()};
inline constexpr Op<LoadLibraryPlans> load_library_plans{nullptr,
                                                         gpu_or_null<gpu::load_library_plans>()};
inline constexpr Op<SaveLibraryPlans> save_library_plans{nullptr,
                                                         gpu_or_null<gpu::save_library_plans>()};
inline constexpr Op<ListLibraryPlans> list_library_plans{nullptr,
                                                         gpu_or_null<gpu::list_library_plans>()};

}  // namespace nat
