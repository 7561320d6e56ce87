// Rows of equal scores: pictures that come twice, features that have died or collapsed to a point.
// One after the other they would outbid each other, and be searched, for the same columns.
#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/cpu/lap/problem.h"

namespace nat::cpu {

using lap::kNone;

namespace {

// The lowest row of each key, in an open-addressing table at most half full. Rows come in order.
class LowestRows {
 public:
  LowestRows(Scratch::Frame& frame, std::int64_t rows)
      : mask_(2 * std::bit_ceil(static_cast<std::uint64_t>(rows)) - 1),
        entries_(frame.take<Entry>(mask_ + 1)) {
    std::fill(entries_, entries_ + mask_ + 1, Entry{0, kNone});
  }

  // `row` itself where it is the first with its key.
  std::int32_t with(std::uint32_t key, std::int32_t row) {
    std::uint64_t slot = key & mask_;
    while (entries_[slot].row != kNone && entries_[slot].key != key) slot = (slot + 1) & mask_;
    if (entries_[slot].row == kNone) entries_[slot] = {key, row};
    return entries_[slot].row;
  }

 private:
  struct Entry {
    std::uint32_t key;
    std::int32_t row;
  };
  std::uint64_t mask_;  // slots - 1
  Entry* entries_;
};

// A twin costs the auction several bids in each phase (docs/decisions/0010-equal-rows.md).
constexpr std::int64_t kFewTwins = 32;

}  // namespace

void link_twins(Scratch::Frame& frame, LapProblem& problem) {
  LowestRows lowest_rows(frame, problem.n);
  problem.distinct_rows = 0;
  for (std::int32_t i = 0; i < problem.n; ++i) {
    const std::int32_t lowest = lowest_rows.with(lap::row_key(problem.row(i)), i);
    problem.next_twin[i] = i;
    const auto bytes = static_cast<std::size_t>(problem.columns) * sizeof(std::int32_t);
    if (lowest == i || std::memcmp(problem.row(lowest), problem.row(i), bytes) != 0) {
      ++problem.distinct_rows;
    } else {
      std::swap(problem.next_twin[i], problem.next_twin[lowest]);
    }
  }
}

bool has_many_twins(Scratch::Frame& frame, const float* scores, std::int64_t n) {
  LowestRows lowest_rows(frame, n);
  std::int64_t twins = 0;
  for (std::int32_t i = 0; i < n; ++i) {
    std::int32_t first[lap::kRowMultiple];
    std::memcpy(first, scores + i * n, sizeof first);
    twins += lowest_rows.with(lap::row_key(first), i) != i;
  }
  return twins * kFewTwins > n;
}

}  // namespace nat::cpu
