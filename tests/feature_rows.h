// Features and labels for the tests of the judges.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/random.h"
#include "nat/evaluate/features.h"

namespace nat::test {

inline Random4 draw(std::uint64_t seed, std::int64_t i) {
  return philox(seed, RandomStream::synthetic, 0, static_cast<std::uint64_t>(i));
}

inline FeatureMatrix gaussian(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  FeatureMatrix x(rows, columns);
  for (std::int64_t i = 0; i < rows * columns; ++i) {
    const Random4 random = draw(seed, i);
    x.values[static_cast<std::size_t>(i)] = normal_pair(random.value[0], random.value[1]).a;
  }
  return x;
}

// Rows with +-1 in 4 of 16 columns: norms are 2 and similarities multiples of 1/4, exact in float
// whatever the order of summation, so that ties are ties everywhere.
inline FeatureMatrix sign_rows(std::int64_t rows, std::uint64_t seed) {
  FeatureMatrix x(rows, 16);
  for (std::int64_t i = 0; i < rows; ++i) {
    const Random4 random = draw(seed, i);
    for (int j = 0; j < 4; ++j) {
      const std::uint32_t bits = random.value[j];
      x.row(i)[4 * j + static_cast<int>(bits & 3u)] = (bits & 4u) != 0 ? 1.0f : -1.0f;
    }
  }
  return x;
}

inline std::vector<std::int32_t> random_labels(std::int64_t n, int classes, std::uint64_t seed) {
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::uint32_t bits = draw(seed, i).value[0];
    labels.push_back(static_cast<std::int32_t>(bits % static_cast<std::uint32_t>(classes)));
  }
  return labels;
}

// One well separated centre a class, along its own axis.
inline FeatureMatrix separate_classes(const std::vector<std::int32_t>& labels, std::int64_t columns,
                                      std::uint64_t seed) {
  FeatureMatrix x = gaussian(std::ssize(labels), columns, seed);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    x.row(static_cast<std::int64_t>(i))[labels[i]] += 50;
  }
  return x;
}

}  // namespace nat::test
