// The opening for scores of low rank (kernels/lap.h): prices from a sample.
//
// Where features lie on a line, a circle or a sphere, scores have rank 1, 2 or 3. Prices are then
// far from where the other openings begin, and each path leads through a good part of all rows: one
// after the other has to move a little. But prices follow from where a column lies among the
// others, and a sample that lies like the whole tells them:
//
//   1. rows and columns are put into an order in which neighbours have similar scores
//   2. every other row and every other column make a problem of half the size (every fourth, where
//      each row comes four times), which is solved exactly, in the same way: it has a sample of its
//      own, down to the smallest
//   3. its rows' profits fix prices for all columns,
//        price_j = max_i (score_ij - profit_i)   over the rows i of the sample,
//      the least ones at which no row of the sample wants another column than its own
//   4. free rows bid from these prices as in jv, and few and short paths are left
//
// The solution is as exact as with any other start, which only decides how long it takes.
#include <algorithm>
#include <array>
#include <numeric>

#include "kernels/cpu/lap/problem.h"
#include "kernels/cpu/lap/scan.h"
#include "kernels/parallel.h"

namespace nat::cpu {

namespace {

// ---- neighbours ---------------------------------------------------------------------------------

// Where a row (or column) lies: its scores with a few columns (or rows) spread over all of them.
constexpr int kMarks = 8;
struct Position {
  std::int32_t at[kMarks];
};

std::int64_t mark(int k, std::int64_t n) { return k * n / kMarks; }

void positions_of_rows(const LapProblem& problem, Position* position) {
  for (std::int64_t i = 0; i < problem.n; ++i) {
    for (int k = 0; k < kMarks; ++k) position[i].at[k] = problem.row(i)[mark(k, problem.n)];
  }
}

void positions_of_columns(const LapProblem& problem, Position* position) {
  std::array<const std::int32_t*, kMarks> row;
  for (int k = 0; k < kMarks; ++k) row[k] = problem.row(mark(k, problem.n));
  for (std::int64_t j = 0; j < problem.n; ++j) {
    for (int k = 0; k < kMarks; ++k) position[j].at[k] = row[k][j];
  }
}

struct Cut {
  int axis;
  std::int32_t most_left;  // right of the cut: whoever lies beyond
};

// Halves the range in which the positions differ most; false where all are equal.
bool find_cut(const std::int32_t* begin, const std::int32_t* end, const Position* position,
              Cut& cut) {
  Position low = position[*begin], high = low;
  for (const std::int32_t* id = begin + 1; id != end; ++id) {
    for (int k = 0; k < kMarks; ++k) {
      low.at[k] = std::min(low.at[k], position[*id].at[k]);
      high.at[k] = std::max(high.at[k], position[*id].at[k]);
    }
  }
  std::int32_t widest = 0;
  for (int k = 0; k < kMarks; ++k) {
    const std::int32_t range = high.at[k] - low.at[k];
    if (range > widest) {
      widest = range;
      cut = {k, low.at[k] + range / 2};
    }
  }
  return widest > 0;
}

// Neighbours next to each other: both sides of a cut, each ordered in the same way.
void order_by_position(std::int32_t* begin, std::int32_t* end, const Position* position,
                       std::int32_t* spare) {
  Cut cut{};
  if (end - begin <= 2 || !find_cut(begin, end, position, cut)) return;
  // Both sides are written and one end moves on: there is no branch to guess wrongly.
  std::int32_t *left = begin, *right = spare;
  for (const std::int32_t* id = begin; id != end; ++id) {
    const std::int32_t member = *id;
    const bool beyond = position[member].at[cut.axis] > cut.most_left;
    *left = *right = member;
    left += !beyond;
    right += beyond;
  }
  std::copy(spare, right, left);
  order_by_position(begin, left, position, spare);
  order_by_position(left, end, position, spare);
}

// ---- the sample ---------------------------------------------------------------------------------

// Of `step` neighbours the first.
struct Sampled {
  const std::int32_t* order;
  std::int64_t step;
  std::int32_t operator[](std::int64_t k) const { return order[step * k]; }
};

// As many neighbours as rows are alike, since equal rows say nothing new; at least two.
std::int64_t sample_step(const LapProblem& problem) {
  const std::int64_t most = problem.n / (kLeastSampled / 2);
  return std::clamp<std::int64_t>(problem.n / problem.distinct_rows, 2, most);
}

// Prices from a sample are good ones, and half as many bids are enough.
std::int64_t sample_bids(std::int64_t n) { return bid_budget(n) / 2; }

void price_by_sample(Scratch::Frame& frame, LapProblem& problem, LapReport& report);

// Solves the problem of the sampled rows and columns. Its scans are half as long as those that the
// report counts.
void solve_sample(Scratch::Frame& frame, LapProblem& sample, LapReport& report) {
  LapReport shorter;
  if (sample.n < kLeastSampled) {
    reduce_columns(sample);
    link_twins(frame, sample);
  } else {
    price_by_sample(frame, sample, shorter);
  }
  reduce_rows(frame, sample_bids(sample.n), sample, shorter);
  sample.place_free_rows(shorter);
  report.bids += (shorter.bids + 1) / 2;
  report.steps += (shorter.steps + 1) / 2;
}

// The rows' profits fix the prices of all columns. The least is 0, and none is above Q
// (kernels/lap_auction.h): a price exceeds another by what one row's scores differ at most.
void extend_prices(const LapProblem& sample, const Sampled& rows, LapProblem& problem) {
  const std::int64_t n = problem.n;
  std::fill(problem.ask, problem.ask + n, -lap::kFar);
  for (std::int64_t k = 0; k < sample.n; ++k) {
    const std::int32_t column = sample.column_of_row[k];
    const std::int32_t profit = sample.row(k)[column] - sample.price(column);
    const std::int32_t* score = problem.row(rows[k]);
    for (std::int64_t j = 0; j < n; ++j) {
      problem.ask[j] = std::max(problem.ask[j], score[j] - profit);
    }
  }
  const std::int32_t least = *std::min_element(problem.ask, problem.ask + n);
  for (std::int64_t j = 0; j < n; ++j) problem.ask[j] -= least;
  std::fill(problem.ask + n, problem.ask + problem.columns, lap::kClosed);
}

// Prices for all columns; everybody is free.
void price_by_sample(Scratch::Frame& frame, LapProblem& problem, LapReport& report) {
  link_twins(frame, problem);
  const std::int64_t n = problem.n, step = sample_step(problem), size = n / step;
  auto* const rows = frame.take<std::int32_t>(n);
  auto* const columns = frame.take<std::int32_t>(n);
  auto* const spare = frame.take<std::int32_t>(n);
  auto* const position = frame.take<Position>(n);
  std::iota(rows, rows + n, 0);
  std::iota(columns, columns + n, 0);
  positions_of_rows(problem, position);
  order_by_position(rows, rows + n, position, spare);
  positions_of_columns(problem, position);
  order_by_position(columns, columns + n, position, spare);

  LapProblem sample(frame, size, frame.take<std::int32_t>(size));
  const Sampled sampled_rows{rows, step};
  std::int32_t* const sampled_columns = spare;
  for (std::int64_t k = 0; k < size; ++k) sampled_columns[k] = columns[step * k];
  for (std::int64_t k = 0; k < size; ++k) {
    const std::int32_t* score = problem.row(sampled_rows[k]);
    std::int32_t* to = sample.scores + k * sample.columns;
    for (std::int64_t l = 0; l < size; ++l) to[l] = score[sampled_columns[l]];
    std::fill(to + size, to + sample.columns, 0);
  }
  solve_sample(frame, sample, report);
  extend_prices(sample, sampled_rows, problem);
  problem.clear_seats();
}

}  // namespace

void open_sampled(Scratch::Frame& frame, const float* scores, const lap::Quantiser& quantise,
                  LapProblem& problem, LapReport& report) {
  parallel_for(problem.n, scan_work(problem.n, problem.n),
               [&](std::int64_t i) { problem.quantise_row(i, scores + i * problem.n, quantise); });
  price_by_sample(frame, problem, report);
  reduce_rows(frame, sample_bids(problem.n), problem, report);
}

}  // namespace nat::cpu
