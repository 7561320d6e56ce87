// How stored values are computed with: bfloat16 in float, the others as themselves.
#pragma once

#include <type_traits>

#include "kernels/view.h"

namespace nat::cpu {

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
