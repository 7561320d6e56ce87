// The contract of a layer. A layer says what it needs, owns no memory, and finds its parameters in
// the ParameterSet it declared them in. Virtual over *which layer*; *which device* is decided
// below, by the operations it calls.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/parameter.h"
#include "engine/tensor_spec.h"

namespace nat {

// One forward or backward run.
struct Pass {
  Mode mode = Mode::eval;
  std::uint64_t seed = 0;               // of dropout masks
  const std::uint32_t* step = nullptr;  // in the context's memory; needed with dropout
  bool update_statistics = true;        // the running ones, in Mode::train
};

// What backward will need of forward.
struct Needs {
  bool x = false, y = false;
  bool dx_may_replace_x = false;
  std::vector<TensorSpec> saved;
  std::size_t saved_in_eval = 0;  // so many of them, the first ones, are there in evaluation too
};

// The tensors of one layer in one pass.
struct LayerMemory {
  ConstView x;
  View y;
  std::span<const View> saved;
  ConstView dy;
  View dx;  // empty: not needed
};

class Layer {
 public:
  explicit Layer(std::string name) : name_(std::move(name)) {}
  virtual ~Layer() = default;
  const std::string& name() const { return name_; }

  // The output for an input like x, stored as `dtype` where the layer is free to choose. Pure.
  virtual TensorSpec output(const Context&, const TensorSpec& x, DType dtype) const = 0;
  // What backward needs, given input and output.
  virtual Needs needs(const Context&, const TensorSpec& x, const TensorSpec& y) const = 0;
  // Declares parameters for inputs like x; called once.
  virtual void declare(const TensorSpec& x, const TensorSpec& y, ParameterSet& parameters) = 0;

  virtual void forward(Context&, const Pass&, const ParameterSet&, const LayerMemory&) const = 0;
  // Overwrites the gradients of its parameters and, unless empty, dx.
  virtual void backward(Context&, const Pass&, const ParameterSet&, const LayerMemory&) const = 0;

 private:
  std::string name_;
};

}  // namespace nat
