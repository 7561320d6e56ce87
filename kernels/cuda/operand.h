// Products want all their operands in one dtype. This brings others into it, through scratch.
#pragma once

#include "kernels/cast.h"
#include "kernels/scratch_view.h"

namespace nat::gpu {

inline ConstView as_operand(Context& ctx, Scratch::Frame& frame, ConstView view, DType dtype) {
  if (view.dtype == dtype) return view;
  const View converted = scratch_view(frame, dtype, view.shape);
  gpu::cast(ctx, view, converted);
  return converted;
}

// Weights may also come as bf16 copies, beside bf16 activations.
inline bool fits_as_weights(DType w, DType activation) {
  return w == parameter_dtype(activation) || (w == DType::bf16 && activation == DType::bf16);
}

}  // namespace nat::gpu
