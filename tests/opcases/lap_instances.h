// Features and targets that make assignment problems of known character, for tests and benchmarks.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/random.h"
#include "kernels/targets.h"

namespace nat::test {

enum class Character {
  unrelated,   // random features, as before training
  collapsed,   // unit(one point + amount noise)
  trained,     // unit(own target + amount noise)
  clustered,   // unit(one of ten points + amount noise)
  duplicated,  // random, each feature `amount` times
  dead,        // random, but this share of them is one and the same
};

struct LapInstance {
  const char* name;
  Character character;
  float amount;
};

inline constexpr LapInstance kLapInstances[] = {
    {"unrelated", Character::unrelated, 0},
    {"collapsed 0.1", Character::collapsed, 0.1f},
    {"collapsed 0.001", Character::collapsed, 0.001f},
    {"trained 1", Character::trained, 1},
    {"trained 3", Character::trained, 3},
    {"trained 10", Character::trained, 10},
    {"clustered 0.3", Character::clustered, 0.3f},
    {"duplicated 4", Character::duplicated, 4},
    {"dead 0.3", Character::dead, 0.3f},
};

// (n, d) rows on the unit sphere.
struct FeaturesAndTargets {
  std::vector<float> z, targets;
};

inline void normalize_row(float* row, std::size_t d) {
  double squared = 0;
  for (std::size_t j = 0; j < d; ++j) squared += double{row[j]} * double{row[j]};
  const auto scale = static_cast<float>(1 / std::sqrt(squared));
  for (std::size_t j = 0; j < d; ++j) row[j] *= scale;
}

inline std::vector<float> random_unit_rows(std::size_t n, std::size_t d, std::uint64_t seed,
                                           std::uint32_t part) {
  std::vector<float> rows(n * d);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Random4 words = philox(seed, RandomStream::synthetic, part, i);
    rows[i] = normal_pair(words.value[0], words.value[1]).a;
  }
  for (std::size_t i = 0; i < n; ++i) normalize_row(&rows[i * d], d);
  return rows;
}

// What a batch of random pictures holds of the basis: some vectors several times, others not at
// all.
inline std::vector<float> random_basis_rows(std::size_t n, std::size_t d, std::uint64_t seed) {
  std::vector<float> rows(n * d);
  for (std::size_t i = 0; i < n; ++i) {
    rows[i * d + philox(seed, RandomStream::synthetic, 5, i).value[0] % d] = 1;
  }
  return rows;
}

inline FeaturesAndTargets make_features(const LapInstance& instance, std::size_t n, std::size_t d,
                                        std::uint64_t seed, TargetKind kind = TargetKind::sphere) {
  constexpr std::size_t kClusters = 10;
  FeaturesAndTargets made{random_unit_rows(n, d, seed, 0), kind == TargetKind::basis
                                                               ? random_basis_rows(n, d, seed)
                                                               : random_unit_rows(n, d, seed, 1)};
  const std::vector<float> points = random_unit_rows(kClusters, d, seed, 2);
  for (std::size_t i = 0; i < n; ++i) {
    float* z = &made.z[i * d];
    if (instance.character == Character::unrelated) continue;
    if (instance.character == Character::duplicated) {
      const std::size_t first = i - i % static_cast<std::size_t>(instance.amount);
      for (std::size_t j = 0; j < d; ++j) z[j] = made.z[first * d + j];
      continue;
    }
    if (instance.character == Character::dead) {
      const float chance = uniform(philox(seed, RandomStream::synthetic, 4, i).value[0]);
      if (chance < instance.amount) std::copy(points.data(), points.data() + d, z);
      continue;
    }
    const float* centre = instance.character == Character::trained     ? &made.targets[i * d]
                          : instance.character == Character::clustered ? &points[i % kClusters * d]
                                                                       : points.data();
    for (std::size_t j = 0; j < d; ++j) z[j] = centre[j] + instance.amount * z[j];
    normalize_row(z, d);
  }
  return made;
}

// Uniform integers in [0, levels).
inline std::vector<float> random_scores(std::size_t n, std::uint64_t seed, std::uint32_t levels) {
  std::vector<float> scores(n * n);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    const std::uint32_t word = philox(seed, RandomStream::synthetic, 3, i).value[0];
    scores[i] = static_cast<float>(word % levels);
  }
  return scores;
}

// Scores of features centred on their mean.
inline std::vector<float> centred_scores(const FeaturesAndTargets& made, std::size_t n,
                                         std::size_t d) {
  std::vector<double> mean(d, 0);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < d; ++k) {
      mean[k] += double{made.z[i * d + k]} / static_cast<double>(n);
    }
  }
  std::vector<float> scores(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double score = 0;
      for (std::size_t k = 0; k < d; ++k) {
        score += (double{made.z[i * d + k]} - mean[k]) * double{made.targets[j * d + k]};
      }
      scores[i * n + j] = static_cast<float>(score);
    }
  }
  return scores;
}

}  // namespace nat::test
