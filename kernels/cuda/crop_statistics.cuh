// The first kernel of preprocess.cu: where a crop is sampled, and its mean and standard deviation.
#pragma once

#include <limits>
#include <type_traits>

#include "kernels/cuda/copied_crop.cuh"
#include "kernels/cuda/crop_sampling.cuh"
#include "kernels/cuda/team.cuh"

namespace nat::gpu {

inline constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();

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

}  // namespace nat::gpu
