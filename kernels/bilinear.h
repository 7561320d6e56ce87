// Where the pixels of a resized picture lie in its source, along one axis.
#pragma once

#include <cstdint>

#include "kernels/host_device.h"

namespace nat {

// Output `i` of `size` that sample a box edge, which starts at `start` and is `length` long, of an
// axis of `available` pixels: between positions low and high, `weight` of the way. Centres are half
// pixels; beyond the source its last pixel counts (kernels/preprocess.h, step 1).
struct AxisSample {
  std::int64_t low, high;
  double weight;  // of high; 0 where high equals low

  NAT_HOST_DEVICE AxisSample(std::int64_t i, std::int64_t size, double start, double length,
                             std::int64_t available) {
    const double last = static_cast<double>(available - 1);
    const double centre = (static_cast<double>(i) + 0.5) * length / static_cast<double>(size);
    const double inside = start + centre - 0.5;
    const double position = inside < 0 ? 0 : inside > last ? last : inside;
    low = static_cast<std::int64_t>(position);
    high = low + 1 < available ? low + 1 : low;
    weight = position - static_cast<double>(low);
  }
};

}  // namespace nat
