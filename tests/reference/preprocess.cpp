#include "tests/reference/preprocess.h"

#include <algorithm>
#include <cmath>

namespace nat::reference {

namespace {
// Makes a picture from f(row, column, channel).
template <class F>
Picture make(std::int64_t height, std::int64_t width, std::int64_t channels, F&& f) {
  Picture out{height, width, channels, {}};
  for (std::int64_t y = 0; y < height; ++y) {
    for (std::int64_t x = 0; x < width; ++x) {
      for (std::int64_t c = 0; c < channels; ++c) out.value.push_back(f(y, x, c));
    }
  }
  return out;
}
}  // namespace

double Picture::at(std::int64_t y, std::int64_t x, std::int64_t c) const {
  if (y < 0 || y >= height || x < 0 || x >= width) return 0;
  return value[static_cast<std::size_t>((y * width + x) * channels + c)];
}

Picture crop(const Picture& picture, const CropBox& box, std::int64_t size) {
  const double edge = static_cast<double>(size);
  return make(size, size, picture.channels, [&](std::int64_t i, std::int64_t j, std::int64_t c) {
    const std::int64_t column = box.flip != 0 ? size - 1 - j : j;
    const double x = static_cast<double>(box.x) +
                     (static_cast<double>(column) + 0.5) * static_cast<double>(box.width) / edge -
                     0.5;
    const double y = static_cast<double>(box.y) +
                     (static_cast<double>(i) + 0.5) * static_cast<double>(box.height) / edge - 0.5;
    // The weight of a picture element is a tent around it; outside, the edge repeats.
    double sum = 0;
    for (std::int64_t dy = 0; dy <= 1; ++dy) {
      for (std::int64_t dx = 0; dx <= 1; ++dx) {
        const double px = std::floor(x) + static_cast<double>(dx);
        const double py = std::floor(y) + static_cast<double>(dy);
        const double weight = (1 - std::abs(x - px)) * (1 - std::abs(y - py));
        const auto inside = [](double p, std::int64_t available) {
          return std::clamp<std::int64_t>(static_cast<std::int64_t>(p), 0, available - 1);
        };
        sum += weight * picture.at(inside(py, picture.height), inside(px, picture.width), c);
      }
    }
    return sum;
  });
}

Picture normalised(const Picture& picture) {
  double sum = 0, square = 0;
  for (const double v : picture.value) sum += v;
  const double n = static_cast<double>(picture.value.size()), mean = sum / n;
  for (const double v : picture.value) square += (v - mean) * (v - mean);
  const double deviation = std::sqrt(square / n);
  Picture out = picture;
  for (double& v : out.value) v = deviation > 0 ? (v - mean) / deviation : 0;
  return out;
}

Picture filtered(const Picture& picture, FrontEnd front) {
  const auto& [height, width, channels, value] = picture;
  if (front == FrontEnd::clean) return picture;
  if (front == FrontEnd::high_pass) {
    return make(height, width, channels, [&](std::int64_t y, std::int64_t x, std::int64_t c) {
      double sum = 0;
      for (std::int64_t r = -1; r <= 1; ++r) {
        for (std::int64_t s = -1; s <= 1; ++s) sum += picture.at(y + r, x + s, c);
      }
      return picture.at(y, x, c) - sum / 9;
    });
  }
  const Picture gray = make(height, width, 1, [&](std::int64_t y, std::int64_t x, std::int64_t) {
    double sum = 0;
    for (std::int64_t c = 0; c < picture.channels; ++c) sum += picture.at(y, x, c);
    return sum / static_cast<double>(picture.channels);
  });
  constexpr double kGx[3][3] = {{-1, 0, 1}, {-2, 0, 2}, {-1, 0, 1}};
  return make(height, width, 2, [&](std::int64_t y, std::int64_t x, std::int64_t c) {
    double sum = 0;
    for (std::int64_t r = 0; r < 3; ++r) {
      for (std::int64_t s = 0; s < 3; ++s) {
        const double weight = c == 0 ? kGx[r][s] : kGx[s][r];
        sum += weight * gray.at(y + r - 1, x + s - 1, 0);
      }
    }
    return sum;
  });
}

}  // namespace nat::reference
