// A sequence of operations that is enqueued again and again over the same memory.
//
//   recording.run(ctx, [&] { forward(...); backward(...); update(...); });
//
// On the CPU the function runs every time. On CUDA it runs the first time as it is, which builds
// whatever is cached; the second time it is recorded into a CUDA graph; from then on the graph is
// launched as one, without calling the function. So the function must do the same whenever it is
// called: what differs from step to step is read by the operations from the context's memory. It
// must not wait for the device or copy from or to the host.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "kernels/context.h"

namespace nat {

namespace gpu {
struct Graph;
}

class Recording {
 public:
  Recording();
  ~Recording();
  Recording(Recording&&) noexcept;
  Recording& operator=(Recording&&) noexcept;

  void run(Context& ctx, const std::function<void()>& enqueue);

 private:
  bool warmed_up_ = false;
  std::uint64_t scratch_generation_ = 0;  // of the scratch memory that the graph points into
  std::unique_ptr<gpu::Graph, void (*)(gpu::Graph*)> graph_;
};

}  // namespace nat
