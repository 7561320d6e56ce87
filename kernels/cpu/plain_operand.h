// The plain loops of conv2d.cpp and gemm.cpp know float and double. This brings bf16 operands into
// that form: a view is copied to scratch, and a result is copied back.
#pragma once

#include "kernels/cast.h"
#include "kernels/scratch_view.h"

namespace nat::cpu {

inline bool is_plain(const ConstView& view) { return view.dtype != DType::bf16; }

inline View plain_memory(Scratch::Frame& frame, const ConstView& view) {
  return scratch_view(frame, parameter_dtype(view.dtype), view.shape);
}

inline ConstView plain_input(Context& ctx, Scratch::Frame& frame, ConstView view) {
  if (is_plain(view)) return view;
  const View plain = plain_memory(frame, view);
  cpu::cast(ctx, view, plain);
  return plain;
}

// Weights of a bf16 product take part with bf16 precision, as they do in oneDNN.
inline ConstView plain_weights(Context& ctx, Scratch::Frame& frame, ConstView w, DType operand) {
  if (operand != DType::bf16) return w;
  const View rounded = scratch_view(frame, DType::bf16, w.shape);
  cpu::cast(ctx, w, rounded);
  return plain_input(ctx, frame, rounded);
}

// Runs compute(plain view) and brings its result into `result`.
template <class Compute>
void with_plain_output(Context& ctx, Scratch::Frame& frame, View result, Compute&& compute) {
  if (is_plain(result)) return compute(result);
  const View plain = plain_memory(frame, result);
  compute(plain);
  cpu::cast(ctx, plain, result);
}

}  // namespace nat::cpu
