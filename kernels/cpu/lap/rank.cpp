// Whether scores have low rank, judged by a few of them: which opening is faster hangs on it.
#include <array>
#include <cmath>

#include "kernels/cpu/lap/problem.h"

namespace nat::cpu {

namespace {

// Rows and columns looked at, evenly spread. A power of 2, by which divisions are exact.
constexpr int kSide = 8;
using Block = std::array<std::array<double, kSide>, kSide>;

struct Pivot {
  double size = 0;
  int row = 0, column = 0;
};

// What is the same in a whole row or column decides nothing.
void subtract_means(Block& block) {
  std::array<double, kSide> of_columns{};
  for (auto& row : block) {
    double sum = 0;
    for (const double score : row) sum += score;
    for (double& score : row) score -= sum / kSide;
    for (int j = 0; j < kSide; ++j) of_columns[j] += row[j];
  }
  for (auto& row : block) {
    for (int j = 0; j < kSide; ++j) row[j] -= of_columns[j] / kSide;
  }
}

Pivot largest(const Block& block) {
  Pivot pivot;
  for (int i = 0; i < kSide; ++i) {
    for (int j = 0; j < kSide; ++j) {
      if (std::abs(block[i][j]) > pivot.size) pivot = {std::abs(block[i][j]), i, j};
    }
  }
  return pivot;
}

// One step of Gaussian elimination lowers the rank by one. fma is spelled out, so that compilers
// have nothing to choose and every machine decides alike.
void eliminate(const Pivot& pivot, Block& block) {
  const auto across = block[pivot.row];
  for (auto& row : block) {
    const double factor = row[pivot.column] / across[pivot.column];
    for (int j = 0; j < kSide; ++j) row[j] = std::fma(-factor, across[j], row[j]);
  }
}

}  // namespace

bool has_low_rank(const float* scores, std::int64_t n) {
  constexpr int kLowRank = 3;
  constexpr double kNoise = 0.1;  // what may be left, of the largest score
  if (n < kSide) return false;
  Block block;
  for (int i = 0; i < kSide; ++i) {
    for (int j = 0; j < kSide; ++j) block[i][j] = scores[i * n / kSide * n + j * n / kSide];
  }
  subtract_means(block);
  const double whole = largest(block).size;
  for (int rank = 0; rank < kLowRank; ++rank) {
    const Pivot pivot = largest(block);
    if (pivot.size == 0) return true;
    eliminate(pivot, block);
  }
  return largest(block).size <= kNoise * whole;
}

}  // namespace nat::cpu
