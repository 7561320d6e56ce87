// The order in which an epoch visits its pictures.
#pragma once

#include <cstdint>
#include <vector>

namespace nat::data {

// 0 .. n-1; with `shuffle` a uniform permutation (Fisher and Yates, backwards) in which the swap of
// place i draws from philox(seed, order, epoch, i).
std::vector<std::int32_t> epoch_order(std::uint64_t seed, std::uint32_t epoch, std::int64_t n,
                                      bool shuffle);

}  // namespace nat::data
