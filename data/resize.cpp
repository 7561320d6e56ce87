#include "data/resize.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <vector>

namespace nat::data {
namespace {

// One result pixel in one direction: a weighted sum of `count` source pixels.
struct Taps {
  int first = 0, count = 0;
  const float* weights = nullptr;  // they add to 1
};

// Taps of result pixels begin .. begin+n-1 when `from` source pixels become `to`.
class Filter {
 public:
  Filter(int from, int to, int begin, int n)
      : stride_(to < from ? from / to + 2 : 2),
        first_(static_cast<std::size_t>(n)),
        count_(static_cast<std::size_t>(n)),
        weights_(static_cast<std::size_t>(n) * stride_) {
    for (int i = 0; i < n; ++i) {
      if (to <= from) {
        cover_area(i, begin + i, from, to);
      } else {
        interpolate(i, begin + i, from, to);
      }
    }
  }

  Taps operator[](int i) const {
    const auto at = static_cast<std::size_t>(i);
    return {first_[at], count_[at], weights_.data() + at * stride_};
  }
  int first_source() const { return first_.front(); }
  int end_source() const { return first_.back() + count_.back(); }

 private:
  // In units of 1/to source pixels, result pixel p covers [p from, (p+1) from) and source pixel s
  // covers [s to, (s+1) to): the overlaps are exact integers.
  void cover_area(int i, int position, int from, int to) {
    const std::int64_t begin = std::int64_t{position} * from;
    const std::int64_t end = begin + from;
    const auto at = static_cast<std::size_t>(i);
    first_[at] = static_cast<int>(begin / to);
    for (std::int64_t s = first_[at]; s * to < end; ++s) {
      const std::int64_t overlap = std::min(end, (s + 1) * to) - std::max(begin, s * to);
      weights_[at * stride_ + count_[at]++] =
          static_cast<float>(static_cast<double>(overlap) / from);
    }
  }

  void interpolate(int i, int position, int from, int to) {
    const double center = (position + 0.5) * from / to - 0.5;
    const double clamped = std::clamp(center, 0.0, from - 1.0);
    const auto at = static_cast<std::size_t>(i);
    first_[at] = std::min(static_cast<int>(clamped), std::max(from - 2, 0));
    count_[at] = std::min(2, from);
    const auto fraction = static_cast<float>(clamped - first_[at]);
    weights_[at * stride_] = 1 - fraction;
    if (count_[at] == 2) weights_[at * stride_ + 1] = fraction;
  }

  std::size_t stride_;
  std::vector<int> first_, count_;
  std::vector<float> weights_;
};

// row[i] = weighted sum over the source rows of one result row, for interleaved values i.
void blend_rows(const std::uint8_t* source, std::int64_t row_bytes, const Taps& taps, int values,
                float* row) {
  std::fill(row, row + values, 0.0f);
  for (int k = 0; k < taps.count; ++k) {
    const std::uint8_t* in = source + (taps.first + k) * row_bytes;
    const float weight = taps.weights[k];
    for (int i = 0; i < values; ++i) row[i] += weight * static_cast<float>(in[i]);
  }
}

}  // namespace

PictureSize resized_size(const PictureSize& source, int short_side) {
  const auto longer = [&](int length, int shorter) {
    return static_cast<int>((std::int64_t{2} * length * short_side + shorter) / (2 * shorter));
  };
  if (source.width <= source.height) return {short_side, longer(source.height, source.width)};
  return {longer(source.width, source.height), short_side};
}

void resize_window(const std::uint8_t* source, const PictureSize& from, const PictureSize& to,
                   const Window& window, std::uint8_t* out) {
  assert(window.left >= 0 && window.left + window.width <= to.width);
  assert(window.top >= 0 && window.top + window.height <= to.height);
  const Filter columns(from.width, to.width, window.left, window.width);
  const Filter rows(from.height, to.height, window.top, window.height);
  const int first_column = columns.first_source();
  const int values = 3 * (columns.end_source() - first_column);
  std::vector<float> row(static_cast<std::size_t>(values));
  for (int y = 0; y < window.height; ++y) {
    blend_rows(source + 3 * first_column, std::int64_t{3} * from.width, rows[y], values,
               row.data());
    for (int x = 0; x < window.width; ++x) {
      const Taps taps = columns[x];
      const float* in = row.data() + 3 * (taps.first - first_column);
      for (int c = 0; c < 3; ++c) {
        float sum = 0.5f;  // rounds to nearest below
        for (int k = 0; k < taps.count; ++k) sum += taps.weights[k] * in[3 * k + c];
        *out++ = static_cast<std::uint8_t>(std::min(sum, 255.0f));
      }
    }
  }
}

}  // namespace nat::data
