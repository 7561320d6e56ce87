#include "tests/reference/targets.h"

#include <cmath>

#include "kernels/random.h"

namespace nat::reference {

std::vector<float> target_row(std::uint64_t seed, std::int32_t row, std::size_t d) {
  std::vector<float> g(d);
  double lanes[32] = {};
  for (std::size_t j = 0; j < d; ++j) {
    const std::uint64_t pair = j / 2, block = pair - pair % 2;
    const Random4 words =
        philox(seed, RandomStream::targets, 0, static_cast<std::uint64_t>(row) * 65536 + block);
    const std::size_t word = pair % 2 * 2;
    const Normal2 normal = normal_pair(words.value[word], words.value[word + 1]);
    g[j] = j % 2 == 0 ? normal.a : normal.b;
    lanes[j % 32] += static_cast<double>(g[j]) * static_cast<double>(g[j]);
  }
  double squared_norm = 0;
  for (double lane : lanes) squared_norm += lane;
  if (squared_norm == 0) {
    g[0] = 1;
    return g;
  }
  for (float& value : g) value *= static_cast<float>(1 / std::sqrt(squared_norm));
  return g;
}

}  // namespace nat::reference
