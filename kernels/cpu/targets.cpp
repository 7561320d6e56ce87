#include "kernels/targets.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "kernels/dispatch.h"
#include "kernels/parallel.h"
#include "kernels/random.h"

namespace nat::cpu {
namespace {

constexpr int kTileBlocks = 16;                // Philox blocks made together, one a SIMD lane
constexpr int kTileColumns = 4 * kTileBlocks;  // normals they give
constexpr int kLanes = 32;                     // partial sums of the norm (kernels/targets.h)

// Normals of the columns [column, column + kTileColumns) of one row.
void normal_tile(std::uint64_t seed, std::uint64_t row, std::int64_t column, float* g) {
  const std::uint64_t first = (row << 16) + static_cast<std::uint64_t>(column / 2);
  for (int block = 0; block < kTileBlocks; ++block) {
    const Random4 words =
        philox(seed, RandomStream::targets, 0, first + 2u * static_cast<std::uint64_t>(block));
    const Normal2 even = normal_pair(words.value[0], words.value[1]);
    const Normal2 odd = normal_pair(words.value[2], words.value[3]);
    g[4 * block] = even.a;
    g[4 * block + 1] = even.b;
    g[4 * block + 2] = odd.a;
    g[4 * block + 3] = odd.b;
  }
}

// Adds the squares of a tile, whose columns continue the lanes in order.
void add_squares(const float* g, double* partial) {
  for (int half = 0; half < kTileColumns; half += kLanes) {
#pragma omp simd
    for (int lane = 0; lane < kLanes; ++lane) {
      const double value = static_cast<double>(g[half + lane]);
      partial[lane] += value * value;
    }
  }
}

// Every normal is held as a float, whatever T: the same bits for f32 and f64.
template <class T>
void sphere_row(std::uint64_t seed, std::uint64_t row, std::int64_t d, T* target) {
  double partial[kLanes] = {};
  for (std::int64_t column = 0; column < d; column += kTileColumns) {
    float tile[kTileColumns];
    normal_tile(seed, row, column, tile);
    const std::int64_t count = std::min<std::int64_t>(kTileColumns, d - column);
    std::fill(tile + count, tile + kTileColumns, 0.0f);
    add_squares(tile, partial);
    std::copy_n(tile, count, target + column);
  }
  double squared_norm = 0;
  for (double lane : partial) squared_norm += lane;
  if (squared_norm == 0) {
    target[0] = 1;
    return;
  }
  const auto scale = static_cast<float>(1 / std::sqrt(squared_norm));
#pragma omp simd
  for (std::int64_t j = 0; j < d; ++j) {
    target[j] = static_cast<T>(static_cast<float>(target[j]) * scale);
  }
}

template <class T>
void basis_row(std::int64_t row, std::int64_t d, T* target) {
  std::fill_n(target, d, T{0});
  target[row % d] = 1;
}

}  // namespace

void target_rows(Context&, TargetKind kind, std::uint64_t seed, ConstView ids, View targets) {
  assert(targets.shape.rank == 2 && ids.shape == Shape(targets.shape[0]));
  assert(ids.dtype == DType::i32);
  const std::int64_t n = targets.shape[0], d = targets.shape[1];
  NAT_CHECK(d > 0 && d <= kMaxTargetColumns, ErrorKind::usage, "target_rows: dimension ", d,
            " is outside 1..", kMaxTargetColumns);
  const auto* id = ids.as<std::int32_t>();
  dispatch_real(targets.dtype, "target_rows", [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(n, n * d * 16, [&](std::int64_t i) {
      assert(id[i] >= 0);
      T* target = targets.as<T>() + i * d;
      if (kind == TargetKind::basis) return basis_row(id[i], d, target);
      sphere_row(seed, static_cast<std::uint64_t>(id[i]), d, target);
    });
  });
}

}  // namespace nat::cpu
