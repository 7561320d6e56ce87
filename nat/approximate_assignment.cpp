#include "nat/approximate_assignment.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numeric>
#include <span>

#include "kernels/parallel.h"

namespace nat {

namespace {

constexpr double kTemperatures = 50;  // in the range of the scores; e^-50 is still a float
constexpr int kTurns = 30;

// A problem on the host. Scores are compared by what is left of them without the column's price;
// those of different rows with the row's bonus on top.
struct Problem {
  std::int64_t n;
  const float* scores;
  std::int32_t* column_of_row;
  double *price, *bonus;

  const float* row(std::int64_t i) const { return scores + i * n; }
  double profit(std::int64_t i, std::int64_t j) const { return double{row(i)[j]} - price[j]; }
};

struct Range {
  double low, high;
};

Range range_of(std::span<const float> scores) {
  const auto [low, high] = std::minmax_element(scores.begin(), scores.end());
  return {*low, *high};
}

// What a row offers for its best column among those still free.
struct Offer {
  double worth;  // profit and bonus
  std::int32_t row, column;
  // Of a heap whose top is the best: the larger worth, then the lower row.
  friend bool operator<(const Offer& a, const Offer& b) {
    return a.worth != b.worth ? a.worth < b.worth : a.row > b.row;
  }
};

Offer best_offer(const Problem& problem, const bool* taken, std::int32_t row) {
  Offer best{0, row, -1};
  for (std::int32_t j = 0; j < problem.n; ++j) {
    if (taken[j]) continue;
    const double profit = problem.profit(row, j);
    if (best.column < 0 || profit > best.worth) best = {profit, row, j};
  }
  best.worth += problem.bonus[row];
  return best;
}

// Each row keeps one offer in a heap, and renews it when it comes first for a column that is taken.
void take_largest_first(Scratch& scratch, const Problem& problem, LapReport& report) {
  Scratch::Frame frame(scratch);
  const auto n = static_cast<std::size_t>(problem.n);
  bool* taken = frame.take<bool>(n);
  Offer* heap = frame.take<Offer>(n);
  std::fill_n(taken, n, false);
  for (std::size_t i = 0; i < n; ++i) {
    heap[i] = best_offer(problem, taken, static_cast<std::int32_t>(i));
  }
  report.bids = problem.n;
  Offer* end = heap + n;
  std::make_heap(heap, end);
  while (end != heap) {
    std::pop_heap(heap, end);
    Offer& first = end[-1];
    if (!taken[first.column]) {
      taken[first.column] = true;
      problem.column_of_row[first.row] = first.column;
      --end;
    } else {
      first = best_offer(problem, taken, first.row);
      ++report.bids;
      std::push_heap(heap, end);
    }
  }
}

void price_by_largest_score(const Problem& problem) {
  std::copy_n(problem.row(0), problem.n, problem.price);
  for (std::int64_t i = 1; i < problem.n; ++i) {
    for (std::int64_t j = 0; j < problem.n; ++j) {
      problem.price[j] = std::max(problem.price[j], double{problem.row(i)[j]});
    }
  }
}

// bonus[i] = T log u[i] and price[j] = -T log v[j] of the scaling u[i] K[i,j] v[j] with
// K = exp((score - high) / T), so that an offer is worth T log of the scaled entry, plus high.
void scale_by_turns(Scratch& scratch, const Problem& problem, const Range& range) {
  const std::int64_t n = problem.n;
  const double temperature = (range.high - range.low) / kTemperatures;
  Scratch::Frame frame(scratch);
  float* kernel = frame.take<float>(static_cast<std::size_t>(n * n));
  double* u = frame.take<double>(static_cast<std::size_t>(n));
  double* v = frame.take<double>(static_cast<std::size_t>(n));
  double* column_sum = frame.take<double>(static_cast<std::size_t>(n));
  cpu::parallel_for(n, 64 * n * n, [&](std::int64_t i) {
    for (std::int64_t j = 0; j < n; ++j) {
      kernel[i * n + j] =
          static_cast<float>(std::exp((double{problem.row(i)[j]} - range.high) / temperature));
    }
  });
  std::fill_n(v, n, 1.0);
  for (int turn = 0; turn < kTurns; ++turn) {
    std::fill_n(column_sum, n, 0.0);
    for (std::int64_t i = 0; i < n; ++i) {
      const float* row = kernel + i * n;
      double row_sum = 0;
#pragma omp simd reduction(+ : row_sum)
      for (std::int64_t j = 0; j < n; ++j) row_sum += double{row[j]} * v[j];
      u[i] = 1 / row_sum;
      for (std::int64_t j = 0; j < n; ++j) column_sum[j] += u[i] * double{row[j]};
    }
    for (std::int64_t j = 0; j < n; ++j) v[j] = 1 / column_sum[j];
  }
  for (std::int64_t i = 0; i < n; ++i) problem.bonus[i] = temperature * std::log(u[i]);
  for (std::int64_t j = 0; j < n; ++j) problem.price[j] = -temperature * std::log(v[j]);
}

double bound_of(const Problem& problem) {
  double bound = std::accumulate(problem.price, problem.price + problem.n, 0.0);
  for (std::int64_t i = 0; i < problem.n; ++i) {
    double most = problem.profit(i, 0);
    for (std::int64_t j = 1; j < problem.n; ++j) most = std::max(most, problem.profit(i, j));
    bound += most;
  }
  return bound;
}

// Value and bound, the former in favour of the identity.
void judge(const Problem& problem, const Range& range, LapReport& report) {
  const std::int64_t n = problem.n;
  for (std::int64_t i = 0; i < n; ++i) {
    report.value += double{problem.row(i)[problem.column_of_row[i]]};
    report.identity_value += double{problem.row(i)[i]};
  }
  if (report.value <= report.identity_value) {
    std::iota(problem.column_of_row, problem.column_of_row + n, 0);
    report.value = report.identity_value;
  }
  report.quantum = (range.high - range.low) / kLapLevels;
  const double lowest = static_cast<double>(n) * range.low;
  const auto quanta = [&](double value) { return (value - lowest) / report.quantum; };
  report.value_quanta = static_cast<std::int64_t>(std::floor(quanta(report.value)));
  report.bound_quanta = static_cast<std::int64_t>(std::ceil(quanta(bound_of(problem))));
}

enum class Prices { largest_score, sinkhorn };

void assign(Context& ctx, const ConstView& scores, const View& column_of_row, Prices prices,
            LapReport& report) {
  const std::int64_t n = scores.shape[0];
  assert(ctx.device == Device::cpu && n >= 1);
  Scratch::Frame frame(ctx.scratch);
  const Problem problem{n, scores.as<float>(), column_of_row.as<std::int32_t>(),
                        frame.take<double>(static_cast<std::size_t>(n)),
                        frame.take<double>(static_cast<std::size_t>(n))};
  const std::span<const float> all(problem.scores, static_cast<std::size_t>(n * n));
  report = {};
  std::iota(problem.column_of_row, problem.column_of_row + n, 0);
  if (!std::all_of(all.begin(), all.end(), [](float score) { return std::isfinite(score); })) {
    report.status = LapStatus::bad_input;
    return;
  }
  const Range range = range_of(all);
  if (range.low == range.high) {  // every permutation is as good
    report.value = report.identity_value = static_cast<double>(n) * range.low;
    return;
  }
  if (prices == Prices::sinkhorn) {
    scale_by_turns(ctx.scratch, problem, range);
    take_largest_first(ctx.scratch, problem, report);
  } else {
    std::fill_n(problem.price, n, 0.0);
    std::fill_n(problem.bonus, n, 0.0);
    take_largest_first(ctx.scratch, problem, report);
    price_by_largest_score(problem);
  }
  judge(problem, range, report);
}

}  // namespace

void assign_greedily(Context& ctx, ConstView scores, View column_of_row, LapReport* report) {
  assign(ctx, scores, column_of_row, Prices::largest_score, *report);
}

void assign_by_sinkhorn(Context& ctx, ConstView scores, View column_of_row, LapReport* report) {
  assign(ctx, scores, column_of_row, Prices::sinkhorn, *report);
}

}  // namespace nat
