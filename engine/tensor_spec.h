// What a tensor will look like, before it has memory.
#pragma once

#include "kernels/view.h"

namespace nat {

struct TensorSpec {
  Shape shape;
  DType dtype = DType::f32;

  TensorSpec() = default;
  TensorSpec(Shape shape_, DType dtype_) : shape(shape_), dtype(dtype_) {}

  std::size_t bytes() const { return static_cast<std::size_t>(shape.elements()) * size_of(dtype); }
  View at(void* data) const { return {data, dtype, shape}; }
};

}  // namespace nat
