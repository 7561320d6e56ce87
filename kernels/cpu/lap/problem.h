// One assignment problem in integers while it is being solved: scores, what each column asks, who
// sits where. Words, encoding and the proof that nothing overflows: kernels/lap_auction.h.
//
// An opening (below) sets asks and seats most rows, all of them content; place_free_rows() finds a
// column for each of the others.
#pragma once

#include <cstdint>

#include "kernels/context.h"
#include "kernels/lap.h"
#include "kernels/lap_auction.h"

namespace nat::cpu {

struct LapProblem {
  // Borrows memory for a problem of n rows; column_of_row is the caller's, (n).
  LapProblem(Scratch::Frame& frame, std::int64_t n, std::int32_t* column_of_row);

  void quantise_row(std::int64_t i, const float* from, const lap::Quantiser& quantise);
  void clear_seats();  // prices stay
  void assign(std::int32_t row, std::int32_t column);
  // Calls visit(column) for the seat of each twin of the row.
  template <class Visit>
  void for_seats_of_twins(std::int32_t row, Visit visit) const {
    for (std::int32_t twin = next_twin[row]; twin != row; twin = next_twin[twin]) {
      if (column_of_row[twin] != lap::kNone) visit(column_of_row[twin]);
    }
  }

  // An exact seat for each free row, one after the other, by a shortest path of exchanges.
  void place_free_rows(LapReport& report);

  bool all_seated() const;
  const std::int32_t* row(std::int64_t i) const { return scores + i * columns; }
  std::int32_t price(std::int64_t column) const { return lap::price_of(ask[column]); }
  bool taken(std::int64_t column) const { return lap::taken(ask[column]); }
  std::int64_t quanta(std::int64_t i, std::int64_t j) const { return row(i)[j] / 2; }
  std::int64_t bound_quanta() const;  // what the prices prove

  std::int64_t n, columns;      // columns: n rounded up; the padding is never for sale
  std::int32_t* scores;         // (n, columns), doubled
  std::int32_t* ask;            // (columns) doubled price + taken
  std::int32_t* row_of_column;  // (columns) or kNone
  std::int32_t* column_of_row;  // (n) or kNone
  std::int32_t* next_twin;      // (n) rows of equal scores in a ring; the row itself if it has none
  std::int64_t distinct_rows;   // rings

 private:
  void place(std::int32_t free_row, LapReport& report);
  void close(std::int32_t column, std::int32_t distance);
  void close_twins(std::int32_t row, std::int32_t base);

  std::int32_t* open_ask_;  // (columns) ask, or kClosed once passed by this search
  std::int32_t* distance_;  // (columns) of the search, + taken
  std::int32_t* from_;      // (columns) row from which the distance was reached
  std::int64_t closed_count_ = 0;
  std::int32_t* closed_;      // (n) columns passed, in order
  std::int32_t* closed_at_;   // (n) their distances
  std::int32_t* seat_score_;  // (n) scores[row_of_column[j], j] of a taken column, near at hand
};

// Openings: they quantise all scores, set prices and seat rows. Counts go to the report.
void open_jv(Scratch::Frame& frame, const float* scores, const lap::Quantiser& quantise,
             LapProblem& problem, LapReport& report);
void open_sampled(Scratch::Frame& frame, const float* scores, const lap::Quantiser& quantise,
                  LapProblem& problem, LapReport& report);
void open_auction(Scratch::Frame& frame, const float* scores, const lap::Quantiser& quantise,
                  const lap::Schedule& schedule, LapProblem& problem, LapReport& report);

// Of every opening that leaves rows free, once scores are quantised: which rows are twins.
void link_twins(Scratch::Frame& frame, LapProblem& problem);

// The two steps of open_jv, for scores that are quantised: prices and seats from column maxima;
// bids of the free rows, from any prices, at most so many.
void reduce_columns(LapProblem& problem);
void reduce_rows(Scratch::Frame& frame, std::int64_t most_bids, LapProblem& problem,
                 LapReport& report);

// Bids replace searches, which cost many more steps each, but without a limit they can go on for
// very long (low rank, near ties). The longer rows are, the longer are searches: the best budget
// was about 2 bids a row at n = 128, 2.5 at 256, 4 at 512 and 6 at 1000, and a third more or less
// cost little (docs/decisions/0007-the-assignment-on-a-cpu.md).
std::int64_t bid_budget(std::int64_t n);

// Smaller problems, and samples, begin with the maxima of their columns instead.
inline constexpr std::int64_t kLeastSampled = 64;

// Whether scores (n, n), finite, have a rank of 3 or less but for some noise: where open_sampled is
// the opening to take.
bool has_low_rank(const float* scores, std::int64_t n);

// Whether so many rows (of 8 scores and more) begin alike that jv is faster than the auction.
bool has_many_twins(Scratch::Frame& frame, const float* scores, std::int64_t n);

}  // namespace nat::cpu
