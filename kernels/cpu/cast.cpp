#include "kernels/cast.h"

#include <algorithm>
#include <cassert>
#include <numeric>
#include <type_traits>

#include "kernels/cpu/stored.h"
#include "kernels/dispatch.h"
#include "kernels/parallel.h"

namespace nat::cpu {
namespace {

template <class X, class Y>
Y convert(X value) {
  if constexpr (std::is_same_v<X, double> && std::is_same_v<Y, BFloat16>) {
    return to_bfloat16(value);
  } else {
    return store<Y>(static_cast<Compute<Y>>(load(value)));
  }
}

template <class X, class Y>
void cast_flat(std::int64_t total, const X* x, Y* y) {
  constexpr std::int64_t kBlock = 1 << 14;
  parallel_for((total + kBlock - 1) / kBlock, total * 4, [&](std::int64_t block) {
    const std::int64_t end = std::min(total, (block + 1) * kBlock);
#pragma omp simd
    for (std::int64_t i = block * kBlock; i < end; ++i) y[i] = convert<X, Y>(x[i]);
  });
}

// Where runs of channels lie in a blocked tensor. Neighbouring pixels are `block` elements apart.
struct BlockedLayout {
  std::int64_t height, width, channels, block;

  std::int64_t offset(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c) const {
    const std::int64_t plane = n * (channels / block) + c / block;
    return ((plane * height + h) * width + w) * block + c % block;
  }
};

// Pixels converted at a time: enough to write whole cache lines of every channel block in turn, few
// enough that the plain side stays a sequential stream (twice as fast as whole image rows).
constexpr std::int64_t kTile = 4;

// Image rows in parallel; inside a tile, runs of `run` channels that are contiguous on both sides.
// Run is an integral_constant where the length is worth knowing at compile time.
template <class X, class Y, class Run>
void cast_blocked(Run run, const Shape& shape, const X* x, std::int64_t x_block, Y* y,
                  std::int64_t y_block) {
  const std::int64_t height = shape[1], width = shape[2], channels = shape[3];
  const BlockedLayout from{height, width, channels, x_block};
  const BlockedLayout to{height, width, channels, y_block};
  const auto cast_tile = [&](std::int64_t n, std::int64_t h, std::int64_t begin) {
    const std::int64_t pixels = std::min(kTile, width - begin);
    for (std::int64_t c = 0; c < channels; c += run) {
      const X* in = x + from.offset(n, h, begin, c);
      Y* out = y + to.offset(n, h, begin, c);
      for (std::int64_t pixel = 0; pixel < pixels; ++pixel, in += x_block, out += y_block) {
#pragma omp simd
        for (std::int64_t j = 0; j < run; ++j) out[j] = convert<X, Y>(in[j]);
      }
    }
  };
  parallel_for(shape[0] * height, shape.elements() * 4, [&](std::int64_t row) {
    for (std::int64_t begin = 0; begin < width; begin += kTile) {
      cast_tile(row / height, row % height, begin);
    }
  });
}

template <class X, class Y>
void cast_as(ConstView x, View y) {
  if (x.block == y.block) return cast_flat(x.shape.elements(), x.as<X>(), y.as<Y>());
  const std::int64_t run = std::gcd(x.block, y.block);
  if (run == 16) {
    constexpr std::integral_constant<std::int64_t, 16> kRun{};
    cast_blocked(kRun, x.shape, x.as<X>(), x.block, y.as<Y>(), y.block);
  } else {
    cast_blocked(run, x.shape, x.as<X>(), x.block, y.as<Y>(), y.block);
  }
}

}  // namespace

void cast(Context&, ConstView x, View y) {
  assert(x.shape == y.shape);
  assert(x.block == y.block || x.shape.rank == 4);
  dispatch_storage(x.dtype, "cast", [&](auto from) {
    dispatch_storage(y.dtype, "cast", [&](auto to) {
      cast_as<typename decltype(from)::type, typename decltype(to)::type>(x, y);
    });
  });
}

}  // namespace nat::cpu
