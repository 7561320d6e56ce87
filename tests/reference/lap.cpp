#include "tests/reference/lap.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace nat::reference {

std::int64_t best_by_enumeration(std::size_t n, const std::vector<std::int64_t>& score) {
  std::vector<std::size_t> column(n);
  std::iota(column.begin(), column.end(), std::size_t{0});
  std::int64_t best = std::numeric_limits<std::int64_t>::min();
  do {
    std::int64_t value = 0;
    for (std::size_t i = 0; i < n; ++i) value += score[i * n + column[i]];
    best = std::max(best, value);
  } while (std::next_permutation(column.begin(), column.end()));
  return best;
}

std::int64_t best_by_augmenting_paths(std::size_t n, const std::vector<std::int64_t>& score) {
  constexpr std::int64_t kInfinity = std::numeric_limits<std::int64_t>::max();
  // Minimise cost = -score with potentials u, v: cost - u - v >= 0, and = 0 on assigned pairs. Row
  // and column 0 are artificial: column 0 holds the row that is being inserted.
  std::vector<std::int64_t> u(n + 1, 0), v(n + 1, 0);
  std::vector<std::size_t> row_of_column(n + 1, 0);
  for (std::size_t inserted = 1; inserted <= n; ++inserted) {
    row_of_column[0] = inserted;
    std::vector<std::int64_t> slack(n + 1, kInfinity);
    std::vector<std::size_t> previous(n + 1, 0);
    std::vector<bool> visited(n + 1, false);
    std::size_t column = 0;
    while (row_of_column[column] != 0) {
      visited[column] = true;
      const std::size_t i = row_of_column[column];
      std::size_t next = 0;
      std::int64_t delta = kInfinity;
      for (std::size_t j = 1; j <= n; ++j) {
        if (visited[j]) continue;
        const std::int64_t reduced = -score[(i - 1) * n + j - 1] - u[i] - v[j];
        if (reduced < slack[j]) {
          slack[j] = reduced;
          previous[j] = column;
        }
        if (slack[j] < delta) {
          delta = slack[j];
          next = j;
        }
      }
      for (std::size_t j = 0; j <= n; ++j) {
        if (visited[j]) {
          u[row_of_column[j]] += delta;
          v[j] -= delta;
        } else if (slack[j] != kInfinity) {
          slack[j] -= delta;
        }
      }
      column = next;
    }
    while (column != 0) {
      row_of_column[column] = row_of_column[previous[column]];
      column = previous[column];
    }
  }
  std::int64_t value = 0;
  for (std::size_t j = 1; j <= n; ++j) value += score[(row_of_column[j] - 1) * n + j - 1];
  return value;
}

}  // namespace nat::reference
