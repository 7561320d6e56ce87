// Where the pixels of an output image lie in the stored picture, and how they are read from there
// and normalised: step 1 of kernels/preprocess.h.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/bilinear.h"
#include "kernels/cuda/launch.cuh"
#include "kernels/preprocess.h"

namespace nat::gpu {

// Where an output row or column lies: between `low` and, if weight > 0, its successor. Read at
// once.
template <class C>
struct alignas(2 * sizeof(C)) Tap {
  std::int32_t low;
  C weight;
};

// Where an image is sampled.
template <class C>
struct Taps {
  Tap<C>*rows, *columns;

  __device__ Taps(std::int64_t image, std::int64_t size, Tap<C>* all)
      : rows(all + 2 * image * size), columns(rows + size) {}
};

// How the samples of an image are normalised.
template <class C>
struct Affine {
  C scale, shift;
  // Said as one operation, so that no compiler rounds it once here and twice there.
  __device__ C operator()(C sample) const { return std::fma(sample, scale, shift); }
  // The mean of three samples, from their sum.
  __device__ C mean_of(C sum) const { return std::fma(sum, scale * (C{1} / C{3}), shift); }
};

// What the first kernel tells the second about an image, read at once.
template <class C>
struct alignas(32) Crop {
  const std::uint8_t* copied;  // from there, or nullptr: sampled
  bool flip, at_edge;          // of CopiedCrop
  Affine<C> affine;
};

__device__ inline bool is_valid(const CropBox& box) {
  return box.width > 0 && box.height > 0 && std::isfinite(box.width) && std::isfinite(box.height) &&
         std::isfinite(box.x) && std::isfinite(box.y);
}

template <class C>
__device__ Tap<C> tap(std::int64_t i, std::int64_t size, float start, float length,
                      std::int64_t available) {
  const AxisSample sample(i, size, static_cast<double>(start), static_cast<double>(length),
                          available);
  return {static_cast<std::int32_t>(sample.low), static_cast<C>(sample.weight)};
}

// Step 1: one bilinear sample, first between rows, then between columns. Where a weight is 0 the
// byte that it belongs to is not read. Nothing branches, so that samples are under way together.
template <int kChannels, class C>
__device__ C sample(const std::uint8_t* picture, int width, const Tap<C>& row, const Tap<C>& column,
                    int channel) {
  const int pitch = width * kChannels;
  const std::uint8_t* low = picture + (row.low * pitch + column.low * kChannels + channel);
  const bool below = row.weight > 0, beside = column.weight > 0;
  const auto read_if = [low](bool wanted, int offset) {
    return wanted ? static_cast<C>(low[offset]) : C{0};
  };
  const C a = static_cast<C>(*low), b = read_if(below, pitch);
  const C c = read_if(beside, kChannels), d = read_if(below && beside, pitch + kChannels);
  const C left = a + row.weight * (b - a), right = c + row.weight * (d - c);
  return left + column.weight * (right - left);
}

}  // namespace nat::gpu
