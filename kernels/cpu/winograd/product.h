// The two matrix products of Winograd's convolution, at one position of the tile. Operands lie as
// their transforms write them and as one pass reads them; a call computes kProductRows rows by
// kVectors vectors, whose sums stay in registers. Not inlined: inside a longer function g++ 12
// keeps some of the sums in memory.
#pragma once

#include <cstdint>

#include "kernels/cpu/lanes.h"

namespace nat::cpu {

// 8 x 3 sums, three vectors and a factor fit 32 registers of AVX-512; 4 x 3 fit 16 of AVX2.
inline constexpr int kProductRows = kLanes / 2;
inline constexpr int kMostVectors = 3;

// Rows are tiles: sums[v][row] = sum over channels c of data[c / kLanes][row][c % kLanes] *
// taps[c][v]. `data` points to the first row of the first group of channels; `taps` is packed.
template <int kVectors>
[[gnu::noinline]] inline void multiply_channels(std::int64_t groups, const float* data,
                                                std::int64_t group_step, const float* taps,
                                                float* sums, std::int64_t vector_step) {
  Vector<float> sum[kProductRows][kVectors] = {};
  for (std::int64_t group = 0; group < groups; ++group, data += group_step) {
    for (int lane = 0; lane < kLanes; ++lane, taps += kVectors * kLanes) {
      Vector<float> tap[kVectors];
      for (int v = 0; v < kVectors; ++v) tap[v] = load_raw(taps + v * kLanes, FullLanes{});
      for (int row = 0; row < kProductRows; ++row) {
        const Vector<float> factor = broadcast(data[row * kLanes + lane]);
        for (int v = 0; v < kVectors; ++v) sum[row][v] += factor * tap[v];
      }
    }
  }
  for (int v = 0; v < kVectors; ++v) {
    for (int row = 0; row < kProductRows; ++row) {
      store_raw(sum[row][v], sums + v * vector_step + row * kLanes, FullLanes{});
    }
  }
}

// Rows are channels of the outputs: sums[row][v] (+)= sum over tiles of gradients[tile][row] *
// data[v][tile], a vector of channels of the data.
template <int kVectors>
[[gnu::noinline]] inline void multiply_tiles(std::int64_t tiles, const float* gradients,
                                             const float* data, std::int64_t vector_step, bool add,
                                             float* sums, std::int64_t row_step) {
  Vector<float> sum[kProductRows][kVectors] = {};
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    Vector<float> datum[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      datum[v] = load_raw(data + v * vector_step + tile * kLanes, FullLanes{});
    }
    for (int row = 0; row < kProductRows; ++row) {
      const Vector<float> factor = broadcast(gradients[tile * kLanes + row]);
      for (int v = 0; v < kVectors; ++v) sum[row][v] += factor * datum[v];
    }
  }
  for (int row = 0; row < kProductRows; ++row) {
    for (int v = 0; v < kVectors; ++v) {
      float* at = sums + row * row_step + v * kLanes;
      if (add) sum[row][v] += load_raw(at, FullLanes{});
      store_raw(sum[row][v], at, FullLanes{});
    }
  }
}

// Cuts `vectors` into panels of up to kMostVectors, as equal as can be, and calls
// body(first vector, std::integral_constant of how many).
template <class Body>
inline void for_each_panel(std::int64_t vectors, Body&& body) {
  const std::int64_t panels = (vectors + kMostVectors - 1) / kMostVectors;
  for (std::int64_t panel = 0; panel < panels; ++panel) {
    const std::int64_t first = panel * vectors / panels;
    switch ((panel + 1) * vectors / panels - first) {
      case 3:
        body(first, std::integral_constant<int, 3>{});
        break;
      case 2:
        body(first, std::integral_constant<int, 2>{});
        break;
      default:
        body(first, std::integral_constant<int, 1>{});
    }
  }
}

}  // namespace nat::cpu
