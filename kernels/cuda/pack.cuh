// Values that one thread loads, computes with and stores together: a Pack in memory, Lanes in
// registers. 16-byte packs make every access of a warp as wide as the hardware has it; packs of one
// value serve shapes and addresses that do not allow more.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "kernels/view.h"

namespace nat::gpu {

// The type in which values stored as T are computed: float for bf16, else T itself.
template <class T>
using Compute = std::conditional_t<std::is_same_v<T, BFloat16>, float, T>;

// How many T a full pack holds. float64 exists for gradient checks, not for speed: one.
template <class T>
inline constexpr int kFullPack = std::is_same_v<T, double> ? 1 : 16 / static_cast<int>(sizeof(T));

template <class T, int N>
struct Pack {
  T value[N];
};

template <class C, int N>
struct Lanes {
  C lane[N];
  __device__ C& operator[](int i) { return lane[i]; }
  __device__ const C& operator[](int i) const { return lane[i]; }
};

namespace detail {
template <std::size_t bytes>
struct Word;
template <>
struct Word<1> : std::type_identity<unsigned char> {};
template <>
struct Word<2> : std::type_identity<unsigned short> {};
template <>
struct Word<4> : std::type_identity<unsigned> {};
template <>
struct Word<8> : std::type_identity<uint2> {};
template <>
struct Word<16> : std::type_identity<uint4> {};
}  // namespace detail

// The built-in type that moves a pack in one access.
template <class T, int N>
using Word = typename detail::Word<sizeof(T) * N>::type;

template <int N, class T>
__device__ Pack<T, N> load_pack(const T* from) {
  return __builtin_bit_cast(Pack<T, N>, *reinterpret_cast<const Word<T, N>*>(from));
}
template <class T, int N>
__device__ void store_pack(const Pack<T, N>& pack, T* to) {
  *reinterpret_cast<Word<T, N>*>(to) = __builtin_bit_cast(Word<T, N>, pack);
}
// For what nobody reads soon: the first lines to leave the cache.
template <class T, int N>
__device__ void store_pack_streaming(const Pack<T, N>& pack, T* to) {
  __stcs(reinterpret_cast<Word<T, N>*>(to), __builtin_bit_cast(Word<T, N>, pack));
}

template <class T>
__device__ Compute<T> widen(T value) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    return __bfloat162float(__ushort_as_bfloat16(value.bits));
  } else {
    return value;
  }
}
template <class T, int N>
__device__ Lanes<Compute<T>, N> widen(const Pack<T, N>& pack) {
  Lanes<Compute<T>, N> lanes;
#pragma unroll
  for (int i = 0; i < N; ++i) lanes[i] = widen(pack.value[i]);
  return lanes;
}

// Rounds to T (nearest, ties to even). bf16 is rounded in pairs, as the hardware does it.
template <class T, int N>
__device__ Pack<T, N> narrow(const Lanes<Compute<T>, N>& lanes) {
  Pack<T, N> pack;
  if constexpr (!std::is_same_v<T, BFloat16>) {
#pragma unroll
    for (int i = 0; i < N; ++i) pack.value[i] = lanes[i];
  } else if constexpr (N % 2 != 0) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      pack.value[i].bits = __bfloat16_as_ushort(__float2bfloat16_rn(lanes[i]));
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; i += 2) {
      const __nv_bfloat162 pair = __floats2bfloat162_rn(lanes[i], lanes[i + 1]);
      pack.value[i].bits = __bfloat16_as_ushort(pair.x);
      pack.value[i + 1].bits = __bfloat16_as_ushort(pair.y);
    }
  }
  return pack;
}

// The same for one value.
template <class T>
__device__ T narrow(Compute<T> value) {
  return narrow<T>(Lanes<Compute<T>, 1>{{value}}).value[0];
}

// N neighbouring parameters; they need no more alignment than one of them has.
template <int N, class C>
__device__ Lanes<C, N> load_lanes(const C* from) {
  Lanes<C, N> lanes;
#pragma unroll
  for (int i = 0; i < N; ++i) lanes[i] = from[i];
  return lanes;
}

// The same for parameters in memory of their own, from a multiple of N on.
template <int N, class C>
__device__ Lanes<C, N> load_whole_lanes(const C* from) {
  constexpr int kPack = N < kFullPack<C> ? N : kFullPack<C>;
  Lanes<C, N> lanes;
#pragma unroll
  for (int i = 0; i < N; i += kPack) {
    const auto some = load_pack<kPack>(from + i);
#pragma unroll
    for (int k = 0; k < kPack; ++k) lanes[i + k] = some.value[k];
  }
  return lanes;
}

// Whether rows of `channels` values at all these addresses can be read in packs of `pack` values.
template <class T>
bool fits_pack(int pack, std::int64_t channels, std::initializer_list<const void*> tensors,
               const void* bytes = nullptr) {
  const auto aligned = [](const void* data, std::size_t to) {
    return reinterpret_cast<std::uintptr_t>(data) % to == 0;
  };
  if (channels % pack != 0 || !aligned(bytes, static_cast<std::size_t>(pack))) return false;
  for (const void* data : tensors) {
    if (!aligned(data, sizeof(T) * static_cast<std::size_t>(pack))) return false;
  }
  return true;
}

// Calls f(std::integral_constant<int, N>) with N = a full pack if `full`, else 1.
template <class T, class F>
void with_pack(bool full, F&& f) {
  if constexpr (kFullPack<T> != 1) {
    if (full) return f(std::integral_constant<int, kFullPack<T>>{});
  }
  f(std::integral_constant<int, 1>{});
}

}  // namespace nat::gpu
