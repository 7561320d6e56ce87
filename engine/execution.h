// A network prepared for one batch size and mode: every activation and gradient has its place in
// one arena, planned at construction. forward and backward allocate nothing.
#pragma once

#include "engine/memory_plan.h"
#include "engine/sequential.h"

namespace nat {

// off: no tensor shares memory with another, and no gradient is written over its activation (a test
// of the planner).
enum class Sharing { on, off };

class Execution {
 public:
  // The outputs of the layers named in `keep` stay readable after forward; other outputs may be
  // overwritten. With kInput among them the input stays for another pass over the same pictures.
  // Mode::eval plans forward only, and no further than the last layer named: who names none, or the
  // input alone, wants the output.
  static constexpr const char* kInput = "input";
  Execution(Context& ctx, Sequential& net, std::int64_t batch, Mode mode,
            const std::vector<std::string>& keep = {}, Sharing sharing = Sharing::on);

  // The plan alone, for a context that need not have its device (Context::for_planning).
  static MemoryPlan plan(const Context& ctx, Sequential& net, std::int64_t batch, Mode mode);

  std::int64_t batch() const { return batch_; }
  View input() const { return activations_.front(); }         // written by the caller
  ConstView output() const { return activations_.back(); }    // of the last layer that runs
  View output_gradient() const { return gradients_.back(); }  // written by the caller
  ConstView kept(const std::string& layer) const;

  void forward(Context& ctx, const Pass& pass);
  void backward(Context& ctx, const Pass& pass);

  const MemoryPlan& memory_plan() const { return plan_; }

 private:
  struct PlanOnly {};
  Execution(PlanOnly, const Context& ctx, Sequential& net, std::int64_t batch, Mode mode,
            const std::vector<std::string>& keep, Sharing sharing);
  std::size_t needed_layers() const;
  std::vector<TensorSpec> saved_specs(const Context& ctx, std::size_t layer,
                                      const std::vector<TensorSpec>& specs) const;
  void plan_forward(const Context& ctx, const std::vector<TensorSpec>& specs);
  void plan_backward(const Context& ctx, const std::vector<TensorSpec>& specs, Sharing sharing);
  LayerMemory memory_of(std::size_t layer) const;

  Sequential& net_;
  std::int64_t batch_;
  Mode mode_;
  std::vector<std::string> kept_;
  std::size_t depth_;  // layers that run
  MemoryPlan plan_;
  Buffer arena_;
  // Slots of the plan, then the views placed there: activations_[i] is the input of layer i.
  std::vector<std::size_t> activation_slots_, gradient_slots_;
  std::vector<std::vector<std::size_t>> saved_slots_;
  std::vector<View> activations_, gradients_;
  std::vector<std::vector<View>> saved_;
};

}  // namespace nat
