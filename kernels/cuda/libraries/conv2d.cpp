#include <algorithm>
#include <limits>

#include "kernels/cuda/libraries/handles.h"
#include "kernels/cuda/libraries/libraries.h"

namespace nat::gpu::libraries {

namespace {

using cudnn::Convolution;
using cudnn::Direction;

// tf32 is a way to multiply float32 values; what bf16 operands do does not depend on the context.
Math math_of(const Context& ctx, DType dtype) {
  if (dtype == DType::bf16) return Math::bf16;
  return ctx.math == Math::tf32 ? Math::tf32 : Math::f32;
}

Convolution describe(const Context& ctx, Direction direction, const Conv2d& conv,
                     const ConstView& x, const ConstView& y) {
  return {direction, conv, x.shape, y.shape, x.dtype, math_of(ctx, x.dtype)};
}

Key key_of(const Convolution& c) {
  return {static_cast<std::int64_t>(c.direction),
          static_cast<std::int64_t>(c.math),
          c.conv.kernel,
          c.conv.stride,
          c.conv.pad,
          c.x[0],
          c.x[1],
          c.x[2],
          c.x[3],
          c.y[3]};
}

void* workspace_of(const cudnn::Plan& plan, Scratch::Frame& frame) {
  if (plan.workspace_bytes == 0) return nullptr;
  return frame.take<char>(static_cast<std::size_t>(plan.workspace_bytes));
}

// Every candidate computes the same result into the same memory, so timing them leaves no trace.
void choose_fastest(Context& ctx, std::vector<cudnn::Plan> plans, const std::vector<void*>& tensors,
                    ConvolutionEntry& entry) {
  cudnnHandle_t handle = libraries_of(ctx).cudnn.get();
  for (cudnn::Plan& plan : plans) {
    Scratch::Frame frame(ctx.scratch);
    void* workspace = workspace_of(plan, frame);
    const float to_beat = entry.milliseconds.value_or(std::numeric_limits<float>::infinity());
    const std::optional<float> milliseconds = best_milliseconds(
        ctx, to_beat, [&] { return cudnn::try_execute(handle, plan, tensors, workspace); });
    if (!milliseconds) continue;
    entry.timed.push_back({implementation(plan), plan.workspace_bytes, *milliseconds});
    if (to_beat <= *milliseconds) continue;
    entry.milliseconds = milliseconds;
    entry.plan = std::move(plan);
  }
  std::sort(entry.timed.begin(), entry.timed.end(),
            [](const TimedPlan& a, const TimedPlan& b) { return a.milliseconds < b.milliseconds; });
}

// The first plan that starts: what cuDNN offers may still fail when it is run for the first time.
std::optional<cudnn::Plan> first_that_runs(Context& ctx, std::vector<cudnn::Plan> plans,
                                           const std::vector<void*>& tensors) {
  cudnnHandle_t handle = libraries_of(ctx).cudnn.get();
  for (cudnn::Plan& plan : plans) {
    Scratch::Frame frame(ctx.scratch);
    if (cudnn::try_execute(handle, plan, tensors, workspace_of(plan, frame))) {
      return std::move(plan);
    }
  }
  return std::nullopt;
}

ConvolutionEntry choose(Context& ctx, const Convolution& convolution,
                        const std::vector<void*>& tensors) {
  const Libraries& libraries = libraries_of(ctx);
  const cudnn::Target target(libraries.cudnn.get());
  ConvolutionEntry entry;
  entry.name = libraries.cudnn_prefix + to_string(convolution);
  if (const std::vector<std::int64_t>* numbers = libraries.pinned.find(entry.name)) {
    const std::optional<cudnn::Recipe> recipe = to_recipe(*numbers);
    std::vector<cudnn::Plan> pinned;
    if (recipe) {
      if (auto plan = cudnn::pinned_plan(target, convolution, *recipe)) {
        pinned.push_back(std::move(*plan));
      }
    }
    entry.plan = first_that_runs(ctx, std::move(pinned), tensors);
    if (entry.plan) return entry;
  }
  if (libraries.autotune) {
    choose_fastest(ctx, cudnn::find_plans(target, convolution, kMostTimed), tensors, entry);
    return entry;
  }
  for (const std::size_t at_most : {1, kMostTimed}) {
    entry.plan = first_that_runs(ctx, cudnn::find_plans(target, convolution, at_most), tensors);
    if (entry.plan) break;
  }
  return entry;
}

bool compute(Context& ctx, const Convolution& convolution, const ConstView& x, const ConstView& w,
             const ConstView& y) {
  // The graph interface takes inputs and outputs alike as void*.
  const std::vector<void*> tensors{const_cast<void*>(x.data), const_cast<void*>(w.data),
                                   const_cast<void*>(y.data)};
  if (x.dtype == DType::f64 || x.shape.elements() == 0) return false;
  for (const void* tensor : tensors) {
    if (reinterpret_cast<std::uintptr_t>(tensor) % cudnn::kAlignment != 0) return false;
  }
  auto& known = libraries_of(ctx).convolutions;
  const Key key = key_of(convolution);
  auto found = known.find(key);
  if (found == known.end()) found = known.emplace(key, choose(ctx, convolution, tensors)).first;
  const std::optional<cudnn::Plan>& plan = found->second.plan;
  if (!plan) return false;
  Scratch::Frame frame(ctx.scratch);
  cudnn::execute(libraries_of(ctx).cudnn.get(), *plan, tensors, workspace_of(*plan, frame));
  return true;
}

}  // namespace

bool conv2d_forward(Context& ctx, const Conv2d& conv, ConstView x, ConstView w, View y) {
  return compute(ctx, describe(ctx, Direction::forward, conv, x, y), x, w, y);
}
bool conv2d_backward_data(Context& ctx, const Conv2d& conv, ConstView w, ConstView dy, View dx) {
  return compute(ctx, describe(ctx, Direction::backward_data, conv, dx, dy), dx, w, dy);
}
bool conv2d_backward_weights(Context& ctx, const Conv2d& conv, ConstView x, ConstView dy, View dw) {
  return compute(ctx, describe(ctx, Direction::backward_weights, conv, x, dy), x, dw, dy);
}

}  // namespace nat::gpu::libraries
