// Types of stored elements in kernels: what they are computed in, and the one place where a
// run-time dtype becomes a C++ type.
#pragma once

#include <type_traits>

#include "kernels/host_device.h"
#include "kernels/view.h"

namespace nat::gpu {

// The type in which values stored as T are computed: float for bf16, else T itself.
template <class T>
using Compute = std::conditional_t<std::is_same_v<T, BFloat16>, float, T>;

NAT_HOST_DEVICE inline float load(float value) { return value; }
NAT_HOST_DEVICE inline double load(double value) { return value; }
NAT_HOST_DEVICE inline float load(BFloat16 value) { return to_float(value); }

template <class T>
NAT_HOST_DEVICE inline T store(Compute<T> value) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    return to_bfloat16(value);
  } else {
    return value;
  }
}

// Elements that move together, in one instruction of up to 16 bytes.
template <class T, int kWidth>
struct alignas(sizeof(T) * kWidth) Pack {
  T at[kWidth];
};

inline bool is_aligned(const void* data, std::size_t bytes) {
  return reinterpret_cast<std::uintptr_t>(data) % bytes == 0;
}

template <class T>
struct Tag {
  using type = T;
};

// Calls f(Tag<T>{}) with T = float, double or BFloat16.
template <class F>
void dispatch_storage(DType dtype, const char* operation, F&& f) {
  switch (dtype) {
    case DType::f32:
      return f(Tag<float>{});
    case DType::f64:
      return f(Tag<double>{});
    case DType::bf16:
      return f(Tag<BFloat16>{});
    default:
      break;
  }
  throw Error(ErrorKind::usage,
              str(operation, ": dtype ", name(dtype), " is not f32, bf16 or f64"));
}

}  // namespace nat::gpu
