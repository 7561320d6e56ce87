// The one place where a run-time dtype becomes a C++ type.
#pragma once

#include <cmath>
#include <type_traits>

#include "kernels/view.h"

namespace nat::cpu {

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

// The type in which values stored as T are computed: float for bf16, else T itself.
template <class T>
using Compute = std::conditional_t<std::is_same_v<T, BFloat16>, float, T>;

inline float load(float value) { return value; }
inline double load(double value) { return value; }
inline float load(BFloat16 value) { return to_float(value); }
template <class T>
inline T store(Compute<T> value) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    return to_bfloat16(value);
  } else {
    return value;
  }
}

}  // namespace nat::cpu
