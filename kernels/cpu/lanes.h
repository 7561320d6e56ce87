// Vectors of kLanes neighbouring channels, the unit of work of the per-channel kernels. They are
// the compiler's generic vectors (g++ and clang), so arithmetic, comparison and `mask ? a : b` are
// plain operators; a vector stays in one register where the inner loop runs over pixels.
//
// Where a vector is wider than the processor's registers, its calling convention depends on
// compiler flags (-Wno-psabi); vectors therefore never leave a translation unit.
//
// Every function takes the number of lanes that exist: FullLanes{} in the common case, an int for
// the last, shorter group of channels. Lanes beyond it read as 0 and are not written.
#pragma once

#include <algorithm>
#include <cstring>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "kernels/cpu/stored.h"

namespace nat::cpu {

// Results do not depend on kLanes: channels never mix.
#if defined(__AVX512F__)
inline constexpr int kLanes = 16;
#else
inline constexpr int kLanes = 8;
#endif

using FullLanes = std::integral_constant<int, kLanes>;

template <class T>
struct VectorOf {
  using type __attribute__((vector_size(kLanes * sizeof(T)))) = T;
};
template <>
struct VectorOf<BFloat16> : VectorOf<std::uint16_t> {};
template <class T>
using Vector = typename VectorOf<T>::type;

// The integers that comparisons of Vector<T> yield.
template <class T>
using MaskInt = std::conditional_t<sizeof(T) == 8, std::int64_t, std::int32_t>;

template <class T>
Vector<T> broadcast(T value) {
  return value - Vector<T>{};
}

// Integers of other widths. g++ 12 takes many instructions for these conversions, or even goes lane
// by lane, so they are spelt out; the last branch is the meaning.
inline Vector<std::uint32_t> widen(const Vector<std::uint16_t>& v) {
  using Wide = Vector<std::uint32_t>;
#if defined(__AVX512F__)
  return __builtin_bit_cast(Wide,
                            _mm512_maskz_cvtepu16_epi32(0xffff, __builtin_bit_cast(__m256i, v)));
#elif defined(__AVX2__)
  return __builtin_bit_cast(Wide, _mm256_cvtepu16_epi32(__builtin_bit_cast(__m128i, v)));
#else
  return __builtin_convertvector(v, Wide);
#endif
}
inline Vector<std::int32_t> widen(const Vector<std::uint8_t>& v) {
  using Wide = Vector<std::int32_t>;
#if defined(__AVX512F__)
  return __builtin_bit_cast(Wide,
                            _mm512_maskz_cvtepu8_epi32(0xffff, __builtin_bit_cast(__m128i, v)));
#elif defined(__AVX2__)
  const __m128i bytes = _mm_cvtsi64_si128(__builtin_bit_cast(long long, v));
  return __builtin_bit_cast(Wide, _mm256_cvtepu8_epi32(bytes));
#else
  return __builtin_convertvector(v, Wide);
#endif
}
inline Vector<std::uint16_t> narrow(const Vector<std::uint32_t>& v) {
#if defined(__AVX512F__)
  return __builtin_bit_cast(Vector<std::uint16_t>,
                            _mm512_maskz_cvtepi32_epi16(0xffff, __builtin_bit_cast(__m512i, v)));
#else
  return __builtin_convertvector(v, Vector<std::uint16_t>);
#endif
}
inline Vector<std::uint8_t> narrow(const Vector<std::int32_t>& v) {
#if defined(__AVX512F__)
  return __builtin_bit_cast(Vector<std::uint8_t>,
                            _mm512_maskz_cvtepi32_epi8(0xffff, __builtin_bit_cast(__m512i, v)));
#else
  return __builtin_convertvector(__builtin_convertvector(v, Vector<std::uint16_t>),
                                 Vector<std::uint8_t>);
#endif
}

// Copies the bytes as they are stored.
template <class T, class Count>
Vector<T> load_raw(const T* data, Count lanes) {
  Vector<T> raw{};
  std::memcpy(&raw, data, static_cast<std::size_t>(lanes) * sizeof(T));
  return raw;
}
template <class T, class Count>
void store_raw(const Vector<T>& raw, T* data, Count lanes) {
  std::memcpy(data, &raw, static_cast<std::size_t>(lanes) * sizeof(T));
}

// The values, in the type in which they are computed.
template <class T, class Count>
Vector<Compute<T>> load_lanes(const T* data, Count lanes) {
  const Vector<T> raw = load_raw(data, lanes);
  if constexpr (std::is_same_v<T, BFloat16>) {
    return __builtin_bit_cast(Vector<float>, widen(raw) << 16);
  } else {
    return raw;
  }
}

// Rounds to T as store<T> of kernels/cpu/stored.h does, all lanes at once.
template <class T, class Count>
void store_lanes(const Vector<Compute<T>>& value, T* data, Count lanes) {
  if constexpr (std::is_same_v<T, BFloat16>) {
    using Bits = Vector<std::uint32_t>;
    const Bits bits = __builtin_bit_cast(Bits, value);
    const Bits rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const Bits chosen = (bits & 0x7fffffffu) > 0x7f800000u ? (bits >> 16) | 0x40u : rounded;
    store_raw(narrow(chosen), data, lanes);
  } else {
    store_raw(value, data, lanes);
  }
}

using OnePixel = std::integral_constant<std::int64_t, 1>;

// Calls body(first pixel, pixels, channel, lanes) for all pixels and all groups of kLanes of their
// `channels`. The loop over the pixels of a tile is the body's. Narrow rows come in tiles of many
// pixels, so that what belongs to the channels stays in registers. Wide ones come pixel by pixel:
// memory is then read in order, which matters more than reloading that from the cache.
template <class Body>
void for_each_tile(std::int64_t pixels, std::int64_t channels, Body&& body) {
  constexpr std::int64_t kNarrow = 32;
  const auto groups = [&](std::int64_t first, auto count) {
    std::int64_t channel = 0;
    for (; channel + kLanes <= channels; channel += kLanes) {
      body(first, count, channel, FullLanes{});
    }
    if (channel < channels) body(first, count, channel, static_cast<int>(channels - channel));
  };
  if (channels <= kNarrow) return groups(0, pixels);
  for (std::int64_t pixel = 0; pixel < pixels; ++pixel) groups(pixel, OnePixel{});
}

}  // namespace nat::cpu
