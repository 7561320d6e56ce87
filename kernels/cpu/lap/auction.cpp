// The opening by an auction (kernels/lap_auction.h): the bids of a round are independent, and all
// threads place them. Results do not depend on the number of threads.
#include <algorithm>
#include <numeric>
#include <utility>

#include "kernels/cpu/lap/problem.h"
#include "kernels/cpu/lap/scan.h"
#include "kernels/parallel.h"

namespace nat::cpu {

using lap::kNone;

namespace {

class Auction {
 public:
  Auction(Scratch::Frame& frame, LapProblem& problem, LapReport& report)
      : problem_(problem),
        report_(report),
        bids_(frame.take<lap::Bid>(problem.n)),
        offers_(frame.take<std::uint64_t>(problem.columns)),
        bidders_(frame.take<std::int32_t>(problem.n)),
        still_free_(frame.take<std::int32_t>(problem.n)) {}

  void hold(const lap::Schedule& schedule) {
    if (hold(schedule.trial())) return;
    for (lap::Phase phase = schedule.first_scaled(); schedule.is_scaled(phase);
         phase = schedule.next_scaled(phase)) {
      hold(phase);
    }
    hold(schedule.exact());
  }

 private:
  // Returns whether it ended with no more free rows than the phase wants.
  bool hold(const lap::Phase& phase) {
    problem_.clear_seats();
    std::fill(offers_, offers_ + problem_.columns, 0);
    std::iota(bidders_, bidders_ + problem_.n, 0);
    bidder_count_ = problem_.n;
    std::int64_t waiting = 0;
    for (std::int32_t round = 0; round < phase.round_cap && bidder_count_ > phase.free_rows;
         ++round) {
      place_bids(phase.raise);
      waiting += accept_bids();
      ++report_.rounds;
    }
    ++report_.phases;
    return bidder_count_ + waiting <= phase.free_rows;
  }

  void place_bids(std::int32_t raise) {
    const std::int32_t* ask = problem_.ask;
    parallel_for(bidder_count_, scan_work(problem_.n, bidder_count_), [&](std::int64_t k) {
      const std::int32_t i = bidders_[k];
      const std::int32_t* score = problem_.row(i);
      const lap::TopTwo top = top_two(score, ask, problem_.columns);
      const std::int32_t column = lap::preferred_column(top, i, score[i], ask[i]);
      bids_[k] = lap::bid_for(top, column, score[column], raise);
    });
    report_.bids += bidder_count_;
    for (std::int64_t k = 0; k < bidder_count_; ++k) {
      const lap::Bid& bid = bids_[k];
      if (bid.column == kNone) continue;
      offers_[bid.column] = std::max(offers_[bid.column], lap::offer(bid.price, bidders_[k]));
    }
  }

  // Offers of earlier rounds need no clearing: a column once taken in a phase is only given away
  // for more. Returns how many rows have begun to wait.
  std::int64_t accept_bids() {
    std::int64_t free_count = 0, waiting = 0;
    for (std::int64_t k = 0; k < bidder_count_; ++k) {
      const auto [column, price] = bids_[k];
      const std::int32_t i = bidders_[k];
      if (column == kNone) {
        ++waiting;
      } else if (lap::row_of(offers_[column]) != i) {
        still_free_[free_count++] = i;
      } else {
        const std::int32_t evicted = problem_.row_of_column[column];
        if (evicted != kNone) {
          problem_.column_of_row[evicted] = kNone;
          still_free_[free_count++] = evicted;
        }
        problem_.ask[column] = price;
        problem_.assign(i, column);
      }
    }
    std::swap(bidders_, still_free_);
    bidder_count_ = free_count;
    return waiting;
  }

  LapProblem& problem_;
  LapReport& report_;
  lap::Bid* bids_;            // (n) of bidders_
  std::uint64_t* offers_;     // (columns) highest of the phase
  std::int32_t* bidders_;     // (n) rows that bid in this round
  std::int32_t* still_free_;  // (n) those of the next
  std::int64_t bidder_count_ = 0;
};

// Quantises the scores and starts the prices at the column means, which takes out what all rows
// share. Rows are summed while they are at hand, kRows of them as integers of 32 bits.
void quantise_all(Scratch::Frame& frame, const float* scores, const lap::Quantiser& quantise,
                  LapProblem& problem) {
  constexpr std::int64_t kRows = 32;
  static_assert(kRows * lap::kLargest <= 1 << 30);
  const std::int64_t n = problem.n, columns = problem.columns;
  const std::int64_t groups = (n + kRows - 1) / kRows;
  auto* const sums = frame.take<std::int32_t>(groups * columns);
  parallel_for(groups, scan_work(n, n), [&](std::int64_t group) {
    std::int32_t* sum = sums + group * columns;
    std::fill(sum, sum + columns, 0);
    for (std::int64_t i = group * kRows; i < std::min(n, (group + 1) * kRows); ++i) {
      problem.quantise_row(i, scores + i * n, quantise);
      const std::int32_t* row = problem.row(i);
      for (std::int64_t j = 0; j < columns; ++j) sum[j] += row[j];
    }
  });
  parallel_for(columns / lap::kRowMultiple, scan_work(n, groups), [&](std::int64_t block) {
    std::int64_t total[lap::kRowMultiple] = {};
    const std::int64_t begin = block * lap::kRowMultiple;
    for (std::int64_t group = 0; group < groups; ++group) {
      for (std::int64_t j = 0; j < lap::kRowMultiple; ++j) {
        total[j] += sums[group * columns + begin + j];
      }
    }
    for (std::int64_t j = 0; j < lap::kRowMultiple; ++j) {
      problem.ask[begin + j] = lap::price_of(static_cast<std::int32_t>(total[j] / n));
    }
  });
  std::fill(problem.ask + n, problem.ask + columns, lap::kClosed);
}

void lower_prices(LapProblem& problem) {
  std::int32_t* ask = problem.ask;
  const std::int32_t least = lap::price_of(*std::min_element(ask, ask + problem.n));
  for (std::int64_t j = 0; j < problem.n; ++j) ask[j] -= least;
}

}  // namespace

void open_auction(Scratch::Frame& frame, const float* scores, const lap::Quantiser& quantise,
                  const lap::Schedule& schedule, LapProblem& problem, LapReport& report) {
  quantise_all(frame, scores, quantise, problem);
  Auction(frame, problem, report).hold(schedule);
  lower_prices(problem);
  if (!problem.all_seated()) link_twins(frame, problem);
}

}  // namespace nat::cpu
