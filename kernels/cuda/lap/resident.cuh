// The auction and the paths by a crew whose blocks have the scores in their shared memory
// (packed_scores.cuh): the same steps as in auction.cuh and paths.cuh. Every block holds all prices
// and seats. In a round each block bids for its own rows and tells all bids to all blocks
// (mail.cuh), and every block accepts them for itself: they all come to the same seats, and nothing
// else is told. The paths are searched by the first block, which reads the scores of the others.
#pragma once

#include <type_traits>

#include "kernels/cuda/lap/auction.cuh"
#include "kernels/cuda/lap/chunk_search.cuh"
#include "kernels/cuda/lap/mail.cuh"

namespace nat::gpu {

// With room for the largest share, so that the planes lie at the same place in every block.
__device__ inline PackedScores scores_on_desk(const LapProblem& problem, const LapShare& share) {
  return {(problem.n + share.step - 1) / share.step, problem.columns, behind_vectors(problem)};
}

// ---- bids ---------------------------------------------------------------------------------------

// The row waits for the end of the phase: it could only bid for nothing. In place of its column.
inline constexpr std::int32_t kWaits = -2;
static_assert(kWaits != lap::kNone);

// The bids of rounds by turns, by row; they lie where paths will keep what they know of columns.
__device__ inline lap::Bid* bids_of_turn(const LapProblem& desk, unsigned turn) {
  return reinterpret_cast<lap::Bid*>(desk.open_ask) + turn % 2 * desk.columns;
}

__device__ inline lap::TopTwo top_of_eight(const LaneNumbers& score, const LaneNumbers& ask,
                                           std::int32_t first) {
  std::int32_t profit[kLaneColumns];
  lap::TopTwo top{INT_MIN, INT_MIN, first};
#pragma unroll
  for (int k = 0; k < kLaneColumns; k += 2) {
    const std::int32_t a = profit[k] = score.of[k] - ask.of[k];
    const std::int32_t b = profit[k + 1] = score.of[k + 1] - ask.of[k + 1];
    top.second = max(max(top.second, min(a, b)), min(top.best, max(a, b)));
    top.best = max(top.best, max(a, b));
  }
#pragma unroll
  for (int k = kLaneColumns - 1; k >= 0; --k) {
    if (profit[k] == top.best) top.column = first + k;
  }
  return top;
}

// The same of more columns, all of them higher.
__device__ inline void add_higher(const lap::TopTwo& more, lap::TopTwo& top) {
  top.second = max(max(top.second, more.second), min(top.best, more.best));
  if (more.best <= top.best) return;
  top.best = more.best;
  top.column = more.column;
}

// Over all columns of a row, by a warp.
template <int kChunks>
__device__ lap::TopTwo packed_top_two(const PackedScores& scores, std::int32_t place,
                                      const LapProblem& desk) {
  lap::TopTwo top = none_seen();
#pragma unroll 2
  for (int c = 0; c < kChunks; ++c) {
    const LaneColumns own(desk.columns, c);
    add_higher(top_of_eight(scores.eight(place, own.first), own.asks(desk.ask), own.first), top);
  }
  return warp_top_two(top);
}

// By a warp, which knows it whole afterwards.
template <int kChunks>
__device__ lap::Bid bid_of(const PackedScores& scores, std::int32_t place, std::int32_t row,
                           const LapProblem& desk, std::int32_t raise) {
  const std::int32_t own_score = scores.row(place)[row], own_ask = desk.ask[row];
  const lap::TopTwo top = packed_top_two<kChunks>(scores, place, desk);
  const std::int32_t column = lap::preferred_column(top, row, own_score, own_ask);
  return lap::bid_for(top, column, top.best + desk.ask[column], raise);
}

// Calls bid(place) for those rows of the block that bid in this round, shared out among its warps.
template <class BidOfPlace>
__device__ void for_each_bidder(const LapShare& share, const LapProblem& desk, BidOfPlace bid) {
  const std::int32_t places = share.size(desk.n);
  const unsigned warps = blockDim.x / kWarp, warp = threadIdx.x / kWarp;  // powers of two
  unsigned before = 0;
  for (std::int32_t first = 0; first < places; first += static_cast<std::int32_t>(kWarp)) {
    const std::int32_t place = first + static_cast<std::int32_t>(lane());
    const bool bids = place < places && desk.column_of_row[share.row(place)] == lap::kNone;
    const unsigned bidders = __ballot_sync(kFullWarp, bids ? 1 : 0);
    const unsigned order = before + static_cast<unsigned>(__popc(bidders & ((1u << lane()) - 1)));
    before += static_cast<unsigned>(__popc(bidders));
    const bool is_mine = bids && (order & (warps - 1)) == warp;
    for (unsigned own = __ballot_sync(kFullWarp, is_mine ? 1 : 0); own != 0; own &= own - 1) {
      bid(first + __ffs(static_cast<int>(own)) - 1);
    }
  }
}

// ---- rounds -------------------------------------------------------------------------------------

// What a block does with the bids of a round: those of kRows rows are a thread's. A column has one
// winner; before any other thread reads what that one has written, the block meets. Seats change
// only behind the first meeting: until then other warps may still be looking for bidders.
template <int kRows>
class BidAcceptance {
 public:
  // `winners` is scratch, (columns).
  __device__ BidAcceptance(const LapProblem& desk, std::int32_t* winners)
      : desk_(desk), winners_(winners) {}

  // Returns how many rows need not bid again.
  __device__ int accept(const lap::Bid* bids) {
    raise_prices(bids);
    __syncthreads();
    compare_winners();
    __syncthreads();
    take_seats();
    int leaving = 0;
#pragma unroll
    for (int k = 0; k < kRows; ++k) leaving += __syncthreads_count(leaves_[k] ? 1 : 0);
    return leaving;
  }

 private:
  __device__ std::int32_t index(int k) const {
    return static_cast<std::int32_t>(threadIdx.x + static_cast<unsigned>(k) * blockDim.x);
  }

  // A bid for a column is more than what it asks, taken or free.
  __device__ void raise_prices(const lap::Bid* bids) {
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      const std::int32_t i = index(k);
      bid_[k] = {lap::kNone, 0};
      leaves_[k] = false;
      if (i < desk_.columns) winners_[i] = INT_MAX;
      if (i >= desk_.n || desk_.column_of_row[i] != lap::kNone) continue;
      bid_[k] = bids[i];
      leaves_[k] = bid_[k].column == lap::kNone;
      if (!leaves_[k]) atomicMax(&desk_.ask[bid_[k].column], bid_[k].price | 1);
    }
  }

  __device__ void compare_winners() const {
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      const std::int32_t column = bid_[k].column;
      if (column == lap::kNone || desk_.ask[column] != (bid_[k].price | 1)) continue;
      atomicMin(&winners_[column], index(k));
    }
  }

  __device__ void take_seats() {
#pragma unroll
    for (int k = 0; k < kRows; ++k) {
      const std::int32_t column = bid_[k].column;
      if (column == lap::kNone && leaves_[k]) desk_.column_of_row[index(k)] = kWaits;
      if (column == lap::kNone || winners_[column] != index(k)) continue;
      const std::int32_t loser = desk_.row_of_column[column];
      leaves_[k] = loser == lap::kNone;
      if (!leaves_[k]) desk_.column_of_row[loser] = lap::kNone;
      desk_.column_of_row[index(k)] = column;
      desk_.row_of_column[column] = index(k);
    }
  }

  const LapProblem& desk_;
  std::int32_t* winners_;
  lap::Bid bid_[kRows];
  bool leaves_[kRows];
};

// The phases by a crew; every thread of it knows how far they are.
template <class Crew, int kChunks>
class ResidentAuction {
 public:
  __device__ ResidentAuction(const Crew& crew, const LapProblem& desk, RoundMail<Crew>& mail)
      : crew_(crew),
        desk_(desk),
        mail_(mail),
        share_(LapShare::of(crew)),
        scores_(scores_on_desk(desk, share_)) {}

  // Returns whether the phase ended with no more free rows than it wants.
  __device__ bool hold(const lap::Phase& phase) {
    clear_seats();
    __syncthreads();
    BidAcceptance<kRowsOfThread> acceptance(desk_, desk_.lowest_twin);
    int count = static_cast<int>(desk_.n);
    for (int round = 0; round < phase.round_cap && count > phase.free_rows; ++round) {
      place_bids(count, phase.raise);
      mail_.wait(crew_);
      bids_ += count;
      count -= acceptance.accept(bids_of_turn(desk_, turn_));
      ++turn_;
    }
    ++phases_;
    free_rows_ = free_rows();
    return free_rows_ <= phase.free_rows;
  }

  // By one thread.
  __device__ void tell_counts(LapControl& control) const {
    control.free_rows = free_rows_;
    control.counts.phases = phases_;
    control.counts.rounds = turn_;
    control.counts.bids = bids_;
  }

 private:
  // Up to 512 rows there are as many threads (threads_for in lap.cu).
  static constexpr int kRowsOfThread = kChunks <= 2 ? 1 : 2;

  __device__ void clear_seats() const {
    for (std::int64_t j = threadIdx.x; j < desk_.columns; j += blockDim.x) {
      if (j < desk_.n) {
        desk_.ask[j] = lap::price_of(desk_.ask[j]);
        desk_.column_of_row[j] = lap::kNone;
      }
      desk_.row_of_column[j] = lap::kNone;
    }
  }

  __device__ void place_bids(int count, std::int32_t raise) const {
    lap::Bid* const bids = bids_of_turn(desk_, turn_);
    mail_.begin_round(crew_, count);
    for_each_bidder(share_, desk_, [&](std::int32_t place) {
      const std::int32_t row = share_.row(place);
      mail_.send(crew_, &bids[row], bid_of<kChunks>(scores_, place, row, desk_, raise));
    });
  }

  // Those that wait too, who are free like the others from now on.
  __device__ int free_rows() const {
    int count = 0;
    for (std::int64_t first = 0; first < desk_.n; first += blockDim.x) {
      const std::int64_t i = first + threadIdx.x;
      const bool is_free = i < desk_.n && desk_.column_of_row[i] < 0;
      if (is_free) desk_.column_of_row[i] = lap::kNone;
      count += __syncthreads_count(is_free ? 1 : 0);
    }
    return count;
  }

  const Crew& crew_;
  const LapProblem& desk_;
  RoundMail<Crew>& mail_;
  const LapShare share_;
  const PackedScores scores_;
  unsigned turn_ = 0;  // rounds of all phases
  int phases_ = 0, free_rows_ = 0;
  std::int64_t bids_ = 0;
};

// ---- paths --------------------------------------------------------------------------------------

__device__ inline int bits_below(unsigned power_of_two) {
  return __ffs(static_cast<int>(power_of_two)) - 1;
}

// Rows of all blocks, by the first block. They stay in the other blocks, or have been gathered:
// then the share of block b lies b sections behind its own.
template <class Crew>
class SharedRows {
 public:
  __device__ SharedRows(const Crew& crew, const LapProblem& desk)
      : crew_(crew),
        own_(scores_on_desk(desk, LapShare::of(crew))),
        last_block_(crew.blocks() - 1),
        shift_(bits_below(crew.blocks())) {}

  // By all threads of the block, which has room for all scores (LapDesk::all_scores).
  __device__ void gather(const LapProblem& desk) {
    const auto vectors =
        static_cast<unsigned>(section_bytes(desk.n, desk.columns, crew_.blocks()) / sizeof(int4));
    auto* const own = reinterpret_cast<int4*>(behind_vectors(desk));
    for (unsigned block = 1; block < crew_.blocks(); ++block) {
      const int4* const from = crew_.in_block(own, block);
      int4* const to = own + block * vectors;
#pragma unroll 4
      for (unsigned i = threadIdx.x; i < vectors; i += blockDim.x) to[i] = from[i];
    }
    section_ = vectors * static_cast<unsigned>(sizeof(int4));
    __syncthreads();
  }

  __device__ PackedRow row(std::int32_t row) const { return rows_of(row).row(row >> shift_); }
  __device__ LaneNumbers eight(std::int32_t row, std::int32_t first_column) const {
    return rows_of(row).eight(row >> shift_, first_column);
  }

 private:
  __device__ PackedScores rows_of(std::int32_t row) const {
    const unsigned block = static_cast<unsigned>(row) & last_block_;
    return section_ != 0 ? own_.behind(block * section_) : own_.in_block(crew_, block);
  }

  const Crew& crew_;
  const PackedScores own_;
  const unsigned last_block_;
  const int shift_;
  unsigned section_ = 0;  // bytes; 0 where the rows have not been gathered
};

// By all threads of the first block, which begin and end together. Results lie in control.
template <class Crew, int kChunks>
__device__ void place_free_rows_resident(const Crew& crew, const LapProblem& desk) {
  constexpr int kWorthGathering = 3;  // free rows; it takes as long as about ten steps
  SharedRows<Crew> rows(crew, desk);
  std::int64_t steps = 0;
  prepare_paths(desk);
  if (desk.desk == LapDesk::all_scores && desk.control->free_rows >= kWorthGathering) {
    rows.gather(desk);
  }
  const std::int64_t paths = place_by_warps<kChunks>(rows, desk, steps);
  if (threadIdx.x == 0) {
    desk.control->counts.paths = paths;
    desk.control->counts.steps = steps;
  }
}

// ---- all of it ----------------------------------------------------------------------------------

// By the whole crew. Returns false where the scores of a row do not fit into 24 bits: then nothing
// has happened.
template <class Crew, int kChunks>
__device__ bool solve_resident(const Crew& crew, const lap::Schedule& schedule,
                               const LapProblem& problem) {
  const LapProblem desk = all_on_desk(problem);
  RoundMail<Crew> mail;
  ResidentAuction<Crew, kChunks> auction(crew, desk, mail);
  const LapShare share = LapShare::of(crew);
  const bool fits = pack_rows<kChunks>(share, problem, scores_on_desk(problem, share));
  if (!fits && lane() == 0) atomicMax(&problem.control->too_wide, 1);
  mail.open(crew);
  crew.sync();
  if (problem.control->too_wide != 0) return false;
  for (std::int64_t j = threadIdx.x; j < desk.columns; j += blockDim.x) {
    desk.ask[j] = problem.ask[j];
  }
  __syncthreads();
  if (!auction.hold(schedule.trial())) {
    hold_phases(schedule, [&](const lap::Phase& phase) { auction.hold(phase); });
  }
  if (!crew.has_first_block()) return true;
  if (threadIdx.x == 0) auction.tell_counts(*problem.control);
  __syncthreads();
  place_free_rows_resident<Crew, kChunks>(crew, desk);
  bring_back(desk, problem);
  return true;
}

// The same, if the crew has the scores.
template <class Crew>
__device__ bool solve_at_desks(const Crew& crew, const lap::Schedule& schedule,
                               const LapProblem& problem) {
  if constexpr (Crew::kSharesMemory) {
    constexpr bool kIsBlock = std::is_base_of_v<BlockCrew, Crew>;  // has no room for 512 columns
    if (problem.desk < LapDesk::scores) return false;
    if (problem.columns <= kChunkColumns) return solve_resident<Crew, 1>(crew, schedule, problem);
    if (kIsBlock || problem.columns <= 2 * kChunkColumns) {
      return solve_resident<Crew, 2>(crew, schedule, problem);
    }
    if constexpr (!kIsBlock) return solve_resident<Crew, 4>(crew, schedule, problem);
  }
  return false;
}

}  // namespace nat::gpu
