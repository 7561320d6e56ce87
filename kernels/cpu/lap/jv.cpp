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

// The seats of a bidder's twins. Twins are content with the same columns, so that what one of them
// bids for is a column more for all: meanwhile their own seats are not for sale, and afterwards
// they are left with the profit that the bidder is left with.
class TwinSeats {
 public:
  TwinSeats(LapProblem& problem, std::int32_t* columns) : problem_(problem), columns_(columns) {}

  void close(std::int32_t bidder) {
    count_ = 0;
    problem_.for_seats_of_twins(bidder, [&](std::int32_t column) {
      columns_[count_++] = column;
      problem_.ask[column] = lap::kClosed;
    });
  }
  bool empty() const { return count_ == 0; }
  void reopen(const std::int32_t* score, std::int32_t profit) {
    for (std::int64_t k = 0; k < count_; ++k) {
      problem_.ask[columns_[k]] = (score[columns_[k]] - profit) | 1;
    }
  }

 private:
  LapProblem& problem_;
  std::int32_t* columns_;  // (n)
  std::int64_t count_ = 0;
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

std::int64_t bid_budget(std::int64_t n) {
  const auto rows = static_cast<double>(n);
  return static_cast<std::int64_t>(rows * std::sqrt(rows) * (5.0 / 32));
}

// Where the best two columns are equal and taken a row could only drive another one out for
// nothing, and waits for a search. But for a row whose twins have seats this would be a long one,
// and whom it drives out may have somewhere else to go.
//
// A row that is driven out bids last. Were it to bid next, every bid would wait for the one before,
// and two rows could go on outbidding each other while the others look on.
void reduce_rows(Scratch::Frame& frame, std::int64_t most_bids, LapProblem& problem,
                 LapReport& report) {
  TwinSeats twin_seats(problem, frame.take<std::int32_t>(problem.n));
  FreeRows free_rows(frame.take<std::int32_t>(problem.n), problem.n);
  for (std::int32_t i = 0; i < problem.n; ++i) {
    if (problem.column_of_row[i] == kNone) free_rows.push(i);
  }
  for (const std::int64_t most = report.bids + most_bids; !free_rows.empty() && report.bids < most;
       ++report.bids) {
    const std::int32_t bidder = free_rows.pop();
    const std::int32_t* score = problem.row(bidder);
    twin_seats.close(bidder);
    lap::TopTwo top = top_two(score, problem.ask, problem.columns);
    if (top.second < -lap::kFar) top.second = top.best;  // no other column is for sale
    twin_seats.reopen(score, lap::even(top.second));
    const lap::Bid bid = lap::bid_for(top, top.column, score[top.column], 0);
    const bool waits = bid.column == kNone;
    if (waits && twin_seats.empty()) continue;
    const std::int32_t evicted = problem.row_of_column[top.column];
    if (evicted != kNone) {
      problem.column_of_row[evicted] = kNone;
      free_rows.push(evicted);
    }
    problem.ask[top.column] = bid.price;
    problem.assign(bidder, top.column);
  }
}

void open_jv(Scratch::Frame& frame, const float* scores, const lap::Quantiser& quantise,
             LapProblem& problem, LapReport& report) {
  reduce_columns(
      problem, [&](std::int64_t i) { problem.quantise_row(i, scores + i * problem.n, quantise); });
  if (problem.all_seated()) return;
  link_twins(frame, problem);
  reduce_rows(frame, bid_budget(problem.n), problem, report);
}

}  // namespace nat::cpu
