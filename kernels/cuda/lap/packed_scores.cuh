// The scores of a problem in three bytes each, in the shared memory of the blocks of a crew: of C
// blocks, block b has the rows b, b + C, b + 2C, ...; 192 KiB each with 256 rows in one block, or
// 1,024 in sixteen.
//
// A lane of a warp reads eight neighbouring columns: 16 bytes of lower and 8 bytes of upper parts,
// from two planes, next to those of the lanes beside it. A warp takes a row in chunks of 256
// columns.
//
// A score is held less a constant of its row, which nobody sees (kernels/lap_auction.h): level q as
// q - 2^23, one less in a row that holds the highest level. So 24 bits with sign are enough, unless
// a row holds both the lowest and the highest of the 2^24 + 1 levels. (The padding, level 0, may
// wrap around in a row with the highest: it is not for sale, whatever it is worth.)
#pragma once

#include "kernels/cuda/lap/problem.cuh"

namespace nat::gpu {

inline constexpr int kLaneColumns = 8;
static_assert(kLaneColumns == lap::kRowMultiple);
inline constexpr std::int64_t kChunkColumns = kWarp * kLaneColumns;
inline constexpr std::int64_t kMostPackedColumns = 4 * kChunkColumns;

NAT_HOST_DEVICE constexpr std::size_t packed_bytes(std::int64_t rows, std::int64_t columns) {
  return 3 * static_cast<std::size_t>(rows * columns);
}

// Eight numbers of a lane, loaded and stored as two vectors of 16 bytes.
struct alignas(16) LaneNumbers {
  std::int32_t of[kLaneColumns];

  __device__ static LaneNumbers all(std::int32_t value) {
    LaneNumbers numbers;
#pragma unroll
    for (std::int32_t& number : numbers.of) number = value;
    return numbers;
  }
  __device__ static LaneNumbers at(const std::int32_t* from) {
    const auto* const halves = reinterpret_cast<const int4*>(from);
    const int4 a = halves[0], b = halves[1];
    return {{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}};
  }
  __device__ void store(std::int32_t* to) const {
    auto* const halves = reinterpret_cast<int4*>(to);
    halves[0] = {of[0], of[1], of[2], of[3]};
    halves[1] = {of[4], of[5], of[6], of[7]};
  }
};

// Of one row; doubled like all scores, less the constant of the row.
struct PackedRow {
  const std::uint16_t* low;
  const std::int8_t* high;

  __device__ std::int32_t operator[](std::int32_t column) const {
    return 2 * (high[column] * (1 << 16) + low[column]);
  }
};

// The rows that lie in one block, by their order there.
class PackedScores {
 public:
  // `memory` is aligned to 16 bytes.
  __device__ PackedScores(std::int64_t rows, std::int64_t columns, void* memory)
      : columns_(static_cast<std::int32_t>(columns)),
        low_(static_cast<std::uint16_t*>(memory)),
        high_(reinterpret_cast<std::int8_t*>(low_ + rows * columns)) {}

  // Of eight columns, doubled like all scores, less the constant of the row.
  __device__ LaneNumbers eight(std::int32_t row, std::int32_t first_column) const {
    const std::int32_t at = row * columns_ + first_column;
    const uint4 low = *reinterpret_cast<const uint4*>(low_ + at);
    const uint2 high = *reinterpret_cast<const uint2*>(high_ + at);
    return {{from_bytes<0>(low.x, high.x), from_bytes<1>(low.x, high.x),
             from_bytes<2>(low.y, high.x), from_bytes<3>(low.y, high.x),
             from_bytes<0>(low.z, high.y), from_bytes<1>(low.z, high.y),
             from_bytes<2>(low.w, high.y), from_bytes<3>(low.w, high.y)}};
  }
  __device__ PackedRow row(std::int32_t row) const {
    return {low_ + row * columns_, high_ + row * columns_};
  }
  // Those that lie so many bytes behind.
  __device__ PackedScores behind(unsigned bytes) const {
    PackedScores there = *this;
    there.low_ += bytes / sizeof *low_;
    there.high_ += bytes;
    return there;
  }
  // Those that lie at the same place in another block.
  template <class Crew>
  __device__ PackedScores in_block(const Crew& crew, std::uint32_t block) const {
    PackedScores there = *this;
    there.low_ = crew.in_block(low_, block);
    there.high_ = crew.in_block(high_, block);
    return there;
  }
  // Levels less the constant of the row.
  __device__ void write_eight(std::int32_t row, std::int32_t first_column,
                              const LaneNumbers& level) const {
    const auto pair = [&](int k) {
      return __byte_perm(static_cast<unsigned>(level.of[k]), static_cast<unsigned>(level.of[k + 1]),
                         0x5410);
    };
    const auto third_bytes = [&](int k) {
      return __byte_perm(__byte_perm(static_cast<unsigned>(level.of[k]),
                                     static_cast<unsigned>(level.of[k + 1]), 0x62),
                         __byte_perm(static_cast<unsigned>(level.of[k + 2]),
                                     static_cast<unsigned>(level.of[k + 3]), 0x62),
                         0x5410);
    };
    const std::int32_t at = row * columns_ + first_column;
    *reinterpret_cast<uint4*>(low_ + at) = {pair(0), pair(2), pair(4), pair(6)};
    *reinterpret_cast<uint2*>(high_ + at) = {third_bytes(0), third_bytes(4)};
  }

 private:
  // The k-th of four: the lower halves of two lie in `low`, the third bytes of all in `high`. Three
  // bytes move to the top of a number, and down again with their sign.
  template <unsigned k>
  __device__ static std::int32_t from_bytes(unsigned low, unsigned high) {
    constexpr unsigned kPicked = (4 + k) << 12 | (k % 2 == 0 ? 0x100 : 0x320);
    return 2 * (static_cast<std::int32_t>(__byte_perm(low, high, kPicked)) >> 8);
  }

  std::int32_t columns_;
  std::uint16_t* low_;
  std::int8_t* high_;
};

// The rows of a block: first, first + step, ...
struct LapShare {
  std::int32_t first, step;

  template <class Crew>
  __device__ static LapShare of(const Crew& crew) {
    return {static_cast<std::int32_t>(crew.block()), static_cast<std::int32_t>(crew.blocks())};
  }
  __device__ std::int32_t row(std::int32_t place) const { return first + place * step; }
  __device__ std::int32_t size(std::int64_t rows) const {
    return (static_cast<std::int32_t>(rows) - first + step - 1) / step;
  }
};

// By a warp, from the doubled levels that each lane has of a row. Returns whether the row fits into
// 24 bits; every lane knows.
template <int kChunks>
__device__ bool pack_row(const PackedScores& packed, std::int32_t place, const LapProblem& problem,
                         LaneNumbers (&chunk)[kChunks]) {
  const auto first = static_cast<std::int32_t>(lane()) * kLaneColumns;
  bool has_lowest = false, has_highest = false;
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
#pragma unroll
    for (int k = 0; k < kLaneColumns; ++k) {
      const std::int64_t column = first + c * kChunkColumns + k;
      has_lowest = has_lowest || (chunk[c].of[k] == 0 && column < problem.n);
      has_highest = has_highest || chunk[c].of[k] == lap::kLargest;
    }
  }
  has_lowest = __any_sync(kFullWarp, has_lowest ? 1 : 0) != 0;
  has_highest = __any_sync(kFullWarp, has_highest ? 1 : 0) != 0;
  const std::int32_t constant = kLapLevels / 2 + (has_highest ? 1 : 0);
#pragma unroll
  for (int c = 0; c < kChunks; ++c) {
    const auto column = static_cast<std::int32_t>(first + c * kChunkColumns);
#pragma unroll
    for (std::int32_t& each : chunk[c].of) each = each / 2 - constant;
    if (column < problem.columns) packed.write_eight(place, column, chunk[c]);
  }
  return !(has_lowest && has_highest);
}

// By the block, its rows; each warp knows whether those that it has taken fit.
template <int kChunks>
__device__ bool pack_rows(const LapShare& share, const LapProblem& problem,
                          const PackedScores& packed) {
  constexpr int kAtOnce = kChunks == 1 ? 4 : 1;  // rows of a warp that are under way together
  const auto warps = static_cast<std::int32_t>(blockDim.x / kWarp);
  const std::int32_t places = share.size(problem.n);
  const auto column = static_cast<std::int32_t>(lane()) * kLaneColumns;
  bool all_fit = true;
  for (auto first = static_cast<std::int32_t>(threadIdx.x / kWarp); first < places;
       first += kAtOnce * warps) {
    LaneNumbers doubled[kAtOnce][kChunks];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const std::int32_t place = first + k * warps;
#pragma unroll
      for (int c = 0; c < kChunks; ++c) {
        const std::int64_t j = column + c * kChunkColumns;
        doubled[k][c] = place < places && j < problem.columns
                            ? LaneNumbers::at(problem.row(share.row(place)) + j)
                            : LaneNumbers::all(0);
      }
    }
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const std::int32_t place = first + k * warps;
      if (place >= places) break;
      const bool fits = pack_row(packed, place, problem, doubled[k]);
      all_fit = all_fit && fits;
    }
  }
  return all_fit;
}

}  // namespace nat::gpu
