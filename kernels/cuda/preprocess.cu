// Two kernels go over the stored bytes, the second of which finds them in the cache. The first, a
// block per image, tabulates where output rows and columns lie in the picture and takes the
// statistics of the crop. The second samples tiles of output pixels, normalises and filters them.
// Both have a shorter way where a crop is a plain copy of stored pixels (copied_crop.cuh).
#include "kernels/preprocess.h"

#include <cmath>
#include <limits>

#include "kernels/bilinear.h"
#include "kernels/cuda/copied_crop.cuh"
#include "kernels/cuda/divisor.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/team.cuh"
#include "kernels/dispatch.h"
#include "kernels/preprocess_check.h"

namespace nat::gpu {
namespace {

constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();

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

__device__ bool is_valid(const CropBox& box) {
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

// Sums of d and d^2 over the samples, d = sample - origin, where the origin is one of the samples
// so that a constant crop gives exactly 0. Floats are summed as integers in units of 2^-16, the
// spacing of floats below 256: exact for bytes, and much faster than double.
template <class C>
class Moments {
 public:
  double sum = 0, squares = 0;

  __device__ explicit Moments(C origin) : origin_(to_units(origin)) {}
  __device__ double origin() const { return static_cast<double>(origin_) * kUnit; }

  // A run is what one thread adds between two calls of end_run(): at most 2^14 samples.
  __device__ void add(C value) {
    const Units d = to_units(value) - origin_;
    run_sum_ += d;
    run_squares_ += Wide{d} * d;
  }
  __device__ void end_run() {
    sum += static_cast<double>(run_sum_) * kUnit;
    squares += static_cast<double>(run_squares_) * (kUnit * kUnit);
    run_sum_ = run_squares_ = 0;
  }

 private:
  static constexpr bool kIntegers = std::is_same_v<C, float>;
  using Units = std::conditional_t<kIntegers, std::int32_t, double>;
  using Wide = std::conditional_t<kIntegers, std::int64_t, double>;
  static constexpr double kUnit = kIntegers ? 0x1p-16 : 1;

  __device__ static Units to_units(C value) {
    if constexpr (kIntegers) {
      return static_cast<Units>(rintf(value * 0x1p16f));
    } else {
      return value;
    }
  }

  Units origin_;
  Wide run_sum_ = 0, run_squares_ = 0;
};

using ImageTeam = Team<512>;

// Adds all samples of a crop. A warp takes every kWarps-th row, a lane every 32nd value of it; the
// samples of kAtOnce rows are under way together, as many as the registers hold.
template <int kChannels, class C>
__device__ void add_samples(const ImageTeam& team, std::int64_t size, const std::uint8_t* picture,
                            int width, const Taps<C>& taps, Moments<C>& moments) {
  constexpr int kAtOnce = 3;
  constexpr int kWarps = ImageTeam::kBlockThreads / 32;
  const int warp = team.rank() / 32, lane = team.rank() % 32, rows = static_cast<int>(size);
  for (int e = lane; e < rows * kChannels; e += 32) {
    const Tap<C> column = taps.columns[e / kChannels];
    const int channel = e % kChannels;
    for (int first = warp; first < rows; first += kAtOnce * kWarps) {
      C value[kAtOnce];
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        const int i = first + k * kWarps;
        value[k] =
            sample<kChannels>(picture, width, taps.rows[i < rows ? i : first], column, channel);
      }
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        if (first + k * kWarps < rows) moments.add(value[k]);
      }
    }
    moments.end_run();
  }
}

// Sums of d and d^2 over a crop, d = sample - origin.
struct Totals {
  double origin = 0, sum = 0, squares = 0;
};

// Tabulates where the image is sampled and adds up the samples.
template <int kChannels, class C>
__device__ Totals sampled_totals(const ImageTeam& team, const Pictures& from, std::int64_t size,
                                 const CropBox& box, const Taps<C>& taps) {
  const int width = static_cast<int>(from.width);
  const std::uint8_t* picture = from.pixels + team.row() * from.height * width * kChannels;
  for (std::int64_t i = team.rank(); i < size; i += ImageTeam::kBlockThreads) {
    taps.rows[i] = tap<C>(i, size, box.y, box.height, from.height);
    taps.columns[box.flip != 0 ? size - 1 - i : i] = tap<C>(i, size, box.x, box.width, from.width);
  }
  __syncthreads();
  Moments<C> moments(sample<kChannels>(picture, width, taps.rows[0], taps.columns[0], 0));
  add_samples<kChannels>(team, size, picture, width, taps, moments);
  return {moments.origin(), team.sum(moments.sum), team.sum(moments.squares)};
}

// The same, to the last bit, from the bytes themselves: all sums are integers that double holds.
template <int kChannels>
__device__ Totals copied_totals(const ImageTeam& team, const CopiedCrop<kChannels>& crop) {
  const ByteSums bytes = add_bytes(crop, team.rank(), ImageTeam::kBlockThreads);
  const double sum = team.sum(static_cast<double>(bytes.sum));
  const double squares = team.sum(static_cast<double>(bytes.squares));
  const double origin = *crop.pixel(0, crop.flip ? crop.size - 1 : 0);
  const double count = static_cast<double>(crop.size) * crop.row_bytes();
  return {origin, sum - origin * count, squares - 2 * origin * sum + origin * origin * count};
}

// Two blocks of a multiprocessor hide each other's waiting; float64 is for gradient checks.
template <class C>
inline constexpr int kLeastBlocks = std::is_same_v<C, float> ? 2 : 1;

// Step 2, its statistics.
template <int kChannels, class C>
__global__ __launch_bounds__(ImageTeam::kBlockThreads, kLeastBlocks<C>) void statistics_kernel(
    Pictures from, std::int64_t size, const CropBox* boxes, Tap<C>* taps, Crop<C>* crops) {
  const ImageTeam team;
  const CropBox given = boxes[team.row()];
  const bool valid = is_valid(given);
  const CropBox box = valid ? given : CropBox{.x = 0, .y = 0, .width = 1, .height = 1, .flip = 0};
  const auto copied = copied_crop<kChannels>(from, size, team.row(), box);
  Crop<C>& crop = crops[team.row()];
  if (team.rank() == 0) {
    crop.copied = copied.first;
    crop.flip = copied.flip;
    crop.at_edge = copied.at_edge;
  }
  const Totals totals =
      copied.first != nullptr
          ? copied_totals(team, copied)
          : sampled_totals<kChannels>(team, from, size, box, Taps<C>(team.row(), size, taps));
  if (team.rank() != 0) return;
  const double count = static_cast<double>(size * size * kChannels);
  const double mean = totals.origin + totals.sum / count;
  const double variance = (totals.squares - totals.sum * (totals.sum / count)) / count;
  const double inv_std = variance > 0 ? 1 / std::sqrt(variance) : 0;
  crop.affine = {static_cast<C>(valid ? inv_std : kNotANumber), static_cast<C>(-mean * inv_std)};
}

// Output rows and columns of a block: two columns a lane of a filter, and with the pixels around
// them 34 x 15 quads of pixels, which two rounds of the block take. AlexNet's 224 columns are 4
// such tiles.
constexpr int kTileRows = 32, kTileColumns = 56;
constexpr int kTileThreads = 256, kRowsPerWarp = kTileRows * 32 / kTileThreads;
constexpr int kQuad = 4;

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

// How many values rows of images take at once: this many, or 2, or 1.
template <class T>
inline constexpr int kMostRowPack = sizeof(T) == 8 ? 2 : 4;

// Calls f(std::integral_constant<int, N>) with N = `pack`, if T has such packs.
template <class T, class F>
__device__ void with_row_pack(int pack, const F& f) {
  if constexpr (kMostRowPack<T> == 4) {
    if (pack == 4) return f(std::integral_constant<int, 4>{});
  }
  if (pack == 2) return f(std::integral_constant<int, 2>{});
  f(std::integral_constant<int, 1>{});
}

template <FrontEnd kFront, int kChannels, class T>
__global__ __launch_bounds__(kTileThreads, 1) void front_end_kernel(Pictures from, int size,
                                                                    Tiles tiles,
                                                                    Tap<Compute<T>>* all_taps,
                                                                    const Crop<Compute<T>>* crops,
                                                                    T* images, int pack) {
  using C = Compute<T>;
  constexpr int kOutChannels = kFront == FrontEnd::sobel ? 2 : kChannels;
  const Place place(tiles);
  const Crop<C> crop = crops[place.image];
  const int first = static_cast<int>(threadIdx.x / kWarp) * kRowsPerWarp;
  const int width = static_cast<int>(from.width);
  const CopiedCrop<kChannels> copy{crop.copied, width * kChannels, size, crop.flip, crop.at_edge};
  const auto sampler = [&] {
    const std::uint8_t* picture = from.pixels + place.image * from.height * width * kChannels;
    return Sampler<C, kChannels>{picture, width, Taps<C>(place.image, size, all_taps), crop.affine};
  };
  const Output<T> out{images + std::int64_t{place.image} * size * size * kOutChannels, size,
                      kOutChannels};
  if constexpr (kFront == FrontEnd::clean) {
    if (crop.copied == nullptr) return clean(sampler(), place, first, out);
    with_row_pack<T>(pack, [&](auto n) { clean_copied<n.value>(copy, crop.affine, place, out); });
  } else {
    __shared__ Tile<C, kFront == FrontEnd::sobel ? 1 : kChannels> tile;
    if (crop.copied != nullptr) {
      fill_copied(copy, crop.affine, place, tile);
    } else {
      fill(sampler(), size, place, tile);
    }
    __syncthreads();
    if constexpr (kFront == FrontEnd::sobel) {
      with_row_pack<T>(pack, [&](auto n) { sobel<n.value>(tile, place, first, out); });
    } else {
      high_pass<kChannels>(tile, place, first, out);
    }
  }
}

template <class T>
int row_pack(const View& images) {
  int pack = kMostRowPack<T>;
  while (!fits_pack<T>(pack, images.shape[2] * images.shape[3], {images.data})) pack /= 2;
  return pack;
}

template <int kChannels, class T>
void launch_all(Context& ctx, FrontEnd front, const ConstView& pixels, const ConstView& boxes,
                const View& images) {
  using C = Compute<T>;
  const std::int64_t n = pixels.shape[0], size = images.shape[1];
  const Pictures from{pixels.as<std::uint8_t>(), n, pixels.shape[1], pixels.shape[2]};
  Scratch::Frame frame(ctx.scratch);
  auto* taps = frame.take<Tap<C>>(static_cast<std::size_t>(2 * n * size));
  auto* crops = frame.take<Crop<C>>(static_cast<std::size_t>(n));
  launch(ctx, ImageTeam::shape(n), statistics_kernel<kChannels, C>, from, size, boxes.as<CropBox>(),
         taps, crops);

  const Tiles tiles(size);
  const auto launch_front_end = [&](auto kernel) {
    launch(ctx, {.grid = blocks_for(n * tiles.of_image(), 1), .block = kTileThreads}, kernel, from,
           size, tiles, taps, crops, images.as<T>(), row_pack<T>(images));
  };
  switch (front) {
    case FrontEnd::clean:
      return launch_front_end(front_end_kernel<FrontEnd::clean, kChannels, T>);
    case FrontEnd::sobel:
      return launch_front_end(front_end_kernel<FrontEnd::sobel, kChannels, T>);
    case FrontEnd::high_pass:
      return launch_front_end(front_end_kernel<FrontEnd::high_pass, kChannels, T>);
  }
}

}  // namespace

void preprocess(Context& ctx, FrontEnd front, ConstView pixels, ConstView boxes, View images) {
  check_preprocess_shapes(front, pixels, boxes, images);
  constexpr std::int64_t kMostBytes = std::int64_t{1} << 31;  // that an int can count
  NAT_CHECK(pixels.shape.row() < kMostBytes, ErrorKind::usage, "preprocess: pictures are ",
            to_string(pixels.shape), "; on CUDA one may have at most 2^31 - 1 bytes");
  dispatch_storage(images.dtype, "preprocess", [&](auto tag) {
    using T = typename decltype(tag)::type;
    if (pixels.shape[3] == 1) return launch_all<1, T>(ctx, front, pixels, boxes, images);
    launch_all<3, T>(ctx, front, pixels, boxes, images);
  });
}

}  // namespace nat::gpu
