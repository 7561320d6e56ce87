// The assignment told as an auction, and the arithmetic that the CPU and CUDA solvers share, so
// that they find the same permutation, prices and counts bit for bit.
//
// A column asks a price; a row's profit from a column is score - price. A row that sits on a column
// of its largest profit is content. When every row sits on a column of its own and is content, the
// assignment is optimal and the prices prove it: the bound of kernels/lap.h equals the value.
//
// A free row bids: it takes its best column and raises the price by its lead over the second best
// plus `raise`; the row that sat there is free again.
//   raise = 0  leaves the bidder content. Where its best two columns are equal and taken it could
//              only bid for nothing: such a row waits.
//   raise > 0  leaves it content up to `raise`, and never waits: crowds of equal rows that would
//              outbid each other by next to nothing are through in few bids.
//
// In a round of the auction all free rows bid at once on the prices of the round before; of several
// bids for a column the highest wins, the lowest row on ties. Rounds form phases. In each phase
// everybody starts without a column, from the prices of the phase before, and it ends early: when
// only few rows are free, since the last ones take most of the rounds.
//   trial   raise 0, four rounds from the column means: rows that lean to their own column are done
//   scaled  raise Q/64, then 1/alpha of it each time, down to Q/finest_div: prices come close to
//           final ones
//   exact   raise 0: whoever has a column is content
// The rows still free, a few in a hundred, are placed one by one along the cheapest chain of
// exchanges that ends in a free column, found by Dijkstra's algorithm over what each row loses by
// an exchange; this keeps the others content. Rows of equal scores, twins, are content with the
// same columns: a search that reaches one of them has reached them all, and passes their seats in
// the same step. An auction without scaling, or one that runs to its end, may take a hundred times
// as many rounds.
//
// Scores and prices are held doubled, so they are even. What a column asks is its price, plus 1
// while it is taken: of two columns of equal price the free one looks better, and the lowest bit of
// the winner of a scan tells which kind it is.
//
// No sum overflows. Let Q = 2 kLapLevels be the largest doubled score.
// - Auction: a bid exceeds the least price among the other columns by Q + raise at most (a row's
//   second best profit is at least what that column offers). Prices never fall, so they always lie
//   within Q + raise of each other. While a column stays untouched in a phase, its old price limits
//   the bids, and when none is left no row is free; so a phase adds Q + raise at most to the
//   highest price. Column means are at most Q, there are at most 21 phases (alpha 2, finest_div
//   2^24), and prices stay below 23 Q; the padding, at kClosed = 32 Q, stays the worst choice.
// - The least price is subtracted before the chains, so that prices start in [0, R], R = Q + Q/64;
//   for jv they start in [0, Q]. A price stays while its column is free. While some column k is
//   free, a content row i on column j has score_ij - price_j >= score_ik - price_k >= -R, hence
//   prices are at most R + Q; the last exchange may reach R + 2Q, and then the work is done. (A bid
//   of jv leaves the bidder's twins content as well, so this holds for their seats too.) In a
//   search (distances are measured from a start row of profit 0) the nearest column is within
//   [-Q, R], the profit of a row that leaves its column within [-R, Q], so every distance is within
//   6Q of 0. The marks kFar, "not reached", and kClosed, "not for sale", keep 8Q from real values,
//   from each other and from 2^31.
// - A constant c taken off all scores of a row changes nothing. Bids, preferences and waiting
//   compare profits within a row, a bid is score - second best, twins have the same c, and in a
//   search c cancels between the seat that a row leaves and the one that it takes. Only the c of
//   the start row stays: it moves all distances alike, and prices rise by differences of those.
//   CUDA takes off Q/2 or Q/2 + 2 where it packs scores (kernels/cuda/lap/packed_scores.cuh): the
//   bounds above then hold with Q/2 + 2 more.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <utility>

#include "kernels/host_device.h"
#include "kernels/lap.h"

namespace nat::lap {

inline constexpr std::int32_t kLargest = 2 * kLapLevels;  // Q
inline constexpr std::int32_t kFar = 1 << 29;
inline constexpr std::int32_t kClosed = 1 << 30;
inline constexpr std::int32_t kNone = -1;
inline constexpr std::int64_t kRowMultiple = 8;  // rows are padded to whole vectors
static_assert(16 * kLargest <= kFar && kFar + 8 * kLargest <= kClosed);

NAT_HOST_DEVICE constexpr std::int64_t padded(std::int64_t n) {
  return (n + kRowMultiple - 1) / kRowMultiple * kRowMultiple;
}

// ---- asks and bids ------------------------------------------------------------------------------

NAT_HOST_DEVICE constexpr bool taken(std::int32_t ask) { return (ask & 1) != 0; }
NAT_HOST_DEVICE constexpr std::int32_t price_of(std::int32_t ask) { return ask & ~1; }
// score - price, from score - ask.
NAT_HOST_DEVICE constexpr std::int32_t even(std::int32_t profit) { return (profit + 1) & ~1; }

// The two largest of score - ask over the columns of a row.
struct TopTwo {
  std::int32_t best, second;
  std::int32_t column;  // of best, the lowest on ties
};

struct Bid {
  std::int32_t column;  // kNone: the row waits
  std::int32_t price;
};

// `ask` and `score` are those of the row's own column, which it prefers among equals: a row that
// has nothing to win stays where it is.
NAT_HOST_DEVICE constexpr std::int32_t preferred_column(const TopTwo& top, std::int32_t row,
                                                        std::int32_t score, std::int32_t ask) {
  return score - ask == top.best ? row : top.column;
}

// `score` is that of the column. The best profit is odd where the column is taken.
NAT_HOST_DEVICE constexpr Bid bid_for(const TopTwo& top, std::int32_t column, std::int32_t score,
                                      std::int32_t raise) {
  const std::int32_t second = even(top.second);
  const bool waits = raise == 0 && taken(top.best) && even(top.best) == second;
  return {waits ? kNone : column, score - second + raise};
}

// A bid as one number: the higher price is larger, then the lower row. 0 is below every bid.
NAT_HOST_DEVICE constexpr std::uint64_t offer(std::int32_t price, std::int32_t row) {
  return static_cast<std::uint64_t>(price) << 32 | static_cast<std::uint32_t>(~row);
}
NAT_HOST_DEVICE constexpr std::int32_t row_of(std::uint64_t offer) {
  return static_cast<std::int32_t>(~static_cast<std::uint32_t>(offer));
}
NAT_HOST_DEVICE constexpr std::int32_t price_of(std::uint64_t offer) {
  return static_cast<std::int32_t>(offer >> 32);
}

// ---- equal rows ---------------------------------------------------------------------------------

// Of the first scores of a row. Twins are the lowest row with a key and those rows with the same
// key that equal it in every score: whoever knows them, in whatever order it looks, knows the same.
NAT_HOST_DEVICE constexpr std::uint32_t row_key(const std::int32_t* score) {
  // Any odd numbers will do.
  constexpr std::uint64_t kFactors[] = {0x9e3779b97f4a7c15u, 0xbf58476d1ce4e5b9u,
                                        0x94d049bb133111ebu, 0xd6e8feb86659fd93u};
  static_assert(2 * sizeof kFactors == kRowMultiple * sizeof(std::uint64_t));
  std::uint64_t key = 0;
  for (const std::uint64_t factor : kFactors) {
    key += factor * (static_cast<std::uint32_t>(score[0]) |
                     static_cast<std::uint64_t>(static_cast<std::uint32_t>(score[1])) << 32);
    score += 2;
  }
  return static_cast<std::uint32_t>(key >> 32);
}

// ---- phases -------------------------------------------------------------------------------------

struct Phase {
  std::int32_t raise;      // doubled, as prices are
  std::int32_t free_rows;  // ends when no more than so many rows are free,
  std::int32_t round_cap;  // or after so many rounds
};

// What an option of 0 stands for. A round costs a CPU what its bidders take, and a GPU the latency
// of memory and of the blocks' meeting, however many bid: there, many rounds, also the large ones
// that a phase begins with, are cheaper than the few long chains that they save
// (docs/decisions/0008-the-assignment-on-a-gpu.md, 0014-scores-over-a-cluster.md). Above 2,048 rows
// the CPU saves chains too, which one thread follows alone. Scores of low rank are what meets the
// cap: a phase that it cuts off leaves many rows to chains that lead through all the others.
constexpr LapOptions resolved(Device device, std::int64_t n, LapOptions options) {
  const bool cuda = device == Device::cuda;
  const auto by_size = [n](std::initializer_list<std::pair<std::int64_t, int>> steps) {
    int value = 0;
    for (const auto& [up_to, choice] : steps) {
      value = choice;
      if (n <= up_to) break;
    }
    return value;
  };
  constexpr std::int64_t kAny = std::numeric_limits<std::int64_t>::max();
  if (options.alpha == 0) options.alpha = cuda ? by_size({{8192, 3}, {kAny, 8}}) : 8;
  if (options.round_cap == 0) {
    options.round_cap = static_cast<int>(cuda ? std::max<std::int64_t>(256, n)
                                              : std::max<std::int64_t>(64, n / 16));
  }
  if (options.finest_div == 0) {
    options.finest_div = cuda ? by_size({{256, 1 << 15}, {1024, 1 << 16}, {kAny, 1 << 18}})
                              : by_size({{2048, 1 << 12}, {kAny, 1 << 15}});
  }
  if (options.cut_div == 0) {
    options.cut_div = cuda ? by_size({{256, 16}, {512, 64}, {8192, 128}, {kAny, 2048}})
                           : by_size({{512, 16}, {2048, 32}, {kAny, 128}});
  }
  return options;
}

class Schedule {
 public:
  // `options` are resolved().
  Schedule(std::int64_t n, const LapOptions& options)
      : alpha_(options.alpha),
        round_cap_(options.round_cap),
        least_raise_(kLargest / options.finest_div),
        cut_(static_cast<std::int32_t>(n / options.cut_div)) {}

  NAT_HOST_DEVICE Phase trial() const { return {0, cut_ / 4, 4}; }
  NAT_HOST_DEVICE Phase first_scaled() const { return {kLargest / 64, cut_, round_cap_}; }
  NAT_HOST_DEVICE Phase next_scaled(const Phase& phase) const {
    return {price_of(phase.raise / alpha_), cut_, round_cap_};
  }
  NAT_HOST_DEVICE bool is_scaled(const Phase& phase) const { return phase.raise >= least_raise_; }
  NAT_HOST_DEVICE Phase exact() const { return {0, cut_ / 4, round_cap_}; }

 private:
  std::int32_t alpha_, round_cap_, least_raise_, cut_;
};

// ---- quantisation -------------------------------------------------------------------------------

// Float scores to doubled levels. In double, where differences and products of floats of any range
// neither overflow nor vanish.
struct Quantiser {
  double low, scale;

  NAT_HOST_DEVICE Quantiser(float low_, float high)
      : low(low_), scale(high > low_ ? kLapLevels / (double{high} - low) : 0) {}
  NAT_HOST_DEVICE std::int32_t operator()(float score) const {
    return 2 * static_cast<std::int32_t>(std::rint((double{score} - low) * scale));
  }
};

NAT_HOST_DEVICE constexpr double quantum(float low, float high) {
  return (double{high} - double{low}) / kLapLevels;
}

// Sums of doubles have one order on every device: partial sum l takes the elements l, l + 32, ...;
// then l takes in l + 16, l + 8, ..., l + 1.
inline constexpr int kPartialSums = 32;

}  // namespace nat::lap
