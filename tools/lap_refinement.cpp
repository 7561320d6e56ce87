#include "tools/lap_refinement.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/memory.h"
#include "kernels/parallel.h"

namespace nat::tools {

namespace {

// A number of twice the precision of a double: the sum of both, |low| at most half a unit in the
// last place of high (Dekker 1971).
struct Twofold {
  double high = 0, low = 0;
  // Off by less than 2^-102 (|a| + |b|).
  friend Twofold operator+(const Twofold& a, const Twofold& b) {
    const double sum = a.high + b.high;
    const double shift = sum - a.high;
    const double error =
        (a.high - (sum - shift)) + (b.high - shift) + (a.low + b.low);  // exact, but for the lows
    const double rounded = sum + error;
    return {rounded, error - (rounded - sum)};
  }
  friend Twofold operator-(const Twofold& a, const Twofold& b) {
    return a + Twofold{-b.high, -b.low};
  }
};

// A sum of doubles without error: what it holds is the sum of its parts, which do not overlap
// (Shewchuk 1997, "Adaptive precision floating-point arithmetic", grow-expansion). Large entries
// that cancel would otherwise take the small ones with them.
class ExactSum {
 public:
  void add(double x) {
    std::size_t kept = 0;
    for (double part : parts_) {
      if (std::abs(x) < std::abs(part)) std::swap(x, part);
      const double sum = x + part;
      const double error = part - (sum - x);
      if (error != 0) parts_[kept++] = error;
      x = sum;
    }
    parts_.resize(kept);
    if (x != 0) parts_.push_back(x);
  }
  void add(const ExactSum& sum) {
    for (const double part : sum.parts_) add(part);
  }
  void subtract(const ExactSum& sum) {
    for (const double part : sum.parts_) add(-part);
  }
  // To within the last bit; of the right sign.
  double rounded() const { return std::accumulate(parts_.begin(), parts_.end(), 0.0); }
  // To within 2^-104 of it.
  Twofold leading() const {
    const double high = rounded();
    ExactSum rest = *this;
    rest.add(-high);
    return {high, rest.rounded()};
  }
  // Of the same parts: unequal ones may still be the same number.
  friend bool operator==(const ExactSum&, const ExactSum&) = default;

 private:
  std::vector<double> parts_;  // of increasing magnitude, none of them 0
};

// The largest power of two of which all numbers are multiples; infinite when all are 0.
double grain_of(const std::vector<double>& numbers) {
  double grain = std::numeric_limits<double>::infinity();
  for (const double number : numbers) {
    if (number == 0) continue;
    int exponent = 0;
    const double mantissa = std::abs(std::frexp(number, &exponent));
    const auto bits = static_cast<std::uint64_t>(std::ldexp(mantissa, 53));
    grain = std::min(grain, std::ldexp(1.0, exponent - 53 + std::countr_zero(bits)));
  }
  return grain;
}

double largest_of(const std::vector<double>& numbers) {
  double largest = 0;
  for (const double number : numbers) largest = std::max(largest, std::abs(number));
  return largest;
}

class Refinement {
 public:
  Refinement(Context& ctx, const LapOptions& options, std::int64_t n, const std::vector<double>& w)
      : ctx_(ctx),
        options_(options),
        n_(n),
        w_(w),
        grain_(grain_of(w)),
        largest_(largest_of(w)),
        price_(size()),
        near_price_(size()),
        best_(size()),
        near_highest_(size()),
        scores_(ctx.device, size() * size() * sizeof(float), "scores"),
        column_(ctx.device, size() * sizeof(std::int32_t), "assignment"),
        device_price_(ctx.device, size() * sizeof(std::int32_t), "prices"),
        report_(ctx.device, sizeof(LapReport), "report") {
    result_.column_of_row.resize(size());
    std::iota(result_.column_of_row.begin(), result_.column_of_row.end(), 0);
  }

  RefinedAssignment run() {
    measure();
    while (!proven() && result_.solves < kMostSolves) {
      const double before = gap_;
      solve_again();
      measure();
      if (gap_ >= before / 2 && result_.solves > 1) break;  // no more to be had
    }
    const double gap = proven() ? 0 : gap_;
    ExactSum value;
    for (std::int64_t i = 0; i < n_; ++i) value.add(w_[index(i, column(i))]);
    result_.value = value.rounded();
    result_.bound = result_.value + gap;
    return result_;
  }

 private:
  static constexpr int kMostSolves = 256;

  std::size_t size() const { return static_cast<std::size_t>(n_); }
  std::size_t index(std::int64_t i, std::int32_t j) const {
    return static_cast<std::size_t>(i * n_ + j);
  }
  std::int32_t column(std::int64_t i) const {
    return result_.column_of_row[static_cast<std::size_t>(i)];
  }
  double entry(std::int64_t i, std::int32_t j) const { return w_[index(i, j)]; }
  Twofold near_profit(std::int64_t i, std::int32_t j) const {
    return Twofold{entry(i, j), 0} - near_price_[static_cast<std::size_t>(j)];
  }

  // How much more profit column j has for row i than column k: of the right sign, and to twelve
  // digits. Where the difference of the rounded profits is not far above their rounding, all parts
  // of the prices are summed up; equal entries of equal price are told before, since there may be
  // many.
  double lead(std::int64_t i, std::int32_t j, const Twofold& near_j, std::int32_t k,
              const Twofold& near_k) const {
    const double near = (near_j - near_k).high;
    if (std::abs(near) > rounding_) return near;
    const ExactSum &price_j = price_[static_cast<std::size_t>(j)],
                   &price_k = price_[static_cast<std::size_t>(k)];
    if (entry(i, j) == entry(i, k) && price_j == price_k) return 0;
    ExactSum exact = price_k;
    exact.subtract(price_j);
    exact.add(entry(i, j));
    exact.add(-entry(i, k));
    return exact.rounded();
  }
  double loss(std::int64_t i, std::int32_t j) const {
    const auto row = static_cast<std::size_t>(i);
    return lead(i, best_[row], near_highest_[row], j, near_profit(i, j));
  }
  void find_best(std::int64_t i) {
    std::int32_t best = 0;
    Twofold highest = near_profit(i, 0);
    for (std::int32_t j = 1; j < n_; ++j) {
      const Twofold profit = near_profit(i, j);
      if (profit.high < highest.high - rounding_) continue;  // for certain
      if (lead(i, j, profit, best, highest) > 0) {
        best = j;
        highest = profit;
      }
    }
    best_[static_cast<std::size_t>(i)] = best;
    near_highest_[static_cast<std::size_t>(i)] = highest;
  }

  // Every sum of entries is a multiple of their grain, so the best cannot be better by less. (Twice
  // the gap, for the last digits of losses and the rounding of their sum.)
  bool proven() const { return 2 * gap_ < grain_; }

  // rounding_, best_ and gap_. An error of `near` is at most 2^-100 of the largest entry and the
  // largest price together; what is 2^40 times as much has twelve right digits.
  void measure() {
    double price = 0;
    for (std::size_t j = 0; j < size(); ++j) {
      near_price_[j] = price_[j].leading();
      price = std::max(price, std::abs(near_price_[j].high));
    }
    rounding_ = 0x1p-60 * (largest_ + price);
    cpu::parallel_for(n_, n_ * n_, [&](std::int64_t i) { find_best(i); });
    gap_ = 0;
    for (std::int64_t i = 0; i < n_; ++i) gap_ += loss(i, column(i));
  }

  // The largest loss that matters, to which all others are cut.
  double ceiling() const {
    std::vector<double> largest(size());
    cpu::parallel_for(n_, n_ * n_, [&](std::int64_t i) {
      double most = 0;
      for (std::int32_t j = 0; j < n_; ++j) most = std::max(most, loss(i, j));
      largest[static_cast<std::size_t>(i)] = most;
    });
    return std::min(gap_, *std::max_element(largest.begin(), largest.end()));
  }

  // Column k of the smaller problem is the column of row k: what is held is the identity.
  void solve_again() {
    const double ceiling = this->ceiling();
    std::vector<float> scores(size() * size());
    cpu::parallel_for(n_, n_ * n_, [&](std::int64_t i) {
      for (std::int32_t k = 0; k < n_; ++k) {
        scores[index(i, k)] = static_cast<float>(-std::min(1.0, loss(i, column(k)) / ceiling));
      }
    });
    const LapReport report = solve(scores);
    const double quantum = report.quantum * ceiling;
    const std::vector<std::int32_t> before = result_.column_of_row;
    if (improves(before)) {
      for (std::size_t k = 0; k < size(); ++k) {
        result_.column_of_row[k] = before[static_cast<std::size_t>(columns_[k])];
      }
    }
    for (std::size_t k = 0; k < size(); ++k) {
      // The product to its last bit: levels of entries that are alike but for a small part then lie
      // as far apart as these entries do.
      const double rise = quantum * prices_[k];
      ExactSum& price = price_[static_cast<std::size_t>(before[k])];
      price.add(rise);
      price.add(std::fma(quantum, prices_[k], -rise));
    }
    result_.quantum = quantum;
    result_.solves += 1;
    result_.rounds += report.rounds;
    result_.bids += report.bids;
    result_.paths += report.paths;
    result_.steps += report.steps;
  }

  // Whether what was found loses less than what is held. It need not: where losses are cut, a
  // permutation that uses one of them looks as good as the one held and may be far worse. The
  // prices are good for both.
  bool improves(const std::vector<std::int32_t>& held) const {
    ExactSum difference;
    for (std::int64_t i = 0; i < n_; ++i) {
      const auto k = static_cast<std::size_t>(i);
      difference.add(w_[index(i, held[static_cast<std::size_t>(columns_[k])])]);
      difference.add(-w_[index(i, held[k])]);
    }
    return difference.rounded() > 0;
  }

  LapReport solve(const std::vector<float>& scores) {
    const View on_device(scores_.data(), DType::f32, Shape(n_, n_));
    const View column(column_.data(), DType::i32, Shape(n_));
    const View price(device_price_.data(), DType::i32, Shape(n_));
    const Shape bytes(sizeof(LapReport));
    LapReport report;
    columns_.resize(size());
    prices_.resize(size());
    copy_to_device(ctx_, ConstView(scores.data(), DType::f32, on_device.shape), on_device);
    lap_solve(ctx_, options_, on_device, column, price, report_.as<LapReport>());
    copy_to_host(ctx_, column, View(columns_.data(), DType::i32, column.shape));
    copy_to_host(ctx_, price, View(prices_.data(), DType::i32, price.shape));
    copy_to_host(ctx_, ConstView(report_.data(), DType::u8, bytes),
                 View(&report, DType::u8, bytes));
    synchronize(ctx_);
    return report;
  }

  Context& ctx_;
  LapOptions options_;
  std::int64_t n_;
  const std::vector<double>& w_;
  RefinedAssignment result_;
  double grain_, largest_;             // of the entries
  std::vector<ExactSum> price_;        // of columns
  std::vector<Twofold> near_price_;    // the same, rounded
  std::vector<std::int32_t> best_;     // column of the largest profit of a row
  std::vector<Twofold> near_highest_;  // that profit, rounded
  double gap_ = 0, rounding_ = 0;
  std::vector<std::int32_t> columns_, prices_;
  Buffer scores_, column_, device_price_, report_;
};

}  // namespace

RefinedAssignment refine_assignment(Context& ctx, const LapOptions& options, std::int64_t n,
                                    const std::vector<double>& w) {
  return Refinement(ctx, options, n, w).run();
}

}  // namespace nat::tools
