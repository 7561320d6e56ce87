#include "data/order.h"

#include <cassert>
#include <limits>
#include <numeric>
#include <utility>

#include "kernels/random.h"

namespace nat::data {
namespace {

// floor(bound (high 2^32 + low) / 2^64): uniform in [0, bound) up to a bias below bound / 2^64.
std::uint64_t scale_to(std::uint32_t high, std::uint32_t low, std::uint64_t bound) {
  return (high * bound + ((low * bound) >> 32)) >> 32;  // bound < 2^32: nothing overflows
}

}  // namespace

std::vector<std::int32_t> epoch_order(std::uint64_t seed, std::uint32_t epoch, std::int64_t n,
                                      bool shuffle) {
  assert(n >= 0 && n <= std::numeric_limits<std::int32_t>::max());
  std::vector<std::int32_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  if (!shuffle) return order;
  for (std::size_t i = order.size(); i-- > 1;) {
    const Random4 random = philox(seed, RandomStream::order, epoch, i);
    std::swap(order[i], order[scale_to(random.value[0], random.value[1], i + 1)]);
  }
  return order;
}

}  // namespace nat::data
