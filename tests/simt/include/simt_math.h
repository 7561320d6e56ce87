// Device functions of arithmetic that the C library lacks, and loads and stores with cache hints.
// Approximations of the device are exact here; kernels are compared with tolerances.
#pragma once

#include <math.h>

#include <algorithm>
#include <bit>
#include <cstdint>

inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __saturatef(float x) { return x > 0 ? fminf(x, 1) : 0; }
inline float __fadd_rn(float x, float y) { return x + y; }
inline float __fsub_rn(float x, float y) { return x - y; }
inline float __fmul_rn(float x, float y) { return x * y; }
inline float __fdiv_rn(float x, float y) { return x / y; }
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __frsqrt_rn(float x) { return 1 / sqrtf(x); }
inline double __dadd_rn(double x, double y) { return x + y; }
inline double __dmul_rn(double x, double y) { return x * y; }
inline double __fma_rn(double x, double y, double z) { return fma(x, y, z); }

// The C library reserves these names, so they cannot be functions.
#define __expf(x) expf(x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __powf(x, y) powf(x, y)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)

inline int __float_as_int(float x) { return std::bit_cast<int>(x); }
inline unsigned __float_as_uint(float x) { return std::bit_cast<unsigned>(x); }
inline float __int_as_float(int x) { return std::bit_cast<float>(x); }
inline float __uint_as_float(unsigned x) { return std::bit_cast<float>(x); }
inline long long __double_as_longlong(double x) { return std::bit_cast<long long>(x); }
inline double __longlong_as_double(long long x) { return std::bit_cast<double>(x); }
inline int __float2int_rn(float x) { return static_cast<int>(nearbyintf(x)); }
inline int __float2int_rd(float x) { return static_cast<int>(floorf(x)); }
inline int __float2int_rz(float x) { return static_cast<int>(x); }
inline long long __float2ll_rn(float x) { return llrintf(x); }
inline int __double2int_rn(double x) { return static_cast<int>(nearbyint(x)); }
inline long long __double2ll_rn(double x) { return llrint(x); }

inline int __popc(unsigned x) { return std::popcount(x); }
inline int __popcll(unsigned long long x) { return std::popcount(x); }
inline int __clz(int x) { return std::countl_zero(static_cast<unsigned>(x)); }
inline int __clzll(long long x) { return std::countl_zero(static_cast<unsigned long long>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline int __ffsll(long long x) { return __builtin_ffsll(x); }
inline unsigned __umulhi(unsigned x, unsigned y) {
  return static_cast<unsigned>((std::uint64_t{x} * y) >> 32);
}
inline unsigned long long __umul64hi(unsigned long long x, unsigned long long y) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<unsigned long long>((Wide{x} * y) >> 64);
}

// c plus the products of the bytes of a and b.
inline unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
  for (unsigned shift = 0; shift < 32; shift += 8) c += (a >> shift & 255u) * (b >> shift & 255u);
  return c;
}
// Four bytes of the eight of a and b, picked by the lowest three bits of each digit.
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned digits) {
  unsigned picked = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned byte = digits >> 4 * i & 7u;
    picked |= ((byte < 4 ? a : b) >> 8 * (byte % 4) & 255u) << 8 * i;
  }
  return picked;
}

inline int min(int x, int y) { return std::min(x, y); }
inline unsigned min(unsigned x, unsigned y) { return std::min(x, y); }
inline long min(long x, long y) { return std::min(x, y); }
inline unsigned long min(unsigned long x, unsigned long y) { return std::min(x, y); }
inline long long min(long long x, long long y) { return std::min(x, y); }
inline unsigned long long min(unsigned long long x, unsigned long long y) { return std::min(x, y); }
inline float min(float x, float y) { return fminf(x, y); }
inline double min(double x, double y) { return fmin(x, y); }
inline int max(int x, int y) { return std::max(x, y); }
inline unsigned max(unsigned x, unsigned y) { return std::max(x, y); }
inline long max(long x, long y) { return std::max(x, y); }
inline unsigned long max(unsigned long x, unsigned long y) { return std::max(x, y); }
inline long long max(long long x, long long y) { return std::max(x, y); }
inline unsigned long long max(unsigned long long x, unsigned long long y) { return std::max(x, y); }
inline float max(float x, float y) { return fmaxf(x, y); }
inline double max(double x, double y) { return fmax(x, y); }

template <class T>
T __ldg(const T* address) {
  return *address;
}
template <class T>
T __ldcs(const T* address) {
  return *address;
}
template <class T>
T __ldcg(const T* address) {
  return *address;
}
template <class T>
void __stcs(T* address, std::type_identity_t<T> value) {
  *address = value;
}
template <class T>
void __stcg(T* address, std::type_identity_t<T> value) {
  *address = value;
}
