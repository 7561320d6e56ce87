#include "engine/execution.h"

#include <algorithm>

namespace nat {

namespace {
// When what happens in a step of L layers. A tensor lives from the time it is written to the last
// time it is read:
//
//   activation i   from forward(i - 1) to forward(i), or to the backward of a layer that needs it
//   output         to head() at least, where its gradient is made
//   gradient i     from backward(i), that of the output from head(), to backward(i - 1)
//   saved of i     from forward(i) to backward(i)
struct Clock {
  int layers;
  int forward(std::size_t layer) const { return static_cast<int>(layer); }
  int head() const { return layers; }
  int backward(std::size_t layer) const { return 2 * layers - static_cast<int>(layer); }
  int end() const { return backward(0); }
};

std::vector<TensorSpec> first_activations(const Context& ctx, const Sequential& net,
                                          std::int64_t batch, std::size_t layers) {
  std::vector<TensorSpec> specs = net.activations(ctx, batch);
  specs.resize(layers + 1);
  return specs;
}
}  // namespace

Execution::Execution(Context& ctx, Sequential& net, std::int64_t batch, Mode mode,
                     const std::vector<std::string>& keep, Sharing sharing)
    : Execution(PlanOnly{}, ctx, net, batch, mode, keep, sharing) {
  const std::vector<TensorSpec> specs = first_activations(ctx, net, batch, depth_);
  arena_ = Buffer(ctx.device, plan_.total(), "activations");
  if (mode == Mode::train) net.parameters().keep_gradients(ctx);

  const auto place = [&](std::size_t slot, const TensorSpec& spec) {
    return spec.at(arena_.as<char>() + plan_.slots()[slot].offset);
  };
  for (std::size_t i = 0; i < specs.size(); ++i) {
    activations_.push_back(place(activation_slots_[i], specs[i]));
  }
  gradients_.resize(specs.size());
  if (mode == Mode::train) {
    for (std::size_t i = 1; i < specs.size(); ++i) {
      gradients_[i] = place(gradient_slots_[i], specs[i]);
    }
  }
  for (std::size_t i = 0; i < saved_slots_.size(); ++i) {
    const std::vector<TensorSpec> saved = saved_specs(ctx, i, specs);
    saved_.emplace_back();
    for (std::size_t s = 0; s < saved.size(); ++s) {
      saved_.back().push_back(place(saved_slots_[i][s], saved[s]));
    }
  }
}

Execution::Execution(PlanOnly, const Context& ctx, Sequential& net, std::int64_t batch, Mode mode,
                     const std::vector<std::string>& keep, Sharing sharing)
    : net_(net), batch_(batch), mode_(mode), kept_(keep), depth_(needed_layers()) {
  NAT_CHECK(batch >= 1, ErrorKind::usage, "--batch ", batch, " is not positive");
  const std::vector<TensorSpec> specs = first_activations(ctx, net, batch, depth_);
  plan_forward(ctx, specs);
  if (mode == Mode::train) plan_backward(ctx, specs, sharing);
  plan_.place(sharing == Sharing::on);
}

MemoryPlan Execution::plan(const Context& ctx, Sequential& net, std::int64_t batch, Mode mode) {
  return Execution(PlanOnly{}, ctx, net, batch, mode, {}, Sharing::on).plan_;
}

std::size_t Execution::needed_layers() const {
  std::size_t last = 0;
  for (const std::string& name : kept_) {
    if (name != kInput) last = std::max(last, net_.layer_index(name) + 1);
  }
  return mode_ == Mode::train || last == 0 ? net_.layers().size() : last;
}

std::vector<TensorSpec> Execution::saved_specs(const Context& ctx, std::size_t layer,
                                               const std::vector<TensorSpec>& specs) const {
  Needs needs = net_.layers()[layer]->needs(ctx, specs[layer], specs[layer + 1]);
  if (mode_ == Mode::eval) needs.saved.resize(needs.saved_in_eval);
  return std::move(needs.saved);
}

void Execution::plan_forward(const Context& ctx, const std::vector<TensorSpec>& specs) {
  const auto& layers = net_.layers();
  const Clock clock{static_cast<int>(depth_)};
  const bool trains = mode_ == Mode::train;
  activation_slots_.push_back(
      plan_.add(kInput, specs[0].bytes(), clock.forward(0), clock.forward(0)));
  for (std::size_t i = 1; i < specs.size(); ++i) {
    const int read = i < depth_ ? clock.forward(i) : clock.head();
    activation_slots_.push_back(
        plan_.add(layers[i - 1]->name(), specs[i].bytes(), clock.forward(i - 1), read));
  }
  for (const std::string& name : kept_) {
    if (name == kInput) {
      plan_.extend(activation_slots_.front(), trains ? clock.end() : clock.head());
    } else {
      plan_.extend(activation_slots_[net_.layer_index(name) + 1], clock.head());
    }
  }
  for (std::size_t i = 0; i < depth_; ++i) {
    saved_slots_.emplace_back();
    for (const TensorSpec& spec : saved_specs(ctx, i, specs)) {
      const int last = trains ? clock.backward(i) : clock.forward(i);
      saved_slots_.back().push_back(
          plan_.add(layers[i]->name() + " saved", spec.bytes(), clock.forward(i), last));
    }
  }
}

void Execution::plan_backward(const Context& ctx, const std::vector<TensorSpec>& specs,
                              Sharing sharing) {
  const auto& layers = net_.layers();
  const Clock clock{static_cast<int>(layers.size())};
  std::vector<Needs> needs;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    needs.push_back(layers[i]->needs(ctx, specs[i], specs[i + 1]));
    if (needs[i].x) plan_.extend(activation_slots_[i], clock.backward(i));
    if (needs[i].y) plan_.extend(activation_slots_[i + 1], clock.backward(i));
  }
  // A gradient may lie over its activation, unless the layer that reads it needs both.
  gradient_slots_.resize(specs.size());
  for (std::size_t i = 1; i < specs.size(); ++i) {
    const bool is_output = i == layers.size();
    const int last_read = clock.backward(i - 1);
    if (sharing == Sharing::on && !is_output && needs[i].dx_may_replace_x && !needs[i - 1].y) {
      gradient_slots_[i] = activation_slots_[i];
      plan_.extend(activation_slots_[i], last_read);
    } else {
      const int written = is_output ? clock.head() : clock.backward(i);
      gradient_slots_[i] =
          plan_.add("d " + layers[i - 1]->name(), specs[i].bytes(), written, last_read);
    }
  }
}

LayerMemory Execution::memory_of(std::size_t layer) const {
  return {.x = activations_[layer],
          .y = activations_[layer + 1],
          .saved = saved_[layer],
          .dy = gradients_[layer + 1],
          .dx = gradients_[layer]};
}

ConstView Execution::kept(const std::string& layer) const {
  assert(std::find(kept_.begin(), kept_.end(), layer) != kept_.end());
  return layer == kInput ? activations_.front() : activations_[net_.layer_index(layer) + 1];
}

void Execution::forward(Context& ctx, const Pass& pass) {
  assert(mode_ == Mode::train || pass.mode == Mode::eval);
  for (std::size_t i = 0; i < depth_; ++i) {
    net_.layers()[i]->forward(ctx, pass, net_.parameters(), memory_of(i));
  }
}

void Execution::backward(Context& ctx, const Pass& pass) {
  assert(mode_ == Mode::train);
  for (std::size_t i = net_.layers().size(); i-- > 0;) {
    net_.layers()[i]->backward(ctx, pass, net_.parameters(), memory_of(i));
  }
}

}  // namespace nat
