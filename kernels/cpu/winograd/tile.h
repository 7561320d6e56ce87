// Where Winograd's tiles lie: in a tensor, and transformed, in temporary memory. And the linear
// maps from one to the other, kLanes channels at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "kernels/cpu/channel_grid.h"
#include "kernels/cpu/lanes.h"
#include "kernels/cpu/winograd/toom_cook.h"

namespace nat::cpu {

template <std::size_t kCount, class Body>
inline void unrolled(Body&& body) {
  [&]<std::size_t... kIndex>(std::index_sequence<kIndex...>) {
    (body(std::integral_constant<std::size_t, kIndex>{}), ...);
  }
  (std::make_index_sequence<kCount>{});
}

// Element kRow of matrix * in; what is multiplied by 0 is left out.
template <class Map, std::size_t kRow, std::size_t kColumns>
inline Vector<float> row_times(const Vector<float> (&in)[kColumns]) {
  Vector<float> sum{};
  unrolled<kColumns>([&](auto j) {
    constexpr float kFactor = Map::matrix[kRow][j];
    if constexpr (kFactor == 1) {
      sum += in[j];
    } else if constexpr (kFactor != 0) {
      sum += kFactor * in[j];
    }
  });
  return sum;
}

// M X M' for the matrix M of Map and the tile X of load(i, j); store(i, j, value) takes the result.
// Both must hold what they need by value, and be inlined: after a store of bytes the compiler reads
// again whatever it reaches through a pointer.
template <class Map, class Load, class Store>
[[gnu::always_inline]] inline void transform(Load load, Store store) {
  constexpr std::size_t kRows = Map::matrix.size(), kColumns = Map::matrix[0].size();
  Vector<float> half[kRows][kColumns];
  for (std::size_t j = 0; j < kColumns; ++j) {
    Vector<float> in[kColumns];
    unrolled<kColumns>([&](auto i) { in[i] = load(i, j); });
    unrolled<kRows>([&](auto i) { half[i][j] = row_times<Map, i>(in); });
  }
  for (std::size_t i = 0; i < kRows; ++i) {
    unrolled<kRows>([&](auto j) { store(i, j, row_times<Map, j>(half[i])); });
  }
}

// The outputs of a convolution with stride 1, cut into tiles of `side` x `side` pixels. The last
// tiles of a picture hang over.
struct TileGrid {
  std::int64_t side, across, per_picture, count;

  TileGrid(const Shape& outputs, std::int64_t side_)
      : side(side_),
        across((outputs[2] + side - 1) / side),
        per_picture(across * ((outputs[1] + side - 1) / side)),
        count(outputs[0] * per_picture) {}

  std::int64_t picture(std::int64_t tile) const { return tile / per_picture; }
  std::int64_t row(std::int64_t tile) const { return tile % per_picture / across * side; }
  std::int64_t column(std::int64_t tile) const { return tile % across * side; }
};

// The pixels of one tile in kLanes channels. What hangs over the picture is 0 and is not written.
template <class Pointer>
class Window {
 public:
  // `corner`: where the first pixel lies, or would lie; row and column: that pixel's.
  Window(const Grid& grid, Pointer corner, std::int64_t row, std::int64_t column)
      : corner_(corner),
        row_step_(grid.width * grid.channels),
        pixel_step_(grid.channels),
        rows_{-row, grid.height - row},
        columns_{-column, grid.width - column} {}

  Vector<float> load(std::size_t i, std::size_t j) const {
    return holds(i, j) ? load_lanes(at(i, j), FullLanes{}) : Vector<float>{};
  }
  void store(std::size_t i, std::size_t j, const Vector<float>& value) const {
    if (holds(i, j)) store_lanes(value, at(i, j), FullLanes{});
  }

 private:
  struct Range {
    std::int64_t begin, end;
    bool holds(std::size_t i) const {
      return static_cast<std::int64_t>(i) >= begin && static_cast<std::int64_t>(i) < end;
    }
  };
  bool holds(std::size_t i, std::size_t j) const { return rows_.holds(i) && columns_.holds(j); }
  Pointer at(std::size_t i, std::size_t j) const {
    return corner_ + static_cast<std::int64_t>(i) * row_step_ +
           static_cast<std::int64_t>(j) * pixel_step_;
  }

  Pointer corner_;
  std::int64_t row_step_, pixel_step_;
  Range rows_, columns_;  // what of the window the picture holds
};

// A tensor seen as tiles, each beginning `pad` pixels above and left of the outputs' tile.
template <class Pointer>
struct Tiled {
  Pointer data;
  Grid grid;
  TileGrid tiles;
  std::int64_t pad;

  Window<Pointer> window(std::int64_t channel, std::int64_t tile) const {
    const std::int64_t row = tiles.row(tile) - pad, column = tiles.column(tile) - pad;
    const std::int64_t first = (tiles.picture(tile) * grid.height + row) * grid.width + column;
    return {grid, data + first * grid.channels + channel, row, column};
  }
};

// Some tiles, transformed: vectors [position in the tile][channel / kLanes][tile]. The positions
// lie one more vector apart than they fill, so that the cache does not keep them in the same sets.
struct Transformed {
  std::int64_t tiles, position_step;
  float* data = nullptr;

  Transformed(std::int64_t channels, std::int64_t tiles_)
      : tiles(tiles_), position_step(channels * tiles_ + kLanes) {}

  float* at(std::int64_t position, std::int64_t channel, std::int64_t tile) const {
    return data + position * position_step + channel * tiles + tile * kLanes;
  }
};

// Tiles [begin, end) of a tensor, from tile `at` of `to` on.
template <class Map, class Pointer>
inline void transform_from(const Tiled<Pointer>& from, std::int64_t channel, std::int64_t begin,
                           std::int64_t end, const Transformed& to, std::int64_t at) {
  constexpr std::size_t kSide = Map::matrix.size();
  for (std::int64_t tile = begin; tile < end; ++tile, ++at) {
    const auto window = from.window(channel, tile);
    float* first = to.at(0, channel, at);
    transform<Map>(
        [=](std::size_t i, std::size_t j) { return window.load(i, j); },
        [=, step = to.position_step](std::size_t i, std::size_t j, const Vector<float>& value) {
          store_raw(value, first + static_cast<std::int64_t>(i * kSide + j) * step, FullLanes{});
        });
  }
}

// All tiles of `from` are tiles [begin, end) of a tensor.
template <class Map, class Pointer>
inline void transform_to(const Tiled<Pointer>& to, std::int64_t channel, std::int64_t begin,
                         std::int64_t end, const Transformed& from) {
  constexpr std::size_t kSide = Map::matrix[0].size();
  for (std::int64_t tile = begin; tile < end; ++tile) {
    const auto window = to.window(channel, tile);
    const float* first = from.at(0, channel, tile - begin);
    transform<Map>(
        [=, step = from.position_step](std::size_t i, std::size_t j) {
          return load_raw(first + static_cast<std::int64_t>(i * kSide + j) * step, FullLanes{});
        },
        [=](std::size_t i, std::size_t j, const Vector<float>& value) {
          window.store(i, j, value);
        });
  }
}

}  // namespace nat::cpu
