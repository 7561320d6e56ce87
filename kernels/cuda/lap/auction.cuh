// The phases of the auction (kernels/lap_auction.h) by a crew: the same steps as in
// kernels/cpu/lap/auction.cpp, a warp for each bidder, then a thread for each. Most rounds of a
// phase have few bidders, and meeting takes a crew longer than such a round takes a block: the
// first block holds them alone, while the others wait for the end of the phase.
#pragma once

#include "kernels/cuda/lap/desk.cuh"

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
    problem.bidder_counts[1] = 0;
    problem.control->waiting = 0;
    ++problem.control->counts.phases;
  }
}

// A row about to bid. What it would pay for its own column is read before its columns are scanned.
struct LapBidder {
  std::int32_t row;
  std::int32_t own_score, own_ask;

  __device__ LapBidder(const LapProblem& problem, std::int32_t i, std::int32_t score)
      : row(i), own_score(score), own_ask(problem.ask[i]) {}
  __device__ LapBidder(const LapProblem& problem, std::int32_t i)
      : LapBidder(problem, i, problem.row(i)[i]) {}

  // By one thread, once the two best of the row's columns are known.
  __device__ void place(const LapProblem& problem, const lap::TopTwo& top, std::int32_t raise,
                        lap::Bid& placed) const {
    const std::int32_t column = lap::preferred_column(top, row, own_score, own_ask);
    const std::int32_t score = top.best + problem.ask[column];
    const lap::Bid bid = lap::bid_for(top, column, score, raise);
    placed = bid;
    if (bid.column != lap::kNone) {
      atomicMax(&problem.offers[column], lap::offer(bid.price, row));
    }
  }
};

// The bidders of a round are bidders_of(round); accept_bids() lists those of the next. The order in
// which they are listed is left to chance and changes nothing.

template <class Crew>
__device__ void place_bids(const Crew& crew, const LapProblem& problem, int round, int count,
                           std::int32_t raise) {
  const std::int32_t* bidders = problem.bidders_of(round);
  for (auto k = static_cast<int>(warp_of(crew)); k < count; k += static_cast<int>(warps_of(crew))) {
    const LapBidder bidder(problem, bidders[k]);
    const lap::TopTwo top = top_two(problem.row(bidder.row), problem.ask, problem.columns);
    if (lane() == 0) bidder.place(problem, top, raise, problem.bids[k]);
  }
}

// The same where there are warps for all bidders: `team` of a block share a row. Both are powers of
// two.
template <class Crew>
__device__ void place_bids_in_teams(const Crew& crew, const LapProblem& problem, int round,
                                    int count, std::int32_t raise, int team) {
  __shared__ lap::TopTwo seen[kWarp];  // by each warp of the block
  const int warp = static_cast<int>(threadIdx.x / kWarp);
  const int k = static_cast<int>(warp_of(crew)) / team;
  const bool bids = k < count;
  const LapBidder bidder(problem, problem.bidders_of(round)[bids ? k : 0]);
  if (bids) {
    const lap::TopTwo top = warp_top_two(
        scan_share(problem.row(bidder.row), problem.ask, problem.columns, warp % team, team));
    if (lane() == 0) seen[warp] = top;
  }
  __syncthreads();
  if (!bids || warp % team != 0) return;
  const bool is_member = static_cast<int>(lane()) < team;
  const lap::TopTwo top =
      warp_top_two(is_member ? seen[warp + static_cast<int>(lane())] : none_seen());
  if (lane() == 0) bidder.place(problem, top, raise, problem.bids[k]);
}

// A column has one winner, who alone writes to it. Offers of earlier rounds need no clearing: a
// column once taken in a phase is only given away for more. The count of the round after the next
// is cleared while that of the next grows.
template <class Crew>
__device__ void accept_bids(const Crew& crew, const LapProblem& problem, int round, int count) {
  const std::int32_t* bidders = problem.bidders_of(round);
  if (crew.rank() == 0) problem.bidder_counts[(round + 2) % 3] = 0;
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
    if (loser != lap::kNone) {
      const int at = atomicAdd(&problem.bidder_counts[(round + 1) % 3], 1);
      problem.bidders_of(round + 1)[at] = loser;
    }
  }
}

// Where a phase is; every thread of the crew knows.
struct LapProgress {
  int round = 0, count = 0;  // rounds held, and bidders of the next
  std::int64_t bids = 0;

  __device__ bool goes_on(const lap::Phase& phase) const {
    return round < phase.round_cap && count > phase.free_rows;
  }
  __device__ void end_round(const LapProblem& problem) {
    bids += count;
    count = problem.bidder_counts[(round + 1) % 3];
    ++round;
  }
  // By one thread.
  __device__ void end_phase(LapControl& control) const {
    control.free_rows = count + control.waiting;
    control.counts.rounds += round;
    control.counts.bids += bids;
  }
};

// One round, by the whole crew.
template <class Crew>
__device__ void hold_round(const Crew& crew, const LapProblem& problem, std::int32_t raise,
                           LapProgress& progress) {
  const int block_warps = static_cast<int>(blockDim.x / kWarp);
  int team = 1;
  while (2 * team <= block_warps && 2 * team * progress.count <= static_cast<int>(warps_of(crew))) {
    team *= 2;
  }
  if (team > 1) {
    place_bids_in_teams(crew, problem, progress.round, progress.count, raise, team);
  } else {
    place_bids(crew, problem, progress.round, progress.count, raise);
  }
  crew.sync();
  accept_bids(crew, problem, progress.round, progress.count);
  crew.sync();
  progress.end_round(problem);
}

// So few that one block alone is done with a round before a crew of several has met twice.
__device__ inline int few_bidders(std::int64_t columns) {
  constexpr std::int64_t kScores = 1 << 15;
  const std::int64_t fitting = kScores / columns;
  return fitting < kFewBidders ? static_cast<int>(fitting) : kFewBidders;
}

// The rounds from `progress` to the end of the phase, by one block at its desk.
__device__ inline void hold_last_rounds(const lap::Phase& phase, const LapProblem& problem,
                                        const LapProblem& desk, LapProgress& progress) {
  const BlockCrew block;
  for (auto k = static_cast<int>(block.rank()); k < progress.count;
       k += static_cast<int>(block.size())) {
    desk.bidders_of(progress.round)[k] = problem.bidders_of(progress.round)[k];
  }
  if (has_all_vectors(problem.desk)) {
    for (std::int64_t j = block.rank(); j < desk.columns; j += block.size()) desk.offers[j] = 0;
  }
  if (block.rank() == 0) desk.bidder_counts[(progress.round + 1) % 3] = 0;
  take_to_desk(problem, desk);
  while (progress.goes_on(phase)) hold_round(block, desk, phase.raise, progress);
  bring_back(desk, problem);
}

// Returns whether the phase ended with no more free rows than it wants.
template <class Crew>
__device__ bool hold(const Crew& crew, const lap::Phase& phase, const LapProblem& problem,
                     const LapProblem& desk) {
  clear_seats(crew, problem);
  crew.sync();
  LapProgress progress{.count = static_cast<int>(problem.n)};
  while (progress.goes_on(phase) && progress.count > few_bidders(problem.columns)) {
    hold_round(crew, problem, phase.raise, progress);
  }
  if (crew.has_first_block()) {
    if (progress.goes_on(phase)) hold_last_rounds(phase, problem, desk, progress);
    if (crew.rank() == 0) progress.end_phase(*problem.control);
  }
  crew.sync();
  return problem.control->free_rows <= phase.free_rows;
}

// hold(phase) holds one of those after the trial.
template <class Hold>
__device__ void hold_phases(const lap::Schedule& schedule, Hold hold) {
  bool last = false;
  for (lap::Phase phase = schedule.first_scaled(); !last; phase = schedule.next_scaled(phase)) {
    last = !schedule.is_scaled(phase);
    hold(last ? schedule.exact() : phase);
  }
}

}  // namespace nat::gpu
