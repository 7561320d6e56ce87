// Products want all their operands in one dtype. This brings others into it, through scratch.
#pragma once

#include "kernels/cast.h"

namespace nat::gpu {

inline View scratch_view(Scratch::Frame& frame, DType dtype, const Shape& shape) {
  return {frame.take<char>(static_cast<std::size_t>(shape.elements()) * size_of(dtype)), dtype,
          shape};
}

inline ConstView as_operand(Context& ctx, Scratch::Frame& frame, ConstView view, DType dtype) {
  if (view.dtype == dtype) return view;
  const View converted = scratch_view(frame, dtype, view.shape);
  gpu::cast(ctx, view, converted);
  return converted;
}

// The dtype of parameters and gradients beside activations of this dtype.
inline DType parameter_dtype(DType activation) {
  return activation == DType::f64 ? DType::f64 : DType::f32;
}
// Weights may also come as bf16 copies, beside bf16 activations.
inline bool fits_as_weights(DType w, DType activation) {
  return w == parameter_dtype(activation) || (w == DType::bf16 && activation == DType::bf16);
}

}  // namespace nat::gpu
