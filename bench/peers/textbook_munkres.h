// The assignment by the textbook, as a peer for bench_lap: Munkres 1957 ("Algorithms for the
// assignment and transportation problems") with stars, primes and covers, every search a scan of
// the whole matrix. This is how the method's first implementation assigned targets; O(n^4).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace nat::bench {

class TextbookMunkres {
 public:
  // score (n, n). Returns the columns of a permutation that maximises the sum.
  static std::vector<std::int32_t> columns(std::size_t n, const std::vector<std::int64_t>& score) {
    TextbookMunkres munkres(n, score);
    munkres.run();
    std::vector<std::int32_t> result(n);
    for (std::size_t i = 0; i < n; ++i) {
      result[i] = static_cast<std::int32_t>(munkres.in_row(i, Mark::star));
    }
    return result;
  }

 private:
  enum class Mark : std::uint8_t { none, star, prime };

  TextbookMunkres(std::size_t n, const std::vector<std::int64_t>& score)
      : n_(n), cost_(n * n), mark_(n * n, Mark::none), row_covered_(n), column_covered_(n) {
    const std::int64_t most = *std::max_element(score.begin(), score.end());
    std::transform(score.begin(), score.end(), cost_.begin(),
                   [most](std::int64_t value) { return most - value; });
  }

  void run() {
    subtract_row_minima();
    star_zeros();
    while (cover_starred_columns() < n_) {
      for (;;) {
        std::size_t i = 0, j = 0;
        if (!find_uncovered_zero(i, j)) {
          create_zero();
          continue;
        }
        at(i, j) = Mark::prime;
        const std::size_t star = in_row(i, Mark::star);
        if (star == n_) {
          augment(i, j);
          break;
        }
        row_covered_[i] = true;
        column_covered_[star] = false;
      }
    }
  }

  void subtract_row_minima() {
    for (std::size_t i = 0; i < n_; ++i) {
      const auto begin = cost_.begin() + static_cast<std::ptrdiff_t>(i * n_);
      const auto end = begin + static_cast<std::ptrdiff_t>(n_);
      const std::int64_t least = *std::min_element(begin, end);
      std::for_each(begin, end, [least](std::int64_t& cost) { cost -= least; });
    }
  }

  void star_zeros() {
    for (std::size_t i = 0; i < n_; ++i) {
      for (std::size_t j = 0; j < n_; ++j) {
        if (cost_[i * n_ + j] == 0 && in_row(i, Mark::star) == n_ && star_in_column(j) == n_) {
          at(i, j) = Mark::star;
        }
      }
    }
  }

  // Returns how many there are.
  std::size_t cover_starred_columns() {
    std::size_t count = 0;
    for (std::size_t j = 0; j < n_; ++j) {
      column_covered_[j] = star_in_column(j) != n_;
      count += column_covered_[j] ? 1 : 0;
    }
    return count;
  }

  bool find_uncovered_zero(std::size_t& row, std::size_t& column) const {
    for (std::size_t i = 0; i < n_; ++i) {
      for (std::size_t j = 0; j < n_; ++j) {
        if (cost_[i * n_ + j] == 0 && !row_covered_[i] && !column_covered_[j]) {
          row = i;
          column = j;
          return true;
        }
      }
    }
    return false;
  }

  // Alternating primes and stars from the prime at (i, j): primes become stars.
  void augment(std::size_t i, std::size_t j) {
    for (;;) {
      const std::size_t starred_row = star_in_column(j);
      at(i, j) = Mark::star;
      if (starred_row == n_) break;
      at(starred_row, j) = Mark::none;
      i = starred_row;
      j = in_row(i, Mark::prime);
    }
    std::replace(mark_.begin(), mark_.end(), Mark::prime, Mark::none);
    std::fill(row_covered_.begin(), row_covered_.end(), false);
  }

  void create_zero() {
    std::int64_t least = INT64_MAX;
    for (std::size_t i = 0; i < n_; ++i) {
      for (std::size_t j = 0; j < n_; ++j) {
        if (!row_covered_[i] && !column_covered_[j]) least = std::min(least, cost_[i * n_ + j]);
      }
    }
    for (std::size_t i = 0; i < n_; ++i) {
      for (std::size_t j = 0; j < n_; ++j) {
        if (row_covered_[i]) cost_[i * n_ + j] += least;
        if (!column_covered_[j]) cost_[i * n_ + j] -= least;
      }
    }
  }

  Mark& at(std::size_t i, std::size_t j) { return mark_[i * n_ + j]; }
  std::size_t in_row(std::size_t i, Mark mark) const {
    std::size_t j = 0;
    while (j < n_ && mark_[i * n_ + j] != mark) ++j;
    return j;
  }
  std::size_t star_in_column(std::size_t j) const {
    std::size_t i = 0;
    while (i < n_ && mark_[i * n_ + j] != Mark::star) ++i;
    return i;
  }

  std::size_t n_;
  std::vector<std::int64_t> cost_;
  std::vector<Mark> mark_;
  std::vector<bool> row_covered_, column_covered_;
};

}  // namespace nat::bench
