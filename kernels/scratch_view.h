// A tensor in temporary memory.
#pragma once

#include "kernels/context.h"
#include "kernels/view.h"

namespace nat {

inline View scratch_view(Scratch::Frame& frame, DType dtype, const Shape& shape) {
  return {frame.take<char>(static_cast<std::size_t>(shape.elements()) * size_of(dtype)), dtype,
          shape};
}

}  // namespace nat
