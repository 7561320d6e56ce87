// Division by a number that is known at launch.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace nat::gpu {

// Division of numbers below 2^31 by a number known at launch: a product and a shift instead of the
// twenty instructions of a division (Granlund and Montgomery 1994, figure 4.1).
struct Divisor {
  std::uint32_t value, multiplier, shift = 0;

  explicit Divisor(std::int64_t divisor) : value(static_cast<std::uint32_t>(divisor)) {
    while ((std::uint64_t{1} << shift) < value) ++shift;
    const std::uint64_t excess = (std::uint64_t{1} << shift) - value;
    multiplier = static_cast<std::uint32_t>((excess << 32) / value + 1);
  }
  __device__ std::uint32_t quotient(std::uint32_t number) const {
    const auto high = static_cast<std::uint32_t>(std::uint64_t{number} * multiplier >> 32);
    return (high + number) >> shift;
  }
};

}  // namespace nat::gpu
