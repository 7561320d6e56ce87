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

  // An exact seat for each free row, one after the other, by a shortest path of exchanges.
  void place_free_rows(LapReport& report);

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

 private:
  void place(std::int32_t free_row, LapReport& report);

  std::int32_t* open_ask_;    // (columns) ask, or kClosed once passed by this search
  std::int32_t* distance_;    // (columns) of the search, + taken
  std::int32_t* from_;        // (columns) row from which the distance was reached
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

// The two steps of open_jv, for scores that are quantised: prices and seats from column maxima;
// bids of the free rows, from any prices.
void reduce_columns(LapProblem& problem);
void reduce_rows(Scratch::Frame& frame, LapProblem& problem, LapReport& report);

// Smaller problems, and samples, begin with the maxima of their columns instead.
inline constexpr std::int64_t kLeastSampled = 64;

// Whether scores (n, n), finite, have a rank of 3 or less but for some noise: where open_sampled is
// the opening to take.
bool has_low_rank(const float* scores, std::int64_t n);

}  // namespace nat::cpu
