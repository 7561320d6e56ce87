#include "kernels/cpu/lap/problem.h"

#include <algorithm>

#include "kernels/cpu/lap/scan.h"
#include "kernels/parallel.h"

namespace nat::cpu {

using lap::kClosed;
using lap::kFar;
using lap::kNone;

LapProblem::LapProblem(Scratch::Frame& frame, std::int64_t n_, std::int32_t* column_of_row_)
    : n(n_),
      columns(lap::padded(n_)),
      scores(frame.take<std::int32_t>(n * columns)),
      ask(frame.take<std::int32_t>(columns)),
      row_of_column(frame.take<std::int32_t>(columns)),
      column_of_row(column_of_row_),
      next_twin(frame.take<std::int32_t>(n)),
      distinct_rows(n),
      open_ask_(frame.take<std::int32_t>(columns)),
      distance_(frame.take<std::int32_t>(columns)),
      from_(frame.take<std::int32_t>(columns)),
      closed_(frame.take<std::int32_t>(n)),
      closed_at_(frame.take<std::int32_t>(n)),
      seat_score_(frame.take<std::int32_t>(n)) {}

void LapProblem::quantise_row(std::int64_t i, const float* from, const lap::Quantiser& quantise) {
  std::int32_t* to = scores + i * columns;
  for (std::int64_t j = 0; j < n; ++j) to[j] = quantise(from[j]);
  std::fill(to + n, to + columns, 0);
}

void LapProblem::clear_seats() {
  for (std::int64_t j = 0; j < n; ++j) ask[j] = price(j);
  std::fill(row_of_column, row_of_column + columns, kNone);
  std::fill(column_of_row, column_of_row + n, kNone);
}

void LapProblem::assign(std::int32_t i, std::int32_t column) {
  column_of_row[i] = column;
  row_of_column[column] = i;
  ask[column] |= 1;
}

bool LapProblem::all_seated() const {
  return std::find(column_of_row, column_of_row + n, kNone) == column_of_row + n;
}

// A step begins with the score of one seat. Taken from its row, it would be waited for: the row of
// the next step is in no cache near by.
void LapProblem::place_free_rows(LapReport& report) {
  for (std::int64_t j = 0; j < n; ++j) {
    if (taken(j)) seat_score_[j] = row(row_of_column[j])[j];
  }
  for (std::int32_t i = 0; i < n; ++i) {
    if (column_of_row[i] == kNone) place(i, report);
  }
}

void LapProblem::close(std::int32_t column, std::int32_t distance) {
  closed_[closed_count_] = column;
  closed_at_[closed_count_++] = distance;
  distance_[column] = kFar;
  open_ask_[column] = kClosed;
}

// What the row offers to a twin's seat is where its own seat lies: each would be the next to be
// closed, and bring no column any nearer.
void LapProblem::close_twins(std::int32_t row, std::int32_t base) {
  for_seats_of_twins(row, [&](std::int32_t column) {
    const std::int32_t offer = base + ask[column] - seat_score_[column];
    if (offer < distance_[column]) from_[column] = row;
    close(column, lap::price_of(offer));
  });
}

// Shortest path from the free row to a free column; then the prices of the columns closed on the
// way rise by the distance they lie in front of its end.
void LapProblem::place(std::int32_t start, LapReport& report) {
  std::copy(ask, ask + columns, open_ask_);
  std::fill(distance_, distance_ + columns, kFar);
  closed_count_ = 0;
  std::int32_t bidder = start;
  std::int32_t base = 0;
  Nearest nearest{};
  for (;;) {
    close_twins(bidder, base);
    nearest = relax(row(bidder), open_ask_, columns, base, bidder, distance_, from_);
    ++report.steps;
    const std::int32_t column = nearest.column;
    if (!taken(column)) break;
    nearest.distance = lap::price_of(nearest.distance);
    close(column, nearest.distance);
    bidder = row_of_column[column];
    base = nearest.distance + seat_score_[column] - price(column);
  }
  for (std::int64_t k = 0; k < closed_count_; ++k) {
    ask[closed_[k]] += nearest.distance - closed_at_[k];
  }
  for (std::int32_t column = nearest.column, i = kNone; i != start;) {
    i = from_[column];
    const std::int32_t left = column_of_row[i];
    assign(i, column);
    seat_score_[column] = row(i)[column];
    column = left;
  }
  ++report.paths;
}

std::int64_t LapProblem::bound_quanta() const {
  constexpr std::int64_t kMostChunks = 64;
  const Chunks chunks(n, kMostChunks);
  std::int64_t doubled[kMostChunks] = {};
  parallel_for(chunks.count, scan_work(n, n), [&](std::int64_t chunk) {
    for (std::int64_t i = chunks.begin(chunk); i < chunks.end(chunk); ++i) {
      doubled[chunk] += lap::even(most_profit(row(i), ask, columns)) + std::int64_t{price(i)};
    }
  });
  std::int64_t sum = 0;
  for (const std::int64_t part : doubled) sum += part;
  return sum / 2;
}

}  // namespace nat::cpu
