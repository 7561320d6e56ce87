// The assignment problem of kernels/lap.h on integers, twice more: by trying every permutation, and
// by the plain O(n^3) shortest augmenting path method, row by row, in int64.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace nat::reference {

// max over permutations p of sum_i score[i * n + p(i)].
std::int64_t best_by_enumeration(std::size_t n, const std::vector<std::int64_t>& score);
std::int64_t best_by_augmenting_paths(std::size_t n, const std::vector<std::int64_t>& score);

}  // namespace nat::reference
