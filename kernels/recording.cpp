#include "kernels/recording.h"

#include "kernels/cuda/runtime.h"
#include "nat_config.h"

namespace nat {

namespace {
void destroy(gpu::Graph* graph) {
  if constexpr (kHasCudaKernels) gpu::destroy_graph(graph);
}
}  // namespace

Recording::Recording() : graph_(nullptr, destroy) {}
Recording::~Recording() = default;
Recording::Recording(Recording&&) noexcept = default;
Recording& Recording::operator=(Recording&&) noexcept = default;

void Recording::run(Context& ctx, const std::function<void()>& enqueue) {
  if constexpr (kHasCudaKernels) {
    if (ctx.device == Device::cuda) {
      if (graph_ != nullptr && scratch_generation_ == ctx.scratch.generation()) {
        return gpu::replay(*graph_, ctx);
      }
      graph_.reset();
      if (warmed_up_) {
        gpu::begin_recording(ctx);
        try {
          enqueue();
        } catch (...) {
          gpu::abandon_recording(ctx);
          throw;
        }
        graph_.reset(gpu::end_recording(ctx));
        scratch_generation_ = ctx.scratch.generation();
        return gpu::replay(*graph_, ctx);
      }
    }
  }
  enqueue();
  warmed_up_ = true;
}

}  // namespace nat
