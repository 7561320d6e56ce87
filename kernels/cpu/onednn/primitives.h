// What every user of oneDNN shares: the cache of primitives, scratch memory, and the differences
// between oneDNN 2.x and 3.x. Only kernels/cpu/onednn includes oneDNN headers.
#pragma once

#include <dnnl.hpp>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "kernels/context.h"
#include "kernels/view.h"

namespace nat {

namespace cpu::onednn {

// One primitive with the memory objects it runs on. Their handles change from call to call.
struct Planned {
  dnnl::primitive primitive;
  std::unordered_map<int, dnnl::memory> arguments;
  dnnl::memory::desc scratchpad;
  std::string implementation;
  std::unique_ptr<Planned> weights_reorder;  // between plain f32 weights and what primitive wants

  dnnl::memory& operator[](int argument) { return arguments.at(argument); }
};

// Identifies a primitive: which operation, then every number its creation depends on.
using Key = std::vector<std::int64_t>;

}  // namespace cpu::onednn

struct CpuState {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  // A null value marks a combination that oneDNN does not implement here.
  std::map<cpu::onednn::Key, std::unique_ptr<cpu::onednn::Planned>> primitives;
};

namespace cpu::onednn {

enum class Operation : std::int64_t {
  conv_forward,
  conv_backward_data,
  conv_backward_weights,
  linear_forward,
  linear_backward_data,
  linear_backward_weights,
};

dnnl::memory::data_type data_type(DType dtype);

// Creates the descriptor of primitive P: 2.x wants an operation descriptor first, 3.x does not.
template <class P, class... Args>
typename P::primitive_desc describe(const dnnl::engine& engine, const dnnl::primitive_attr& attr,
                                    const Args&... args) {
#if DNNL_VERSION_MAJOR >= 3
  return typename P::primitive_desc(engine, args..., attr);
#else
  return typename P::primitive_desc(typename P::desc(args...), attr, engine);
#endif
}
// The same for a backward primitive, which takes its forward descriptor as a hint.
template <class P, class Hint, class... Args>
typename P::primitive_desc describe_backward(const dnnl::engine& engine,
                                             const dnnl::primitive_attr& attr, const Hint& hint,
                                             const Args&... args) {
#if DNNL_VERSION_MAJOR >= 3
  return typename P::primitive_desc(engine, args..., hint, attr);
#else
  return typename P::primitive_desc(typename P::desc(args...), attr, engine, hint);
#endif
}

// The caller lends scratch memory instead of oneDNN allocating its own.
dnnl::primitive_attr user_scratchpad();

// Plans a primitive: memory objects without handles for each (argument, descriptor).
template <class P>
std::unique_ptr<Planned> plan(const CpuState& state, const typename P::primitive_desc& desc,
                              const std::map<int, dnnl::memory::desc>& arguments) {
  auto planned = std::make_unique<Planned>();
  planned->primitive = P(desc);
  planned->scratchpad = desc.scratchpad_desc();
  planned->implementation = desc.impl_info_str();
  for (const auto& [argument, memory] : arguments) {
    planned->arguments.emplace(argument, dnnl::memory(memory, state.engine, DNNL_MEMORY_NONE));
  }
  planned->arguments.emplace(DNNL_ARG_SCRATCHPAD,
                             dnnl::memory(planned->scratchpad, state.engine, DNNL_MEMORY_NONE));
  return planned;
}

// oneDNN's own kind of exception does not leave this room.
[[noreturn]] void throw_onednn_error(const dnnl::error& error);

// Finds the primitive of `key` or builds it; nullptr when oneDNN cannot do it on this processor.
template <class Build>
Planned* find_or_build(CpuState& state, const Key& key, Build&& build) {
  if (const auto known = state.primitives.find(key); known != state.primitives.end()) {
    return known->second.get();
  }
  std::unique_ptr<Planned> planned;
  try {
    planned = build();
  } catch (const dnnl::error& error) {
    if (error.status != dnnl_unimplemented && error.status != dnnl_invalid_arguments) {
      throw_onednn_error(error);
    }
  }
  return state.primitives.emplace(key, std::move(planned)).first->second.get();
}

// Weights are plain f32 tensors between calls; primitives want their own layout and dtype. This
// attaches the conversion to a plan, to or from the primitive; without one the plain tensor is used
// as it is.
void attach_reorder(const CpuState& state, Planned& planned, const dnnl::memory::desc& from,
                    const dnnl::memory::desc& to);

// Runs a forward or backward-data primitive: `in` and weights to `out`. False, having done nothing,
// without a primitive.
bool run_product(Context& ctx, Planned* planned, int in_argument, ConstView in, ConstView weights,
                 int out_argument, View out);
// Runs a backward-weights primitive: x and dy to dw.
bool run_weight_gradient(Context& ctx, Planned* planned, ConstView x, ConstView dy, Grad grad,
                         View dw);

}  // namespace cpu::onednn
}  // namespace nat
