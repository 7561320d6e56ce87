#include "tools/report/filters.h"

#include <algorithm>
#include <cmath>

#include "kernels/check.h"

namespace nat::report {

namespace {

constexpr int kSobelSize = 3;
constexpr float kSobel[2][kSobelSize][kSobelSize] = {{{-1, 0, 1}, {-2, 0, 2}, {-1, 0, 1}},
                                                     {{-1, -2, -1}, {0, 0, 0}, {1, 2, 1}}};

// Planar filter (channels, size, size) to interleaved bytes, stretched to 0..255.
Picture stretch(std::span<const float> filter, int channels, int size) {
  const auto [low, high] = std::minmax_element(filter.begin(), filter.end());
  const float range = *high - *low;
  Picture picture{size, size, channels, std::vector<std::uint8_t>(filter.size(), 128)};
  if (!(range > 0) || !std::isfinite(range)) return picture;
  const auto plane = static_cast<std::size_t>(size) * static_cast<std::size_t>(size);
  for (std::size_t i = 0; i < filter.size(); ++i) {
    const std::size_t channel = i / plane, position = i % plane;
    picture.pixels[position * static_cast<std::size_t>(channels) + channel] =
        static_cast<std::uint8_t>(std::lround((filter[i] - *low) / range * 255));
  }
  return picture;
}

}  // namespace

std::vector<float> compose_with_sobel(std::span<const float> weights, int outputs, int kernel) {
  const int size = kernel + kSobelSize - 1;
  std::vector<float> composed(static_cast<std::size_t>(outputs * size * size));
  const float* weight = weights.data();
  for (int o = 0; o < outputs; ++o) {
    float* filter = composed.data() + o * size * size;
    for (const auto& sobel : kSobel) {
      for (int p = 0; p < kernel; ++p) {
        for (int q = 0; q < kernel; ++q, ++weight) {
          for (int i = 0; i < kSobelSize; ++i) {
            for (int j = 0; j < kSobelSize; ++j) {
              filter[(p + i) * size + q + j] += *weight * sobel[i][j];
            }
          }
        }
      }
    }
  }
  return composed;
}

std::vector<Picture> filter_pictures(std::span<const float> weights, int outputs, int channels,
                                     int kernel) {
  NAT_CHECK(channels >= 1 && channels <= 3 && kernel > 0 &&
                weights.size() == static_cast<std::size_t>(outputs * channels * kernel * kernel),
            ErrorKind::unexpected, "filters: ", weights.size(), " weights are not ", outputs, "x",
            channels, "x", kernel, "x", kernel);
  std::vector<float> composed;
  int size = kernel;
  if (channels == 2) {
    composed = compose_with_sobel(weights, outputs, kernel);
    weights = composed;
    channels = 1;
    size = kernel + kSobelSize - 1;
  }
  const auto length = static_cast<std::size_t>(channels) * static_cast<std::size_t>(size * size);
  std::vector<Picture> pictures;
  for (std::size_t o = 0; o < static_cast<std::size_t>(outputs); ++o) {
    pictures.push_back(stretch(weights.subspan(o * length, length), channels, size));
  }
  return pictures;
}

}  // namespace nat::report
