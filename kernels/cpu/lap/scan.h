// Scans over the columns of one row, with SIMD: where the solvers of kernels/lap.h spend their
// time. Asks and scores as in kernels/lap_auction.h; `columns` is a multiple of lap::kRowMultiple.
#pragma once

#include <cstdint>

#include "kernels/lap_auction.h"

namespace nat::cpu {

// The two largest of score - ask, and the column of the largest, the lowest on ties.
lap::TopTwo top_two(const std::int32_t* score, const std::int32_t* ask, std::int64_t columns);

// The largest of score - ask.
std::int32_t most_profit(const std::int32_t* score, const std::int32_t* ask, std::int64_t columns);

struct Nearest {
  std::int32_t distance;
  std::int32_t column;  // the lowest on ties
};

// distance[j] <- min(distance[j], base + ask[j] - score[j]), noting in from[j] which row made it
// shorter; returns the nearest column.
Nearest relax(const std::int32_t* score, const std::int32_t* ask, std::int64_t columns,
              std::int32_t base, std::int32_t row, std::int32_t* distance, std::int32_t* from);

// highest[j] <- max(highest[j], score[j]), noting in holder[j] the row that made it higher.
void raise_to(const std::int32_t* score, std::int64_t columns, std::int32_t row,
              std::int32_t* highest, std::int32_t* holder);

// The work of scanning `rows` rows of n, for parallel_for, which wakes the team from 2^14 on: a
// million elements take about as long as ten awakenings. Smaller problems stay on one core. Most of
// their scans are too few at a time to be shared, and a row that another core has written comes
// from its cache more slowly than from one's own (n = 1024: 2.0 ms on two cores, 1.5 on one).
constexpr std::int64_t scan_work(std::int64_t n, std::int64_t rows) {
  constexpr std::int64_t kTeamFrom = 2048;
  return n < kTeamFrom ? 0 : rows * n / 64;
}

}  // namespace nat::cpu
