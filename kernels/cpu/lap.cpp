// Jonker-Volgenant in integers, told in the words of an auction: a column asks a price, a row's
// profit from a column is score - price, and an assigned row always sits on a column of its largest
// profit. Three stages keep that true:
//
//   column reduction  price = column maximum; a column goes to a row that holds its maximum
//   row reduction     a free row bids: it takes its best column and raises the price by its lead
//                     over the second best; the row that sat there is free again. A budget ends it
//   augmentation      each row still free looks for the cheapest chain of exchanges that ends in a
//                     free column, by Dijkstra's algorithm over what each row loses by an exchange
//
// Scores and prices are held doubled, so they are even. What a column asks is its price, plus 1
// while it is occupied: of two columns of equal price the free one looks better, and the lowest bit
// of the winner of a scan tells which kind it is.
//
// No sum overflows. Let Q = 2 kLapLevels be the largest doubled score. A price starts as a column
// maximum, in [0, Q], and stays there while the column is free. While some column k is free, an
// assigned row i on column j has score_ij - price_j >= score_ik - price_k >= -Q, hence prices are
// at most 2Q; the bid for the last free column may reach 3Q, and then the work is done. In a search
// (distances are measured from a start row of profit 0) the nearest column is within [-Q, Q], the
// profit of a row that leaves its column too, and so every distance is within [-3Q, 4Q + 1]. The
// marks kFar, "not reached", and kClosed, "not for sale", keep 8Q from real values, from each other
// and from 2^31.
#include "kernels/lap.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>

namespace nat::cpu {

namespace {

constexpr std::int32_t kLargest = 2 * kLapLevels;  // Q
constexpr std::int32_t kFar = 1 << 29;
constexpr std::int32_t kClosed = 1 << 30;
static_assert(16 * kLargest <= kFar && kFar + 8 * kLargest <= kClosed);
constexpr std::int32_t kNone = -1;

// ---- vectors of int32 ---------------------------------------------------------------------------

// One AVX2 register. Registers of 16 lanes are no faster here: what they save in the loop they lose
// in combining the lanes, up to about n = 1024.
#if defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif
constexpr std::int64_t kRowMultiple = 8;  // rows are padded to whole vectors of either width

using Lanes __attribute__((vector_size(kLanes * sizeof(std::int32_t)))) = std::int32_t;

Lanes load(const std::int32_t* from) {
  Lanes lanes;
  std::memcpy(&lanes, from, sizeof lanes);
  return lanes;
}
void store(Lanes lanes, std::int32_t* to) { std::memcpy(to, &lanes, sizeof lanes); }
Lanes min(Lanes a, Lanes b) { return a < b ? a : b; }
Lanes max(Lanes a, Lanes b) { return a > b ? a : b; }
Lanes all(std::int32_t value) { return value - Lanes{}; }
Lanes iota() {
  Lanes lanes{};
  for (int i = 0; i < kLanes; ++i) lanes[i] = i;
  return lanes;
}

// The lane `distance` away: exchanging at distances kLanes/2, ..., 2, 1 and combining each time
// leaves in every lane the result over all lanes.
template <int distance, int... lane>
Lanes exchange(Lanes lanes, std::integer_sequence<int, lane...>) {
  return __builtin_shufflevector(lanes, lanes, (lane ^ distance)...);
}
template <int distance>
Lanes exchange(Lanes lanes) {
  return exchange<distance>(lanes, std::make_integer_sequence<int, kLanes>{});
}

template <int distance = kLanes / 2>
Lanes minimum(Lanes lanes) {
  lanes = min(lanes, exchange<distance>(lanes));
  if constexpr (distance > 1) lanes = minimum<distance / 2>(lanes);
  return lanes;
}

struct TopTwoLanes {
  Lanes best, second;
};
template <int distance = kLanes / 2>
TopTwoLanes maximum(TopTwoLanes a) {
  const TopTwoLanes b{exchange<distance>(a.best), exchange<distance>(a.second)};
  a = {max(a.best, b.best), max(min(a.best, b.best), max(a.second, b.second))};
  if constexpr (distance > 1) a = maximum<distance / 2>(a);
  return a;
}

// ---- scans over the columns of one row ----------------------------------------------------------

struct TopTwo {
  std::int32_t best, second;  // the two largest of score - ask
  std::int32_t column;        // of best, the lowest on ties
};

TopTwo top_two(const std::int32_t* score, const std::int32_t* ask, std::int64_t columns) {
  Lanes best = all(-kClosed), second = best, where{}, column = iota();
  for (std::int64_t j = 0; j < columns; j += kLanes, column += kLanes) {
    const Lanes profit = load(score + j) - load(ask + j);
    second = max(second, min(best, profit));
    where = profit > best ? column : where;
    best = max(best, profit);
  }
  const TopTwoLanes top = maximum({best, second});
  const Lanes at = minimum(best == top.best ? where : all(kClosed));
  return {top.best[0], top.second[0], at[0]};
}

struct Nearest {
  std::int32_t distance;
  std::int32_t column;  // the lowest on ties
};

// distance[j] <- min(distance[j], base + ask[j] - score[j]), noting in from[j] which row made it
// shorter; returns the nearest column.
Nearest relax(const std::int32_t* score, const std::int32_t* ask, std::int64_t columns,
              std::int32_t base, std::int32_t row, std::int32_t* distance, std::int32_t* from) {
  Lanes nearest = all(kFar), where{}, column = iota();
  for (std::int64_t j = 0; j < columns; j += kLanes, column += kLanes) {
    const Lanes offer = base + load(ask + j) - load(score + j);
    const Lanes known = load(distance + j);
    const Lanes shortest = min(offer, known);
    store(shortest, distance + j);
    store(offer < known ? all(row) : load(from + j), from + j);
    where = shortest < nearest ? column : where;
    nearest = min(nearest, shortest);
  }
  const Lanes least = minimum(nearest);
  return {least[0], minimum(nearest == least ? where : all(kClosed))[0]};
}

// ---- quantisation -------------------------------------------------------------------------------

struct Range {
  float low, high;
  bool finite;
};

Range range_of(const float* scores, std::int64_t count) {
  float low = scores[0], high = scores[0];
  std::int32_t magnitude = 0;  // bits without the sign: infinity is 0x7f800000, NaNs lie above
#pragma omp simd reduction(min : low) reduction(max : high) reduction(max : magnitude)
  for (std::int64_t i = 0; i < count; ++i) {
    const float score = scores[i];
    const std::int32_t bits = __builtin_bit_cast(std::int32_t, score) & 0x7fffffff;
    low = score < low ? score : low;
    high = score > high ? score : high;
    magnitude = bits > magnitude ? bits : magnitude;
  }
  return {low, high, magnitude < 0x7f800000};
}

// Float scores to doubled levels. In double, where differences and products of floats of any range
// neither overflow nor vanish.
struct Quantiser {
  double low, scale;

  explicit Quantiser(const Range& range)
      : low(range.low),
        scale(range.high > range.low ? kLapLevels / (double{range.high} - low) : 0) {}
  std::int32_t operator()(float score) const {
    return 2 * static_cast<std::int32_t>(std::rint((double{score} - low) * scale));
  }
};

// ---- the solver ---------------------------------------------------------------------------------

// Bids replace searches, which cost many more steps each, but without a limit they can go on for
// very long (low rank, near ties). Two a row is within about a tenth of the best budget for every
// kind of features from n = 256 to 1024.
std::int64_t bid_budget(std::int64_t n) { return 2 * n; }

class Solver {
 public:
  Solver(Scratch::Frame& frame, std::int64_t n, std::int32_t* column_of_row)
      : n_(n),
        columns_((n + kRowMultiple - 1) / kRowMultiple * kRowMultiple),
        scores_(frame.take<std::int32_t>(n * columns_)),
        ask_(frame.take<std::int32_t>(columns_)),
        row_of_column_(frame.take<std::int32_t>(columns_)),
        free_rows_(frame.take<std::int32_t>(n)),
        open_ask_(frame.take<std::int32_t>(columns_)),
        distance_(frame.take<std::int32_t>(columns_)),
        from_(frame.take<std::int32_t>(columns_)),
        closed_(frame.take<std::int32_t>(n)),
        closed_at_(frame.take<std::int32_t>(n)),
        column_of_row_(column_of_row) {}

  void solve(const float* scores, const Quantiser& quantise, LapReport& report) {
    reduce_columns(scores, quantise);
    assign_reduced_columns();
    reduce_rows(report);
    for (std::int64_t k = 0; k < free_count_; ++k) augment(free_rows_[k], report);
    report.paths = free_count_;
  }

  std::int64_t quanta(std::int64_t i, std::int64_t j) const { return row(i)[j] / 2; }
  std::int32_t price_quanta(std::int64_t j) const { return price(j) / 2; }
  std::int64_t dual_bound() const {
    std::int64_t doubled = 0;
    for (std::int64_t j = 0; j < n_; ++j) doubled += price(j);
    for (std::int64_t i = 0; i < n_; ++i) doubled += even(top_two(row(i), ask_, columns_).best);
    return doubled / 2;
  }

 private:
  const std::int32_t* row(std::int64_t i) const { return scores_ + i * columns_; }
  std::int32_t price(std::int64_t column) const { return ask_[column] & ~1; }
  bool occupied(std::int64_t column) const { return (ask_[column] & 1) != 0; }
  // score - price, from score - ask.
  static std::int32_t even(std::int32_t profit) { return (profit + 1) & ~1; }

  void assign(std::int32_t i, std::int32_t column) {
    column_of_row_[i] = column;
    row_of_column_[column] = i;
    ask_[column] |= 1;
  }

  // Quantises the scores; ask = column maximum, row_of_column = a row that holds it. The diagonal
  // comes first, so that a row is preferred for its own column.
  void reduce_columns(const float* scores, const Quantiser& quantise) {
    for (std::int64_t j = 0; j < columns_; ++j) {
      ask_[j] = j < n_ ? quantise(scores[j * n_ + j]) : kClosed;
      row_of_column_[j] = static_cast<std::int32_t>(j);
    }
    for (std::int64_t i = 0; i < n_; ++i) {
      std::int32_t* out = scores_ + i * columns_;
      for (std::int64_t j = 0; j < n_; ++j) out[j] = quantise(scores[i * n_ + j]);
      std::fill(out + n_, out + columns_, 0);
      for (std::int64_t j = 0; j < columns_; j += kLanes) {
        const Lanes score = load(out + j), most = load(ask_ + j);
        const Lanes holder = load(row_of_column_ + j);
        store(score > most ? all(static_cast<std::int32_t>(i)) : holder, row_of_column_ + j);
        store(max(score, most), ask_ + j);
      }
    }
  }

  // A row that holds several column maxima gets its own column if that is one of them, else the
  // first; the other columns stay free.
  void assign_reduced_columns() {
    std::fill(column_of_row_, column_of_row_ + n_, kNone);
    for (std::int32_t j = 0; j < n_; ++j) {
      if (row_of_column_[j] == j) assign(j, j);
    }
    for (std::int32_t j = 0; j < n_; ++j) {
      if (occupied(j)) continue;
      const std::int32_t holder = row_of_column_[j];
      row_of_column_[j] = kNone;
      if (column_of_row_[holder] == kNone) assign(holder, j);
    }
  }

  // A row whose best two columns are equal and occupied could only take one for nothing: it waits
  // for the augmentation. free_rows_ keeps waiting rows in front, those still to bid behind.
  void reduce_rows(LapReport& report) {
    free_count_ = 0;
    for (std::int32_t i = 0; i < n_; ++i) {
      if (column_of_row_[i] == kNone) free_rows_[free_count_++] = i;
    }
    std::int64_t waiting = 0;
    const std::int64_t budget = bid_budget(n_);
    for (std::int64_t next = 0; next < free_count_;) {
      const std::int32_t bidder = free_rows_[next];
      if (report.bids == budget) {
        free_rows_[waiting++] = bidder;
        ++next;
        continue;
      }
      ++report.bids;
      const TopTwo top = top_two(row(bidder), ask_, columns_);
      const std::int32_t second = even(top.second);
      if (occupied(top.column) && even(top.best) == second) {
        free_rows_[waiting++] = bidder;
        ++next;
        continue;
      }
      const std::int32_t evicted = row_of_column_[top.column];
      ask_[top.column] = row(bidder)[top.column] - second;
      assign(bidder, top.column);
      if (evicted == kNone) {
        ++next;
      } else {
        column_of_row_[evicted] = kNone;
        free_rows_[next] = evicted;  // bids next
      }
    }
    free_count_ = waiting;
  }

  // Shortest path of exchanges from a free row to a free column; then the prices of the columns
  // closed on the way rise by the distance they lie in front of its end.
  void augment(std::int32_t start, LapReport& report) {
    std::copy(ask_, ask_ + columns_, open_ask_);
    std::fill(distance_, distance_ + columns_, kFar);
    std::int64_t closed_count = 0;
    std::int32_t bidder = start;
    std::int32_t base = 0;
    Nearest nearest{};
    for (;;) {
      nearest = relax(row(bidder), open_ask_, columns_, base, bidder, distance_, from_);
      ++report.steps;
      const std::int32_t column = nearest.column;
      if (!occupied(column)) break;
      nearest.distance &= ~1;
      closed_[closed_count] = column;
      closed_at_[closed_count++] = nearest.distance;
      distance_[column] = kFar;
      open_ask_[column] = kClosed;
      bidder = row_of_column_[column];
      base = nearest.distance + row(bidder)[column] - price(column);
    }
    for (std::int64_t k = 0; k < closed_count; ++k) {
      ask_[closed_[k]] += nearest.distance - closed_at_[k];
    }
    std::int32_t column = nearest.column;
    for (;;) {
      const std::int32_t i = from_[column];
      const std::int32_t left = column_of_row_[i];
      assign(i, column);
      if (i == start) break;
      column = left;
    }
  }

  std::int64_t n_, columns_;     // columns_: n rounded up; the padding is never for sale
  std::int32_t* scores_;         // (n, columns), doubled
  std::int32_t* ask_;            // (columns) doubled price + occupied
  std::int32_t* row_of_column_;  // (columns) or kNone
  std::int32_t* free_rows_;      // (n)
  std::int32_t* open_ask_;       // (columns) ask, or kClosed once passed by this search
  std::int32_t* distance_;       // (columns) of the search, + occupied
  std::int32_t* from_;           // (columns) row from which the distance was reached
  std::int32_t* closed_;         // (n) columns passed, in order
  std::int32_t* closed_at_;      // (n) their distances
  std::int32_t* column_of_row_;  // (n) the caller's
  std::int64_t free_count_ = 0;
};

void check_views(const ConstView& scores, const View& column_of_row, const View& prices) {
  const Shape& shape = scores.shape;
  NAT_CHECK(shape.rank == 2 && shape[0] == shape[1] && scores.dtype == DType::f32, ErrorKind::usage,
            "lap_solve: scores are ", to_string(shape), " ", name(scores.dtype),
            "; give a square f32 matrix");
  const Shape vector(shape[0]);
  NAT_CHECK(column_of_row.shape == vector && column_of_row.dtype == DType::i32 &&
                prices.shape == vector && prices.dtype == DType::i32,
            ErrorKind::usage, "lap_solve: column_of_row is ", to_string(column_of_row.shape), " ",
            name(column_of_row.dtype), " and prices ", to_string(prices.shape), " ",
            name(prices.dtype), "; both must be i32 of ", shape[0], " elements");
}

}  // namespace

void lap_solve(Context& ctx, ConstView scores, View column_of_row, View prices, LapReport* result) {
  LapReport& report = *result;
  check_views(scores, column_of_row, prices);
  const std::int64_t n = scores.shape[0];
  const auto* score = scores.as<float>();
  auto* column = column_of_row.as<std::int32_t>();
  auto* price = prices.as<std::int32_t>();

  report = {};
  std::iota(column, column + n, 0);
  std::fill(price, price + n, 0);
  if (n == 0) return;
  const Range range = range_of(score, n * n);
  if (!range.finite) {
    report.status = LapStatus::bad_input;
    return;
  }

  Scratch::Frame frame(ctx.scratch);
  Solver solver(frame, n, column);
  solver.solve(score, Quantiser(range), report);

  std::int64_t identity_quanta = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    report.value += double{score[i * n + column[i]]};
    report.value_quanta += solver.quanta(i, column[i]);
    report.identity_value += double{score[i * n + i]};
    identity_quanta += solver.quanta(i, i);
    price[i] = solver.price_quanta(i);
  }
  report.bound_quanta = solver.dual_bound();
  report.quantum = (double{range.high} - double{range.low}) / kLapLevels;
  if (identity_quanta == report.value_quanta || report.identity_value >= report.value) {
    std::iota(column, column + n, 0);
    report.value = report.identity_value;
    report.value_quanta = identity_quanta;
  }
}

}  // namespace nat::cpu
