// The opening of Jonker and Volgenant (kernels/lap.h): prices from above.
//
//   column reduction  price = column maximum; a column goes to a row that holds its maximum
//   row reduction     free rows bid by turns with raise 0. A budget ends it
#include <algorithm>
#include <cmath>

#include "kernels/cpu/lap/problem.h"
#include "kernels/cpu/lap/scan.h"

namespace nat::cpu {

using lap::kNone;

namespace {

// Bids replace searches, which cost many more steps each, but without a limit they can go on for
// very long (low rank, near ties). The longer rows are, the longer are searches: the best budget
// was about 2 bids a row at n = 128, 2.5 at 256, 4 at 512 and 6 at 1000, and a third more or less
// cost little (docs/decisions/0007-the-assignment-on-a-cpu.md).
std::int64_t bid_budget(std::int64_t n) {
  const auto rows = static_cast<double>(n);
  return static_cast<std::int64_t>(rows * std::sqrt(rows) * (5.0 / 32));
}

// A row that holds several column maxima gets its own column if that is one of them, else the
// first; the other columns stay free.
void assign_reduced_columns(LapProblem& problem) {
  const auto n = static_cast<std::int32_t>(problem.n);
  std::fill(problem.column_of_row, problem.column_of_row + n, kNone);
  for (std::int32_t j = 0; j < n; ++j) {
    if (problem.row_of_column[j] == j) problem.assign(j, j);
  }
  for (std::int32_t j = 0; j < n; ++j) {
    if (problem.taken(j)) continue;
    const std::int32_t holder = problem.row_of_column[j];
    problem.row_of_column[j] = kNone;
    if (problem.column_of_row[holder] == kNone) problem.assign(holder, j);
  }
}

// The rows without a column, in the order in which they became free.
class FreeRows {
 public:
  FreeRows(std::int32_t* rows, std::int64_t capacity) : rows_(rows), capacity_(capacity) {}
  bool empty() const { return count_ == 0; }
  void push(std::int32_t row) { rows_[wrapped(first_ + count_++)] = row; }
  std::int32_t pop() {
    const std::int32_t row = rows_[first_];
    first_ = wrapped(first_ + 1);
    --count_;
    return row;
  }

 private:
  std::int64_t wrapped(std::int64_t k) const { return k < capacity_ ? k : k - capacity_; }

  std::int32_t* rows_;  // (capacity) a ring
  std::int64_t capacity_, first_ = 0, count_ = 0;
};

// ask = column maximum. Of the rows that hold it a column prefers its own, else the first.
// make_row(i) is called for each row in turn before it is read: a row that was just written is read
// from the nearest cache.
template <class MakeRow>
void reduce_columns(LapProblem& problem, MakeRow make_row) {
  const std::int64_t n = problem.n, columns = problem.columns;
  make_row(0);
  std::copy(problem.row(0), problem.row(0) + columns, problem.ask);
  std::fill(problem.ask + n, problem.ask + columns, lap::kClosed);
  std::fill(problem.row_of_column, problem.row_of_column + columns, 0);
  for (std::int32_t i = 1; i < n; ++i) {
    make_row(i);
    raise_to(problem.row(i), columns, i, problem.ask, problem.row_of_column);
  }
  for (std::int32_t j = 0; j < n; ++j) {
    if (problem.row(j)[j] == problem.ask[j]) problem.row_of_column[j] = j;
  }
  assign_reduced_columns(problem);
}

}  // namespace

void reduce_columns(LapProblem& problem) {
  reduce_columns(problem, [](std::int64_t) {});
}

// A row that is driven out bids last. Were it to bid next, every bid would wait for the one before,
// and two rows could go on outbidding each other while the others look on.
void reduce_rows(Scratch::Frame& frame, LapProblem& problem, LapReport& report) {
  FreeRows free_rows(frame.take<std::int32_t>(problem.n), problem.n);
  for (std::int32_t i = 0; i < problem.n; ++i) {
    if (problem.column_of_row[i] == kNone) free_rows.push(i);
  }
  for (const std::int64_t most = report.bids + bid_budget(problem.n);
       !free_rows.empty() && report.bids < most; ++report.bids) {
    const std::int32_t bidder = free_rows.pop();
    const std::int32_t* score = problem.row(bidder);
    const lap::TopTwo top = top_two(score, problem.ask, problem.columns);
    const lap::Bid bid = lap::bid_for(top, top.column, score[top.column], 0);
    if (bid.column == kNone) continue;  // it waits for a search
    const std::int32_t evicted = problem.row_of_column[bid.column];
    if (evicted != kNone) {
      problem.column_of_row[evicted] = kNone;
      free_rows.push(evicted);
    }
    problem.ask[bid.column] = bid.price;
    problem.assign(bidder, bid.column);
  }
}

void open_jv(Scratch::Frame& frame, const float* scores, const lap::Quantiser& quantise,
             LapProblem& problem, LapReport& report) {
  reduce_columns(
      problem, [&](std::int64_t i) { problem.quantise_row(i, scores + i * problem.n, quantise); });
  reduce_rows(frame, problem, report);
}

}  // namespace nat::cpu
