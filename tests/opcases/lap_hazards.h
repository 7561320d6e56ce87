// Small assignment problems of every kind that has broken a solver: ties, duplicates, collapse, low
// rank, huge ranges. A problem is a function of (kind, n, seed).
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tests/opcases/lap_instances.h"

namespace nat::test {

enum class LapHazard {
  uniform,          // 2^24 levels
  three_levels,     // ties everywhere
  two_levels,       // mostly 0, some 1
  constant,         // everything is optimal
  equal_rows,       // everything is optimal, after rounding to quanta
  equal_columns,    // the same
  row_plus_column,  // the same, without a constant row or column
  blocks_of_rows,   // each row four times
  alike_rows,       // of equal beginnings; some are equal to the end, not all to the first
  blocks,           // 4x4 blocks of one number
  collapsed,        // one point + noise of 1e-1 ... 1e-6, times targets, not centred
  low_rank,         // rank 1, 2 or 8
  product,          // (i + 1)(j + 1): every exchange against the order costs
  against,          // its negative: the identity is the worst
  triangle,         // 1 below the diagonal: one optimum only, far away
  geometric,        // all exponents of float32
  leaning,          // the diagonal is a little better
  kinds
};
inline constexpr int kLapHazards = static_cast<int>(LapHazard::kinds);

inline std::vector<float> hazard_scores(LapHazard kind, std::size_t n, std::uint64_t seed) {
  const auto filled = [n](auto score) {
    std::vector<float> scores(n * n);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) scores[i * n + j] = static_cast<float>(score(i, j));
    }
    return scores;
  };
  const auto products = [n](const FeaturesAndTargets& made, std::size_t d) {
    std::vector<float> scores(n * n);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        float score = 0;
        for (std::size_t k = 0; k < d; ++k) score += made.z[i * d + k] * made.targets[j * d + k];
        scores[i * n + j] = score;
      }
    }
    return scores;
  };
  constexpr std::uint32_t kFine = 1u << 24;
  const std::vector<float> random = random_scores(n, seed, kFine);
  switch (kind) {
    case LapHazard::uniform:
      return random;
    case LapHazard::three_levels:
      return random_scores(n, seed, 3);
    case LapHazard::two_levels:
      return filled([&](std::size_t i, std::size_t j) { return random[i * n + j] < 1e6f ? 1 : 0; });
    case LapHazard::constant:
      return filled([&](std::size_t, std::size_t) { return random[0]; });
    case LapHazard::equal_rows:
      return filled([&](std::size_t, std::size_t j) { return random[j]; });
    case LapHazard::equal_columns:
      return filled([&](std::size_t i, std::size_t) { return random[i]; });
    case LapHazard::row_plus_column:
      return filled(
          [&](std::size_t i, std::size_t j) { return random[i] + random[n * n - 1 - j]; });
    case LapHazard::blocks_of_rows:
      return filled([&](std::size_t i, std::size_t j) { return random[i / 4 * n + j]; });
    case LapHazard::alike_rows:
      return filled([&](std::size_t i, std::size_t j) {
        return random[(j < 8 ? 0 : i % 3 == 0 ? 0 : i / 5 + 1) * n + j];
      });
    case LapHazard::blocks:
      return filled([&](std::size_t i, std::size_t j) { return random[i / 4 * n + j / 4]; });
    case LapHazard::collapsed: {
      const auto noise = static_cast<float>(std::pow(10.0, -1 - static_cast<int>(seed % 6)));
      return products(make_features({"", Character::collapsed, noise}, n, 8, seed), 8);
    }
    case LapHazard::low_rank: {
      const std::size_t d = seed % 3 == 0 ? 1 : seed % 3 == 1 ? 2 : 8;
      return products(make_features({"", Character::unrelated, 0}, n, d, seed), d);
    }
    case LapHazard::product:
      return filled([](std::size_t i, std::size_t j) { return (i + 1) * (j + 1); });
    case LapHazard::against:
      return filled(
          [](std::size_t i, std::size_t j) { return -static_cast<double>((i + 1) * (j + 1)); });
    case LapHazard::triangle:
      return filled([&](std::size_t i, std::size_t j) { return i + j + seed % 2 < n ? 1 : 0; });
    case LapHazard::geometric:
      return filled([&](std::size_t i, std::size_t j) {
        return std::ldexp(random[i * n + j] < 8e6f ? -1.0 : 1.0,
                          static_cast<int>((i * 37 + j * 101 + seed) % 250) - 125);
      });
    case LapHazard::leaning:
      return filled(
          [&](std::size_t i, std::size_t j) { return random[i * n + j] + (i == j ? 0x1p23f : 0); });
    case LapHazard::kinds:
      break;
  }
  return {};
}

}  // namespace nat::test
