// The front ends of the second kernel of preprocess.cu: step 3 of kernels/preprocess.h.
#pragma once

#include "kernels/cuda/crop_tiles.cuh"

namespace nat::gpu {

// The image a block writes to.
template <class T>
struct Output {
  T* image;
  int size, channels;

  __device__ T* at(int i, int j) const { return image + (std::int64_t{i} * size + j) * channels; }
};

// Step 3, the front ends. A warp takes kRowsPerWarp rows of a tile from `first`.

template <int kChannels, class T, class C>
__device__ void clean(const Sampler<C, kChannels>& at, const Place& place, int first,
                      const Output<T>& out) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  for (int i = place.row + first; i < place.row + first + kRowsPerWarp; ++i) {
    for (int e = lane; e < kTileColumns * kChannels; e += kWarp) {
      const int j = place.column + e / kChannels;
      if (i < out.size && j < out.size) {
        out.at(i, j)[e % kChannels] = narrow<T>(at.affine(at(i, j, e % kChannels)));
      }
    }
  }
}

template <int kPack, int kChannels, class T, class C>
__device__ void clean_copied(const CopiedCrop<kChannels>& crop, const Affine<C>& affine,
                             const Place& place, const Output<T>& out) {
  constexpr int kRowQuads = kTileColumns / kQuad;
  for (int number = static_cast<int>(threadIdx.x); number < kTileRows * kRowQuads;
       number += kTileThreads) {
    const int i = place.row + number / kRowQuads, j = place.column + number % kRowQuads * kQuad;
    if (i >= out.size || j >= out.size) continue;
    ImageQuad<kChannels> quad(crop, i, j);
    const auto values = quad.template values<kChannels>(crop, affine);
    if (kPack > 1 && j + kQuad <= out.size) {
      store_values<kPack>(values, out.at(i, j));
    } else {
#pragma unroll
      for (int k = 0; k < kQuad * kChannels; ++k) {
        if (j + k / kChannels < out.size) out.at(i, j)[k] = narrow<T>(values[k]);
      }
    }
  }
}

// Both filters are sums over three rows of what a thread sees to its left and right: walking down,
// it reads the values of a row once.

// A lane takes two columns.
template <int kPack, class T, class C>
__device__ void sobel(const Tile<C, 1>& tile, const Place& place, int first, const Output<T>& out) {
  const int column = static_cast<int>(threadIdx.x % kWarp) * 2, j = place.column + column;
  if (column >= kTileColumns || j >= out.size) return;
  C across[kRowsPerWarp + 2][2], down[kRowsPerWarp + 2][2];
#pragma unroll
  for (int r = 0; r < kRowsPerWarp + 2; ++r) {
    const C* row = tile.row[first + r] + column;
    const auto left = load_pack<2>(row), right = load_pack<2>(row + 2);
    const C x[4] = {left.value[0], left.value[1], right.value[0], right.value[1]};
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      across[r][k] = x[k + 2] - x[k];
      down[r][k] = x[k] + 2 * x[k + 1] + x[k + 2];
    }
  }
  T* to = out.at(place.row + first, j);
#pragma unroll
  for (int r = 0; r < kRowsPerWarp; ++r, to += out.size * out.channels) {
    if (place.row + first + r >= out.size) return;
    Lanes<C, 4> gradients;
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      gradients[2 * k] = across[r][k] + 2 * across[r + 1][k] + across[r + 2][k];
      gradients[2 * k + 1] = down[r + 2][k] - down[r][k];
    }
    if (kPack == 4 || j + 1 < out.size) {  // packs of four: sizes are even
      store_values<kPack>(gradients, to);
    } else {
      store_values<kPack == 1 ? 1 : 2>(Lanes<C, 2>{{gradients[0], gradients[1]}}, to);
    }
  }
}

template <int kChannels, class T, class C>
__device__ void high_pass(const Tile<C, kChannels>& tile, const Place& place, int first,
                          const Output<T>& out) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
#pragma unroll 1  // two at once take twice the registers
  for (int e = lane; e < kTileColumns * kChannels; e += kWarp) {
    C around[kRowsPerWarp + 2];
#pragma unroll
    for (int r = 0; r < kRowsPerWarp + 2; ++r) {
      const C* x = tile.row[first + r] + e;
      around[r] = x[0] + x[kChannels] + x[2 * kChannels];
    }
    const int j = place.column + e / kChannels;
#pragma unroll
    for (int r = 0; r < kRowsPerWarp; ++r) {
      const int i = place.row + first + r;
      if (i >= out.size || j >= out.size) continue;
      const C here = tile.row[first + r + 1][e + kChannels];
      const C sum = around[r] + around[r + 1] + around[r + 2];
      out.at(i, j)[e % kChannels] = narrow<T>(here - sum * (C{1} / C{9}));
    }
  }
}

}  // namespace nat::gpu
