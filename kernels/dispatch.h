// The one place where a run-time dtype becomes a C++ type, on every device.
#pragma once

#include "kernels/view.h"

namespace nat {

template <class T>
struct Tag {
  using type = T;
};

// Calls f(Tag<T>{}) with T = float or double.
template <class F>
void dispatch_real(DType dtype, const char* operation, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(Tag<float>{});
    case DType::f64:
      return f(Tag<double>{});
    default:
      break;
  }
  throw Error(ErrorKind::usage, str(operation, ": dtype ", name(dtype), " is not f32 or f64"));
}

// Calls f(Tag<T>{}) with T = float, double or BFloat16, the types in which activations are stored.
template <class F>
void dispatch_storage(DType dtype, const char* operation, F&& f) {
  if (dtype == DType::bf16) return f(Tag<BFloat16>{});
  dispatch_real(dtype, operation, f);
}

}  // namespace nat
