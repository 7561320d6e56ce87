// The phases of the auction (kernels/lap_auction.h) by a crew: the same steps as in
// kernels/cpu/lap_auction.cpp, a warp for each bidder, then a thread for each.
#pragma once

#include "kernels/cuda/lap_problem.cuh"

namespace nat::gpu {

template <class Crew>
__device__ void clear_seats(const Crew& crew, const LapProblem& problem) {
  for (std::int64_t j = crew.rank(); j < problem.columns; j += crew.size()) {
    if (j < problem.n) problem.ask[j] = lap::price_of(problem.ask[j]);
    problem.row_of_column[j] = lap::kNone;
    problem.offers[j] = 0;
  }
  for (std::int64_t i = crew.rank(); i < problem.n; i += crew.size()) {
    problem.column_of_row[i] = lap::kNone;
    problem.bidders[i] = static_cast<std::int32_t>(i);
  }
  if (crew.rank() == 0) {
    problem.control->bidders[0] = static_cast<int>(problem.n);
    problem.control->bidders[1] = 0;
    problem.control->waiting = 0;
    ++problem.control->counts.phases;
  }
}

template <class Crew>
__device__ void place_bids(const Crew& crew, const LapProblem& problem, const std::int32_t* bidders,
                           int count, std::int32_t raise) {
  for (auto k = static_cast<int>(warp_of(crew)); k < count; k += static_cast<int>(warps_of(crew))) {
    const std::int32_t i = bidders[k];
    const std::int32_t* score = problem.row(i);
    const lap::TopTwo top = top_two(score, problem.ask, problem.columns);
    const std::int32_t column = lap::preferred_column(top, i, score[i], problem.ask[i]);
    const lap::Bid bid = lap::bid_for(top, column, score[column], raise);
    if (lane() != 0) continue;
    problem.bids[k] = bid;
    if (bid.column != lap::kNone) atomicMax(&problem.offers[column], lap::offer(bid.price, i));
  }
}

// A column has one winner, who alone writes to it. Offers of earlier rounds need no clearing: a
// column once taken in a phase is only given away for more.
template <class Crew>
__device__ void accept_bids(const Crew& crew, const LapProblem& problem,
                            const std::int32_t* bidders, int count, std::int32_t* still_free,
                            int* still_free_count) {
  for (auto k = static_cast<int>(crew.rank()); k < count; k += static_cast<int>(crew.size())) {
    const lap::Bid bid = problem.bids[k];
    const std::int32_t i = bidders[k];
    std::int32_t loser = i;
    if (bid.column == lap::kNone) {
      atomicAdd(&problem.control->waiting, 1);
      loser = lap::kNone;
    } else if (lap::row_of(problem.offers[bid.column]) == i) {
      loser = problem.row_of_column[bid.column];
      if (loser != lap::kNone) problem.column_of_row[loser] = lap::kNone;
      problem.assign(i, bid.column, bid.price);
    }
    if (loser != lap::kNone) still_free[atomicAdd(still_free_count, 1)] = loser;
  }
}

// Returns whether the phase ended with no more free rows than it wants. The order in which a round
// lists its bidders is left to chance and changes nothing.
template <class Crew>
__device__ bool hold(const Crew& crew, const lap::Phase& phase, const LapProblem& problem) {
  int* const bidder_count = problem.control->bidders;
  clear_seats(crew, problem);
  crew.sync();
  int count = static_cast<int>(problem.n);
  for (int round = 0; round < phase.round_cap && count > phase.free_rows; ++round) {
    const std::int32_t* bidders = problem.bidders + round % 2 * problem.n;
    std::int32_t* still_free = problem.bidders + (round + 1) % 2 * problem.n;
    place_bids(crew, problem, bidders, count, phase.raise);
    crew.sync();
    if (crew.rank() == 0) {
      bidder_count[(round + 2) % 3] = 0;
      problem.control->counts.bids += count;
      ++problem.control->counts.rounds;
    }
    accept_bids(crew, problem, bidders, count, still_free, &bidder_count[(round + 1) % 3]);
    crew.sync();
    count = bidder_count[(round + 1) % 3];
  }
  const bool done = count + problem.control->waiting <= phase.free_rows;
  crew.sync();
  return done;
}

template <class Crew>
__device__ void lower_prices(const Crew& crew, const LapProblem& problem) {
  std::int32_t least = INT_MAX;
  for (std::int64_t j = crew.rank(); j < problem.n; j += crew.size()) {
    least = problem.ask[j] < least ? problem.ask[j] : least;
  }
  least = __reduce_min_sync(kFullWarp, least);
  if (lane() == 0) atomicMin(&problem.control->least_price, lap::price_of(least));
  crew.sync();
  for (std::int64_t j = crew.rank(); j < problem.n; j += crew.size()) {
    problem.ask[j] -= problem.control->least_price;
  }
  crew.sync();
}

template <class Crew>
__device__ void hold_auction(const Crew& crew, const lap::Schedule& schedule,
                             const LapProblem& problem) {
  if (!hold(crew, schedule.trial(), problem)) {
    for (lap::Phase phase = schedule.first_scaled(); schedule.is_scaled(phase);
         phase = schedule.next_scaled(phase)) {
      hold(crew, phase, problem);
    }
    hold(crew, schedule.exact(), problem);
  }
  lower_prices(crew, problem);
}

}  // namespace nat::gpu
