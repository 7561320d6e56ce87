// Pixels and pooling windows: positions in a batch of pictures, and which windows contain a pixel.
#pragma once

#include <cstdint>

#include "kernels/cuda/divisor.cuh"
#include "kernels/view.h"

namespace nat::gpu {

// A pixel of a batch of pictures.
struct Position {
  std::uint32_t image;
  int row, column;
};

// The pixels of a batch in memory order.
struct Pixels {
  Divisor height, width;

  explicit Pixels(const Shape& shape) : height(shape[1]), width(shape[2]) {}
  __device__ int rows() const { return static_cast<int>(height.value); }
  __device__ int columns() const { return static_cast<int>(width.value); }
  __device__ bool contain(int row, int column) const {
    return 0 <= row && row < rows() && 0 <= column && column < columns();
  }
  __device__ Position position(std::uint32_t index) const {
    const std::uint32_t line = width.quotient(index), image = height.quotient(line);
    return {image, static_cast<int>(line - image * height.value),
            static_cast<int>(index - line * width.value)};
  }
  __device__ std::int64_t index(std::uint32_t image, int row, int column) const {
    return (std::int64_t{image} * height.value + row) * width.value + column;
  }
  // Of the pixel itself if the picture contains it, else of the one at the border next to it.
  __device__ std::int64_t nearest(std::uint32_t image, int row, int column) const {
    row = row < 0 ? 0 : row < rows() ? row : rows() - 1;
    return index(image, row, nearest_column(column));
  }
  __device__ int nearest_column(int column) const {
    return column < 0 ? 0 : column < columns() ? column : columns() - 1;
  }
};

// A pooling window, its sizes known to the compiler or not. At most `reach` windows of an axis
// contain a pixel: the one that starts last at or before it, and those just before that one.
template <int kSize, int kStride>
struct FixedWindow {
  static constexpr int size = kSize, stride = kStride, reach = (kSize + kStride - 1) / kStride;
};
struct AnyWindow {
  int size, stride, reach = (size + stride - 1) / stride;
};

// Pictures cut into cells of stride x stride pixels, which the same windows contain or almost.
inline Shape cells_of(const Shape& x, int stride) {
  return {x[0], (x[1] + stride - 1) / stride, (x[2] + stride - 1) / stride, x[3]};
}

}  // namespace nat::gpu
