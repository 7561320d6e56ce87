// Solutions of kernels/lap.h, checked against quantities computed here from the scores and the
// returned permutation and prices, never against the solver's own report.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/lap.h"
#include "tests/opcases/tensor.h"

namespace nat::test {

using Scores = std::vector<float>;  // (n, n)
using Quanta = std::vector<std::int64_t>;

struct Solution {
  std::vector<std::int32_t> column, price;
  LapReport report;
};

inline Solution solve(Context& ctx, std::size_t n, const Scores& scores) {
  const auto size = static_cast<std::int64_t>(n);
  Tensor column(Shape(size), DType::i32), price(Shape(size), DType::i32);
  Solution solution;
  lap_solve(ctx, ConstView(scores.data(), DType::f32, Shape(size, size)), column.view(),
            price.view(), &solution.report);
  CHECK(column.canaries_intact());
  CHECK(price.canaries_intact());
  const auto copy = [n](const View& view) {
    return std::vector<std::int32_t>(view.as<std::int32_t>(), view.as<std::int32_t>() + n);
  };
  solution.column = copy(column.view());
  solution.price = copy(price.view());
  return solution;
}
inline Solution solve(std::size_t n, const Scores& scores) {
  Context ctx;
  return solve(ctx, n, scores);
}

// The integer problem, from the formula of the header.
inline Quanta quantise(const Scores& scores) {
  const auto [low, high] = std::minmax_element(scores.begin(), scores.end());
  const double range = double{*high} - double{*low};
  Quanta quanta(scores.size(), 0);
  if (range == 0) return quanta;
  const double scale = kLapLevels / range;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    quanta[i] = static_cast<std::int64_t>(std::rint((double{scores[i]} - double{*low}) * scale));
  }
  return quanta;
}

inline bool is_permutation_of_columns(const std::vector<std::int32_t>& column) {
  std::vector<std::int32_t> sorted = column;
  std::sort(sorted.begin(), sorted.end());
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    if (sorted[i] != static_cast<std::int32_t>(i)) return false;
  }
  return true;
}

inline bool is_identity(const std::vector<std::int32_t>& column) {
  for (std::size_t i = 0; i < column.size(); ++i) {
    if (column[i] != static_cast<std::int32_t>(i)) return false;
  }
  return true;
}

inline std::int64_t value_of(const Quanta& quanta, const std::vector<std::int32_t>& column) {
  std::int64_t value = 0;
  for (std::size_t i = 0; i < column.size(); ++i) {
    value += quanta[i * column.size() + static_cast<std::size_t>(column[i])];
  }
  return value;
}

inline double value_of(const Scores& scores, const std::vector<std::int32_t>& column) {
  double value = 0;
  for (std::size_t i = 0; i < column.size(); ++i) {
    value += double{scores[i * column.size() + static_cast<std::size_t>(column[i])]};
  }
  return value;
}

// sum_i max_j (q_ij - price_j) + sum_j price_j: no permutation is worth more.
inline std::int64_t bound_of(const Quanta& quanta, const std::vector<std::int32_t>& price) {
  const std::size_t n = price.size();
  std::int64_t bound = std::accumulate(price.begin(), price.end(), std::int64_t{0});
  for (std::size_t i = 0; i < n; ++i) {
    std::int64_t most = std::numeric_limits<std::int64_t>::min();
    for (std::size_t j = 0; j < n; ++j) most = std::max(most, quanta[i * n + j] - price[j]);
    bound += most;
  }
  return bound;
}

// Everything the header promises, except which of several optima is returned.
inline void check_promises(std::size_t n, const Scores& scores, const Solution& solution) {
  const LapReport& report = solution.report;
  std::vector<std::int32_t> identity(n);
  std::iota(identity.begin(), identity.end(), 0);
  const Quanta quanta = quantise(scores);
  const std::int64_t value = value_of(quanta, solution.column);
  const std::int64_t bound = bound_of(quanta, solution.price);

  REQUIRE(is_permutation_of_columns(solution.column));
  CHECK(report.status == LapStatus::optimal);
  CHECK(report.value_quanta == value);
  CHECK(report.bound_quanta == bound);
  CHECK(report.gap() == bound - value);
  CHECK(bound >= value);
  CHECK(bound - value <= (is_identity(solution.column) ? static_cast<std::int64_t>(n) : 0));
  CHECK(report.value == value_of(scores, solution.column));
  CHECK(report.identity_value == value_of(scores, identity));
  CHECK(report.value >= report.identity_value);
  CHECK(value >= value_of(quanta, identity));
  CHECK(report.bids <= static_cast<std::int64_t>(2 * n));
  CHECK(report.steps <= report.paths * static_cast<std::int64_t>(n));
}

}  // namespace nat::test
