// Tiles of normalised pixels in shared memory, for the second kernel of preprocess.cu.
#pragma once

#include "kernels/cuda/copied_crop.cuh"
#include "kernels/cuda/crop_sampling.cuh"
#include "kernels/cuda/divisor.cuh"
#include "kernels/cuda/pack.cuh"

namespace nat::gpu {

// Output rows and columns of a block: two columns a lane of a filter, and with the pixels around
// them 34 x 15 quads of pixels, which two rounds of the block take. AlexNet's 224 columns are 4
// such tiles.
inline constexpr int kTileRows = 32, kTileColumns = 56;
inline constexpr int kTileThreads = 256, kRowsPerWarp = kTileRows * 32 / kTileThreads;
inline constexpr int kQuad = 4;

// A tile of normalised samples with one pixel around it: `channels` of them, or their mean.
template <class C, int kValues>
struct Tile {
  static constexpr int kRows = kTileRows + 2, kColumns = kTileColumns + 2;
  static constexpr int kRowQuads = (kColumns + kQuad - 1) / kQuad;
  alignas(16) C row[kRows][kRowQuads * kQuad * kValues];
};

// How the images are cut up.
struct Tiles {
  Divisor down, across;

  explicit Tiles(std::int64_t size)
      : down((size + kTileRows - 1) / kTileRows),
        across((size + kTileColumns - 1) / kTileColumns) {}
  unsigned of_image() const { return down.value * across.value; }
};

// Where a block is: its image, and its first output row and column. Images come in reverse, so that
// those which the statistics read last, and the cache still has, come first.
struct Place {
  int image, row, column;

  __device__ explicit Place(const Tiles& tiles) {
    const unsigned tile = gridDim.x - 1 - blockIdx.x;
    const unsigned line = tiles.across.quotient(tile), number = tiles.down.quotient(line);
    image = static_cast<int>(number);
    row = static_cast<int>(line - number * tiles.down.value) * kTileRows;
    column = static_cast<int>(tile - line * tiles.across.value) * kTileColumns;
  }
};

// The samples of one image, and how they are normalised.
template <class C, int kChannels>
struct Sampler {
  const std::uint8_t* picture;
  int width;
  Taps<C> taps;
  Affine<C> affine;

  __device__ C operator()(int i, int j, int channel) const {
    return sample<kChannels>(picture, width, taps.rows[i], taps.columns[j], channel);
  }
};

// Fills a tile, with zero beyond the image.
template <int kChannels, class C, int kValues>
__device__ void fill(const Sampler<C, kChannels>& at, int size, const Place& place,
                     Tile<C, kValues>& tile) {
  constexpr int kRows = Tile<C, kValues>::kRows, kColumns = Tile<C, kValues>::kColumns;
  for (int p = static_cast<int>(threadIdx.x); p < kRows * kColumns; p += kTileThreads) {
    const int i = place.row + p / kColumns - 1, j = place.column + p % kColumns - 1;
    Lanes<C, kValues> values{};
    if (i >= 0 && i < size && j >= 0 && j < size) {
      if constexpr (kValues == kChannels) {
#pragma unroll
        for (int k = 0; k < kChannels; ++k) values[k] = at.affine(at(i, j, k));
      } else {
        values[0] = at.affine.mean_of(at(i, j, 0) + at(i, j, 1) + at(i, j, 2));
      }
    }
    C* to = tile.row[p / kColumns] + p % kColumns * kValues;
#pragma unroll
    for (int k = 0; k < kValues; ++k) to[k] = values[k];
  }
}

// Pixels (i, j) to (i, j + 3) of a copied image; they may lie beyond it.
template <int kChannels>
struct ImageQuad {
  int i, j;
  PixelQuad<kChannels> stored;

  // What lies beyond the image is replaced by something near it, so that all reads of a thread are
  // under way together.
  __device__ ImageQuad(const CopiedCrop<kChannels>& crop, int i_, int j_) : i(i_), j(j_) {
    const int last = crop.size - 1;
    const int row = max(0, min(i, last)), column = max(1 - kQuad, min(j, last));
    const std::uint8_t* from = crop.pixel(row, crop.flip ? last - (column + kQuad - 1) : column);
    if (crop.at_edge) {
      stored.load(from, crop.first, crop.pixel(last, crop.size) - 1);
    } else {
      stored.load(from);
    }
  }
  // What is kept of them, normalised; zero beyond the image.
  template <int kValues, class C>
  __device__ Lanes<C, kQuad * kValues> values(const CopiedCrop<kChannels>& crop,
                                              const Affine<C>& affine) {
    Lanes<C, kQuad * kValues> in_store, values;
    stored.align();
#pragma unroll
    for (int p = 0; p < kQuad; ++p) {
      if constexpr (kValues == kChannels) {
#pragma unroll
        for (int k = 0; k < kChannels; ++k) {
          in_store[p * kChannels + k] = affine(stored.template value<C>(p, k));
        }
      } else {
        in_store[p] = affine.mean_of(static_cast<C>(stored.sum(p)));
      }
    }
    const auto columns = static_cast<unsigned>(i >= 0 && i < crop.size ? crop.size : 0);
#pragma unroll
    for (int p = 0; p < kQuad; ++p) {
      const bool inside = static_cast<unsigned>(j + p) < columns;
#pragma unroll
      for (int k = 0; k < kValues; ++k) {
        const C plain = in_store[p * kValues + k];
        const C mirrored = in_store[(kQuad - 1 - p) * kValues + k];
        values[p * kValues + k] = inside ? (crop.flip ? mirrored : plain) : C{0};
      }
    }
    return values;
  }
};

// Stores neighbouring values in packs.
template <int kPack, class T, int N, class C>
__device__ void store_values(const Lanes<C, N>& values, T* to) {
  static_assert(N % kPack == 0);
#pragma unroll
  for (int i = 0; i < N; i += kPack) {
    Lanes<C, kPack> some;
#pragma unroll
    for (int k = 0; k < kPack; ++k) some[k] = values[i + k];
    const Pack<T, kPack> pack = narrow<T>(some);
    if constexpr (sizeof pack == 8) {  // nvcc splits store_pack() of such packs
      *reinterpret_cast<std::uint64_t*>(to + i) = __builtin_bit_cast(std::uint64_t, pack);
    } else {
      store_pack(pack, to + i);
    }
  }
}

// The same as fill() for a copied image, four pixels at once.
template <int kChannels, class C, int kValues>
__device__ void fill_copied(const CopiedCrop<kChannels>& crop, const Affine<C>& affine,
                            const Place& place, Tile<C, kValues>& tile) {
  constexpr int kRowQuads = Tile<C, kValues>::kRowQuads;
  constexpr int kQuads = Tile<C, kValues>::kRows * kRowQuads;
  constexpr int kRounds = 2;
  static_assert(kQuads <= kRounds * kTileThreads);
  const int thread = static_cast<int>(threadIdx.x);
  const auto quad_of = [&](int number) {
    const int i = place.row + number / kRowQuads - 1;
    return ImageQuad<kChannels>(crop, i, place.column + number % kRowQuads * kQuad - 1);
  };
  ImageQuad<kChannels> quads[kRounds] = {quad_of(thread), quad_of(thread + kTileThreads)};
#pragma unroll
  for (int k = 0; k < kRounds; ++k) {
    const int number = thread + k * kTileThreads;
    const auto values = quads[k].template values<kValues>(crop, affine);
    C* to = tile.row[number / kRowQuads] + number % kRowQuads * kQuad * kValues;
    if (number < kQuads) store_values<kFullPack<C>>(values, to);
  }
}

}  // namespace nat::gpu
