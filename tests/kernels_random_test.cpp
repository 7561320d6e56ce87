// Philox, the uniforms and the normals of kernels/random.h.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/random.h"

namespace nat {
namespace {

// Philox by the names of its authors: counter words c0..c3 and key words k0, k1 become our
// arguments.
Random4 philox_4x32(std::uint32_t c0, std::uint32_t c1, std::uint32_t c2, std::uint32_t c3,
                    std::uint32_t k0, std::uint32_t k1) {
  return philox(std::uint64_t{k1} << 32 | k0, static_cast<RandomStream>(c3), c2,
                std::uint64_t{c1} << 32 | c0);
}

void check_words(const Random4& words, std::uint32_t w0, std::uint32_t w1, std::uint32_t w2,
                 std::uint32_t w3) {
  CHECK(words.value[0] == w0);
  CHECK(words.value[1] == w1);
  CHECK(words.value[2] == w2);
  CHECK(words.value[3] == w3);
}

struct LongNormal2 {
  long double a, b, radius;
};

LongNormal2 exact_normal_pair(std::uint32_t radius_bits, std::uint32_t angle_bits) {
  const auto u = static_cast<long double>((radius_bits >> 8) + 1) * 0x1p-24L;
  const auto turn = static_cast<long double>(angle_bits >> 8) * 0x1p-24L;
  const long double radius = std::sqrt(-2 * std::log(u));
  const long double angle = 2 * std::acos(-1.0L) * turn;
  return {radius * std::cos(angle), radius * std::sin(angle), radius};
}

// Worst error in units of 2^-24 * radius.
double normal_error(std::uint32_t radius_bits, std::uint32_t angle_bits) {
  const Normal2 actual = normal_pair(radius_bits, angle_bits);
  const LongNormal2 exact = exact_normal_pair(radius_bits, angle_bits);
  const long double error = std::max(std::abs(static_cast<long double>(actual.a) - exact.a),
                                     std::abs(static_cast<long double>(actual.b) - exact.b));
  if (exact.radius == 0) return error == 0 ? 0 : HUGE_VAL;
  return static_cast<double>(error / exact.radius * 0x1p24L);
}

// Where something changes inside the logarithm (powers of two, sqrt(1/2), 1) and inside the sine
// (the borders of the eighths of the circle).
std::vector<std::uint32_t> border_words() {
  std::vector<std::uint32_t> words;
  for (std::uint32_t base = 0; base <= 23; ++base) {
    for (std::uint32_t step = 0; step < 5; ++step) words.push_back(((1u << base) - 2 + step) << 8);
  }
  for (std::uint32_t eighth = 0; eighth <= 8; ++eighth) {
    for (std::uint32_t step = 0; step < 5; ++step) {
      words.push_back(((eighth << 21) - 2 + step) << 8);
    }
  }
  for (std::uint32_t step = 0; step < 5; ++step) {
    words.push_back((static_cast<std::uint32_t>(0x1p24 * std::sqrt(0.5)) - 3 + step) << 8);
  }
  words.push_back(0xffffffffu);
  return words;
}

// The bound, with u = 2^-24 (half an ulp of 1). log_unit: the numerator m - 1 is exact, the
// quotient s costs 2 roundings, its square moves the polynomial by less than 0.1 u, the last fma of
// the polynomial and s * p cost one each, and the final fma one more; |s p| <= |log x|, and the
// rounded ln 2 adds less than 0.1 u: relative error below 5.4 u. The square root halves it and
// rounds: radius 3.7 u. Sine and cosine: the turn is reduced exactly, times the rounded 2 pi costs
// 1.5 u of the angle (0.82 u of the cosine), the Taylor tails 0.41 u (cosine) and 0.04 u (sine),
// the rounding of t / 2 and of the last two fma below 1.7 u: absolute error below 3 u. The product
// rounds once: radius (3.7 u |cos| + 3 u + u |cos|) <= 7.7 u radius.
constexpr double kNormalBound = 8;

TEST_CASE("philox reproduces the known answers of its authors") {
  check_words(philox_4x32(0, 0, 0, 0, 0, 0), 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
  const std::uint32_t all = 0xffffffff;
  check_words(philox_4x32(all, all, all, all, all, all), 0x408f276d, 0x41c83b0e, 0xa20bc7c6,
              0x6d5451fd);
  check_words(philox_4x32(0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0),
              0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1);
}

TEST_CASE("uniform covers [0, 1) and uniform_positive covers (0, 1], both exactly") {
  CHECK(uniform(0) == 0.0f);
  CHECK(uniform(0xffu) == 0.0f);
  CHECK(uniform(0x100u) == 0x1p-24f);
  CHECK(uniform(0xffffffffu) == 1.0f - 0x1p-24f);
  CHECK(uniform_positive(0) == 0x1p-24f);
  CHECK(uniform_positive(0x80000000u) == 0.5f + 0x1p-24f);
  CHECK(uniform_positive(0xffffffffu) == 1.0f);
}

TEST_CASE("normal_pair agrees with long double Box-Muller at every border") {
  double worst = 0;
  const std::vector<std::uint32_t> words = border_words();
  for (const std::uint32_t radius_bits : words) {
    for (const std::uint32_t angle_bits : words) {
      worst = std::max(worst, normal_error(radius_bits, angle_bits));
    }
  }
  CHECK(worst <= kNormalBound);
}

TEST_CASE("normal_pair agrees with long double Box-Muller at random words") {
  double worst = 0;
  for (std::uint64_t i = 0; i < 200000; ++i) {
    const Random4 words = philox(11, RandomStream::synthetic, 0, i);
    worst = std::max(worst, normal_error(words.value[0], words.value[1]));
  }
  CHECK(worst <= kNormalBound);
}

TEST_CASE("the normals keep the bits on which recorded runs depend") {
  std::uint32_t hash = 0;
  for (std::uint64_t i = 0; i < 100000; ++i) {
    const Random4 words = philox(1, RandomStream::synthetic, 0, i);
    const Normal2 pair = normal_pair(words.value[0], words.value[1]);
    hash = hash * 31 + __builtin_bit_cast(std::uint32_t, pair.a);
    hash = hash * 31 + __builtin_bit_cast(std::uint32_t, pair.b);
  }
  CHECK(hash == 0x8627c9c7u);
}

TEST_CASE("the normals have the moments of a standard normal, within five standard errors") {
  const std::int64_t pairs = 1 << 19;
  const auto count = static_cast<double>(2 * pairs);
  double power[5] = {}, product = 0;
  for (std::int64_t i = 0; i < pairs; ++i) {
    const Random4 words = philox(5, RandomStream::synthetic, 0, static_cast<std::uint64_t>(i));
    const Normal2 pair = normal_pair(words.value[0], words.value[1]);
    const auto a = static_cast<double>(pair.a), b = static_cast<double>(pair.b);
    for (int k = 1; k <= 4; ++k) power[k] += std::pow(a, k) + std::pow(b, k);
    product += a * b;
  }
  // Variances of z, z^2, z^3, z^4 and of the product of two independent normals: 1, 2, 15, 96, 1.
  CHECK(std::abs(power[1] / count) <= 5 * std::sqrt(1 / count));
  CHECK(std::abs(power[2] / count - 1) <= 5 * std::sqrt(2 / count));
  CHECK(std::abs(power[3] / count) <= 5 * std::sqrt(15 / count));
  CHECK(std::abs(power[4] / count - 3) <= 5 * std::sqrt(96 / count));
  CHECK(std::abs(product / (count / 2)) <= 5 * std::sqrt(2 / count));
}

}  // namespace
}  // namespace nat
