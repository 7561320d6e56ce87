// The scores of a problem of up to 256 rows in three bytes each, in the shared memory of one block:
// 192 KiB at n = 256.
//
// A lane of a warp owns eight neighbouring columns. What it reads of a row are 16 bytes of lower
// and 8 bytes of upper parts, from two planes, next to those of the lanes beside it.
//
// A score is held less a constant of its row, which nobody sees (kernels/lap_auction.h): level q as
// q - 2^23, one less in a row that holds the highest level. So 24 bits with sign are enough, unless
// a row holds both the lowest and the highest of the 2^24 + 1 levels.
#pragma once

#include "kernels/cuda/lap/problem.cuh"

namespace nat::gpu {

inline constexpr int kLaneColumns = 8;
static_assert(kLaneColumns == lap::kRowMultiple);
inline constexpr std::int64_t kMostPackedColumns = kWarp * kLaneColumns;

constexpr std::size_t packed_bytes(std::int64_t rows, std::int64_t columns) {
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
  __device__ std::int32_t one(std::int32_t row, std::int32_t column) const {
    const std::int32_t at = row * columns_ + column;
    return 2 * (high_[at] * (1 << 16) + low_[at]);
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

// By a warp, from the doubled levels that each lane has of the row. Returns whether the row fits
// into 24 bits; every lane knows.
__device__ inline bool pack_row(const PackedScores& packed, std::int32_t row,
                                std::int32_t first_column, const LapProblem& problem,
                                LaneNumbers number) {
  bool has_lowest = false, has_highest = false;
#pragma unroll
  for (int k = 0; k < kLaneColumns; ++k) {
    has_lowest = has_lowest || (number.of[k] == 0 && first_column + k < problem.n);
    has_highest = has_highest || number.of[k] == lap::kLargest;
  }
  has_lowest = __any_sync(kFullWarp, has_lowest ? 1 : 0) != 0;
  has_highest = __any_sync(kFullWarp, has_highest ? 1 : 0) != 0;
  const std::int32_t constant = kLapLevels / 2 + (has_highest ? 1 : 0);
#pragma unroll
  for (std::int32_t& each : number.of) each = each / 2 - constant;
  if (first_column < problem.columns) packed.write_eight(row, first_column, number);
  return !(has_lowest && has_highest);
}

// By a warp, the rows from `first_row` on that are `stride` apart; several are under way together.
__device__ inline bool pack_rows(const LapProblem& problem, const PackedScores& packed,
                                 std::int32_t first_row, std::int32_t stride) {
  constexpr int kAtOnce = 4;
  const auto n = static_cast<std::int32_t>(problem.n);
  const auto first_column = static_cast<std::int32_t>(lane()) * kLaneColumns;
  bool all_fit = true;
  for (; first_row < n; first_row += kAtOnce * stride) {
    LaneNumbers doubled[kAtOnce];
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const std::int32_t row = first_row + k * stride;
      doubled[k] = row < n && first_column < problem.columns
                       ? LaneNumbers::at(problem.row(row) + first_column)
                       : LaneNumbers::all(0);
    }
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const std::int32_t row = first_row + k * stride;
      if (row >= n) break;
      const bool fits = pack_row(packed, row, first_column, problem, doubled[k]);
      all_fit = all_fit && fits;
    }
  }
  return all_fit;
}

}  // namespace nat::gpu
