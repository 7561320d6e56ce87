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
    parts_.push_back(x);
  }
  // To within the last bit.
  double rounded() const { return std::accumulate(parts_.begin(), parts_.end(), 0.0); }

 private:
  std::vector<double> parts_;  // of increasing magnitude
};

// A number of twice the precision of a double: the sum of both, |low| at most half a unit in the
// last place of high (Dekker 1971). Prices need it: where entries of 1e12 stand for "never", prices
// grow as large, and a double would round away what the small entries differ by.
struct Twofold {
  double high = 0, low = 0;
  friend bool operator<(const Twofold& a, const Twofold& b) {
    return a.high < b.high || (a.high == b.high && a.low < b.low);
  }
  // Off by less than 2^-102 (|a| + |b|).
  friend Twofold operator+(const Twofold& a, const Twofold& b) {
    const double sum = a.high + b.high;
    const double shift = sum - a.high;
    const double error =
        (a.high - (sum - shift)) + (b.high - shift) + (a.low + b.low);  // exact, but for the lows
    const double high = sum + error;
    return {high, error - (high - sum)};
  }
  friend Twofold operator-(const Twofold& a, const Twofold& b) {
    return a + Twofold{-b.high, -b.low};
  }
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
        highest_(size()),
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
      if (gap_ >= before / 2 && result_.solves > 1) break;  // rounding is all that is left
    }
    const double gap = proven() ? 0 : gap_;
    ExactSum value;
    for (std::int64_t i = 0; i < n_; ++i) value.add(w_[index(i, column(i))]);
    result_.value = value.rounded();
    result_.bound = result_.value + gap;
    return result_;
  }

 private:
  static constexpr int kMostSolves = 24;

  std::size_t size() const { return static_cast<std::size_t>(n_); }
  std::size_t index(std::int64_t i, std::int32_t j) const {
    return static_cast<std::size_t>(i * n_ + j);
  }
  std::int32_t column(std::int64_t i) const {
    return result_.column_of_row[static_cast<std::size_t>(i)];
  }
  Twofold profit(std::int64_t i, std::int32_t j) const {
    return Twofold{w_[index(i, j)], 0} - price_[static_cast<std::size_t>(j)];
  }
  double loss(std::int64_t i, std::int32_t j) const {
    return (highest_[static_cast<std::size_t>(i)] - profit(i, j)).high;
  }

  // Every sum of entries is a multiple of their grain, so the best cannot be better by less. Where
  // the grain is finer than what can be computed, the rounding has to do.
  // (Twice the gap, for the rounding of its own sum.)
  bool proven() const { return 2 * gap_ + rounding_ < grain_ || gap_ <= rounding_; }

  // highest_, gap_ and the rounding of the latter: a loss comes from the profit of its entry, the
  // highest profit of its row and their difference, none of them of more than the largest entry and
  // the largest price together.
  void measure() {
    cpu::parallel_for(n_, n_ * n_, [&](std::int64_t i) {
      Twofold most = profit(i, 0);
      for (std::int32_t j = 1; j < n_; ++j) most = std::max(most, profit(i, j));
      highest_[static_cast<std::size_t>(i)] = most;
    });
    gap_ = 0;
    for (std::int64_t i = 0; i < n_; ++i) gap_ += loss(i, column(i));
    double price = 0;
    for (const Twofold& of_column : price_) price = std::max(price, std::abs(of_column.high));
    rounding_ = 0x1p-100 * static_cast<double>(n_) * (largest_ + price);
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
      Twofold& price = price_[static_cast<std::size_t>(before[k])];
      price = price + Twofold{quantum * prices_[k], 0};
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
  double grain_, largest_;                // of the entries
  std::vector<Twofold> price_, highest_;  // of columns; of profits of rows
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
