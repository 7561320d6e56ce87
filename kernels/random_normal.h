// Box-Muller with our own logarithm and sine: only additions written as fma, products that are
// exact or feed an fma, and the correctly rounded sqrt. Included by kernels/random.h alone.
#pragma once

namespace nat {
namespace detail {

// Natural logarithm on (0, 1]. Relative error below 3e-7 away from 1, absolute error below 1e-7
// near 1. x = m 2^e with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(s), s = (m - 1) / (m + 1).
NAT_HOST_DEVICE inline float log_unit(float x) {
  std::uint32_t bits = __builtin_bit_cast(std::uint32_t, x);
  std::int32_t exponent = static_cast<std::int32_t>(bits >> 23) - 127;
  float m = __builtin_bit_cast(float, (bits & 0x7fffffu) | 0x3f800000u);
  if (m > 1.41421356f) {
    m = m * 0.5f;  // exact
    exponent += 1;
  }
  const float s = (m - 1.0f) / (m + 1.0f);
  const float t = s * s;
  float p = 0.22222222f;
  p = fmaf(p, t, 0.28571429f);
  p = fmaf(p, t, 0.4f);
  p = fmaf(p, t, 0.66666667f);
  p = fmaf(p, t, 2.0f);
  return fmaf(static_cast<float>(exponent), 0.69314718f, s * p);
}

// cos and sin of 2 pi u for u in [0, 1): reduce to an eighth of the circle, then Taylor.
NAT_HOST_DEVICE inline void cos_sin_turn(float u, float* cosine, float* sine) {
  const int quadrant = static_cast<int>(fmaf(u, 4.0f, 0.5f));     // nearest quarter turn
  const float r = fmaf(static_cast<float>(quadrant), -0.25f, u);  // exact, |r| <= 1/8
  const float x = r * 6.28318531f;
  const float t = x * x;
  float s = 2.7557319e-6f;
  s = fmaf(s, t, -1.9841270e-4f);
  s = fmaf(s, t, 8.3333333e-3f);
  s = fmaf(s, t, -1.6666667e-1f);
  s = fmaf(s * t, x, x);
  float c = 2.4801587e-5f;
  c = fmaf(c, t, -1.3888889e-3f);
  c = fmaf(c, t, 4.1666667e-2f);
  c = fmaf(c, t, -0.5f);
  c = fmaf(c, t, 1.0f);
  // Each further quarter turn maps (c, s) to (-s, c); written with selects, which vectorise.
  const bool swapped = (quadrant & 1) != 0;
  const float first = swapped ? s : c;
  const float second = swapped ? c : s;
  *cosine = ((quadrant + 1) & 2) != 0 ? -first : first;
  *sine = (quadrant & 2) != 0 ? -second : second;
}

}  // namespace detail

NAT_HOST_DEVICE inline Normal2 normal_pair(std::uint32_t radius_bits, std::uint32_t angle_bits) {
  const float radius = sqrtf(-2.0f * detail::log_unit(uniform_positive(radius_bits)));
  float cosine = 0, sine = 0;
  detail::cos_sin_turn(uniform(angle_bits), &cosine, &sine);
  return {radius * cosine, radius * sine};
}

}  // namespace nat
