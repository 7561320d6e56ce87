// What a tensor will look like, before it has memory.
#pragma once

#include "kernels/view.h"

namespace nat {

struct TensorSpec {
  Shape shape;
  DType dtype = DType::f32;
  std::int64_t block = 0;  // channels per block, see kernels/view.h

  TensorSpec() = default;
  TensorSpec(Shape shape_, DType dtype_) : shape(shape_), dtype(dtype_), block(shape_.channels()) {}
  TensorSpec(Shape shape_, DType dtype_, std::int64_t block_)
      : shape(shape_), dtype(dtype_), block(block_) {}

  std::size_t bytes() const { return static_cast<std::size_t>(shape.elements()) * size_of(dtype); }
  View at(void* data) const { return {data, dtype, shape, block}; }
};

}  // namespace nat
