// Two kernels go over the stored bytes, the second of which finds them in the cache. The first, a
// block per image, tabulates where output rows and columns lie in the picture and takes the
// statistics of the crop. The second samples tiles of output pixels, normalises and filters them.
#include "kernels/preprocess.h"

#include <cmath>
#include <limits>

#include "kernels/bilinear.h"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/team.cuh"
#include "kernels/dispatch.h"
#include "kernels/preprocess_check.h"

namespace nat::gpu {
namespace {

constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();

struct Geometry {
  std::int64_t height, width;  // of the stored pictures
  std::int64_t size;           // of the images
};

// Where an output row or column lies: between `low` and, if weight > 0, its successor. Read at
// once.
template <class C>
struct alignas(2 * sizeof(C)) Tap {
  std::int32_t low;
  C weight;
};

// One image: where it is sampled, and how a sample is normalised (x scale + shift).
template <class C>
struct Crop {
  Tap<C>*rows, *columns;
  C *scale, *shift;

  __device__ Crop(std::int64_t image, std::int64_t size, Tap<C>* taps, C* affine)
      : rows(taps + 2 * image * size),
        columns(rows + size),
        scale(affine + 2 * image),
        shift(scale + 1) {}
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

// The same where both weights are 0: the crop is a plain copy.
template <int kChannels, class C>
__device__ C copied_sample(const std::uint8_t* picture, int width, const Tap<C>& row,
                           const Tap<C>& column, int channel) {
  return static_cast<C>(picture[(row.low * width + column.low) * kChannels + channel]);
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

// Adds what `sample_at`(row, column, channel) gives for the whole crop. A warp takes every
// kWarps-th row, a lane every 32nd value of it; the samples of kAtOnce rows are under way together.
// kAtOnce is what the registers hold.
template <int kChannels, int kAtOnce, class C, class SampleAt>
__device__ void add_samples(const ImageTeam& team, std::int64_t size, const Crop<C>& crop,
                            const SampleAt& sample_at, Moments<C>& moments) {
  constexpr int kWarps = ImageTeam::kBlockThreads / 32;
  const int warp = team.rank() / 32, lane = team.rank() % 32, rows = static_cast<int>(size);
  for (int e = lane; e < rows * kChannels; e += 32) {
    const Tap<C> column = crop.columns[e / kChannels];
    const int channel = e % kChannels;
    for (int first = warp; first < rows; first += kAtOnce * kWarps) {
      C value[kAtOnce];
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        const int i = first + k * kWarps;
        value[k] = sample_at(crop.rows[i < rows ? i : first], column, channel);
      }
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        if (first + k * kWarps < rows) moments.add(value[k]);
      }
    }
    moments.end_run();
  }
}

// Two blocks of a multiprocessor hide each other's waiting; float64 is for gradient checks.
template <class C>
inline constexpr int kLeastBlocks = std::is_same_v<C, float> ? 2 : 1;

// Step 2, its statistics.
template <int kChannels, class C>
__global__ __launch_bounds__(ImageTeam::kBlockThreads, kLeastBlocks<C>) void statistics_kernel(
    Geometry geometry, const std::uint8_t* pixels, const CropBox* boxes, Tap<C>* taps, C* affine) {
  const ImageTeam team;
  const std::int64_t height = geometry.height, size = geometry.size;
  const int width = static_cast<int>(geometry.width);
  const Crop<C> crop(team.row(), size, taps, affine);
  const std::uint8_t* picture = pixels + team.row() * height * width * kChannels;
  const CropBox given = boxes[team.row()];
  const bool valid = is_valid(given);
  const CropBox box = valid ? given : CropBox{.x = 0, .y = 0, .width = 1, .height = 1, .flip = 0};
  bool between = false;  // pixels of the picture
  for (std::int64_t i = team.rank(); i < size; i += ImageTeam::kBlockThreads) {
    const Tap<C> row = tap<C>(i, size, box.y, box.height, height);
    const Tap<C> column = tap<C>(i, size, box.x, box.width, width);
    crop.rows[i] = row;
    crop.columns[box.flip != 0 ? size - 1 - i : i] = column;
    between = between || row.weight > 0 || column.weight > 0;
  }
  const bool resized = __syncthreads_or(between) != 0;

  Moments<C> moments(sample<kChannels>(picture, width, crop.rows[0], crop.columns[0], 0));
  if (resized) {
    add_samples<kChannels, 3>(
        team, size, crop,
        [&](const Tap<C>& row, const Tap<C>& column, int channel) {
          return sample<kChannels>(picture, width, row, column, channel);
        },
        moments);
  } else {
    add_samples<kChannels, 7>(
        team, size, crop,
        [&](const Tap<C>& row, const Tap<C>& column, int channel) {
          return copied_sample<kChannels>(picture, width, row, column, channel);
        },
        moments);
  }
  const double sum = team.sum(moments.sum), squares = team.sum(moments.squares);
  if (team.rank() != 0) return;
  const double count = static_cast<double>(size * size * kChannels);
  const double mean = moments.origin() + sum / count;
  const double variance = (squares - sum * (sum / count)) / count;
  const double inv_std = variance > 0 ? 1 / std::sqrt(variance) : 0;
  *crop.scale = static_cast<C>(valid ? inv_std : kNotANumber);
  *crop.shift = static_cast<C>(-mean * inv_std);
}

constexpr int kTile = 32;  // output rows and columns of a block, a column a lane
constexpr int kTileThreads = 256, kRowsPerWarp = kTile * 32 / kTileThreads;

// A tile of normalised samples with one pixel around it: `channels` of them, or their mean.
template <class C, int kValues>
struct Tile {
  static constexpr int kSide = kTile + 2;
  C row[kSide][kSide * kValues];
};

// Where a block is: its image, and its first output row and column.
struct Place {
  std::int64_t image, row, column;

  __device__ explicit Place(std::int64_t size) {
    const auto tiles = static_cast<unsigned>((size + kTile - 1) / kTile);
    const unsigned tile = blockIdx.x % (tiles * tiles);
    image = blockIdx.x / (tiles * tiles);
    row = std::int64_t{tile / tiles} * kTile;
    column = std::int64_t{tile % tiles} * kTile;
  }
};

// Normalised samples of one image.
template <class C, int kChannels>
struct Sampler {
  const std::uint8_t* picture;
  int width;
  Crop<C> crop;
  C scale, shift;

  __device__ Sampler(const Geometry& geometry, std::int64_t image, const std::uint8_t* pixels,
                     Tap<C>* taps, C* affine)
      : picture(pixels + image * geometry.height * geometry.width * kChannels),
        width(static_cast<int>(geometry.width)),
        crop(image, geometry.size, taps, affine),
        scale(*crop.scale),
        shift(*crop.shift) {}

  __device__ C operator()(std::int64_t i, std::int64_t j, int channel) const {
    return sample<kChannels>(picture, width, crop.rows[i], crop.columns[j], channel) * scale +
           shift;
  }
};

// Zero beyond the image.
template <int kChannels, class C, int kValues>
__device__ void fill(const Sampler<C, kChannels>& at, std::int64_t size, const Place& place,
                     Tile<C, kValues>& tile) {
  constexpr int kSide = Tile<C, kValues>::kSide;
  for (int p = static_cast<int>(threadIdx.x); p < kSide * kSide; p += kTileThreads) {
    const std::int64_t i = place.row + p / kSide - 1, j = place.column + p % kSide - 1;
    C value[kChannels] = {};
    if (i >= 0 && i < size && j >= 0 && j < size) {
#pragma unroll
      for (int k = 0; k < kChannels; ++k) value[k] = at(i, j, k);
    }
    C* to = tile.row[p / kSide] + p % kSide * kValues;
    if constexpr (kValues == kChannels) {
#pragma unroll
      for (int k = 0; k < kChannels; ++k) to[k] = value[k];
    } else {
      *to = (value[0] + value[1] + value[2]) * (C{1} / C{3});
    }
  }
}

template <class T, class C>
__device__ T stored(C value) {
  return narrow<T>(Lanes<C, 1>{{value}}).value[0];
}

// The image a block writes to.
template <class T>
struct Output {
  T* image;
  std::int64_t size;
  int channels;

  __device__ T* at(std::int64_t i, std::int64_t j) const {
    return image + (i * size + j) * channels;
  }
};

// Step 3, the front ends. A warp takes kRowsPerWarp rows of a tile from `first`.

template <int kChannels, class T, class C>
__device__ void clean(const Sampler<C, kChannels>& at, const Place& place, int first,
                      const Output<T>& out) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  for (std::int64_t i = place.row + first; i < place.row + first + kRowsPerWarp; ++i) {
#pragma unroll
    for (int e = lane; e < kTile * kChannels; e += kTile) {
      const std::int64_t j = place.column + e / kChannels;
      if (i < out.size && j < out.size) {
        out.at(i, j)[e % kChannels] = stored<T>(at(i, j, e % kChannels));
      }
    }
  }
}

// Both filters are sums over three rows of what a lane sees to its left and right: walking down, it
// reads three values a row. `pairs`: out takes two values at once.
template <class T, class C>
__device__ void sobel(const Tile<C, 1>& tile, const Place& place, int first, const Output<T>& out,
                      bool pairs) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
  C across[kRowsPerWarp + 2], down[kRowsPerWarp + 2];
#pragma unroll
  for (int r = 0; r < kRowsPerWarp + 2; ++r) {
    const C* x = tile.row[first + r] + lane;
    across[r] = x[2] - x[0];
    down[r] = x[0] + 2 * x[1] + x[2];
  }
  const std::int64_t j = place.column + lane;
#pragma unroll
  for (int r = 0; r < kRowsPerWarp; ++r) {
    const std::int64_t i = place.row + first + r;
    if (i >= out.size || j >= out.size) continue;
    Lanes<C, 2> gradient;
    gradient[0] = across[r] + 2 * across[r + 1] + across[r + 2];
    gradient[1] = down[r + 2] - down[r];
    const auto values = narrow<T>(gradient);
    T* to = out.at(i, j);
    if (pairs) {
      store_pack(values, to);
    } else {
      to[0] = values.value[0];
      to[1] = values.value[1];
    }
  }
}

template <int kChannels, class T, class C>
__device__ void high_pass(const Tile<C, kChannels>& tile, const Place& place, int first,
                          const Output<T>& out) {
  const int lane = static_cast<int>(threadIdx.x % kWarp);
#pragma unroll
  for (int e = lane; e < kTile * kChannels; e += kTile) {
    C around[kRowsPerWarp + 2];
#pragma unroll
    for (int r = 0; r < kRowsPerWarp + 2; ++r) {
      const C* x = tile.row[first + r] + e;
      around[r] = x[0] + x[kChannels] + x[2 * kChannels];
    }
    const std::int64_t j = place.column + e / kChannels;
#pragma unroll
    for (int r = 0; r < kRowsPerWarp; ++r) {
      const std::int64_t i = place.row + first + r;
      if (i >= out.size || j >= out.size) continue;
      const C here = tile.row[first + r + 1][e + kChannels];
      const C sum = around[r] + around[r + 1] + around[r + 2];
      out.at(i, j)[e % kChannels] = stored<T>(here - sum * (C{1} / C{9}));
    }
  }
}

template <FrontEnd kFront, int kChannels, class T>
__global__ __launch_bounds__(kTileThreads,
                             1) void front_end_kernel(Geometry geometry, const std::uint8_t* pixels,
                                                      Tap<Compute<T>>* taps, Compute<T>* affine,
                                                      T* images, bool pairs) {
  using C = Compute<T>;
  constexpr int kOutChannels = kFront == FrontEnd::sobel ? 2 : kChannels;
  const std::int64_t size = geometry.size;
  const Place place(size);
  const int first = static_cast<int>(threadIdx.x / kWarp) * kRowsPerWarp;
  const Sampler<C, kChannels> at(geometry, place.image, pixels, taps, affine);
  const Output<T> out{images + place.image * size * size * kOutChannels, size, kOutChannels};
  if constexpr (kFront == FrontEnd::clean) {
    clean(at, place, first, out);
  } else {
    __shared__ Tile<C, kFront == FrontEnd::sobel ? 1 : kChannels> tile;
    fill(at, size, place, tile);
    __syncthreads();
    if constexpr (kFront == FrontEnd::sobel) {
      sobel(tile, place, first, out, pairs);
    } else {
      high_pass<kChannels>(tile, place, first, out);
    }
  }
}

template <int kChannels, class T>
void launch_all(Context& ctx, FrontEnd front, const ConstView& pixels, const ConstView& boxes,
                const View& images) {
  using C = Compute<T>;
  const std::int64_t n = pixels.shape[0], size = images.shape[1];
  const Geometry geometry{pixels.shape[1], pixels.shape[2], size};
  Scratch::Frame frame(ctx.scratch);
  auto* taps = frame.take<Tap<C>>(static_cast<std::size_t>(2 * n * size));
  C* affine = frame.take<C>(static_cast<std::size_t>(2 * n));
  const auto* bytes = pixels.as<std::uint8_t>();
  launch(ctx, ImageTeam::shape(n), statistics_kernel<kChannels, C>, geometry, bytes,
         boxes.as<CropBox>(), taps, affine);

  const std::int64_t tiles = (size + kTile - 1) / kTile;
  const bool pairs = fits_pack<T>(2, 2, {images.data});
  const auto launch_front_end = [&](auto kernel) {
    launch(ctx, {.grid = blocks_for(n * tiles * tiles, 1), .block = kTileThreads}, kernel, geometry,
           bytes, taps, affine, images.as<T>(), pairs);
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
