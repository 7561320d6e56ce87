// k-nearest-neighbour classification by cosine similarity: the quickest judge of frozen features.
//
//   s(q, b) = q . b / (|q| |b|)            0 when either row is zero
//   neighbours of q: the k bank rows of largest s, the smaller row number first among equals
//   plain vote:      votes[c] = number of neighbours of class c
//   weighted vote:   votes[c] = sum over neighbours of class c of exp(s / temperature)
//   prediction:      the class of most votes; among equals the larger sum of s, then the smaller
//                    label
//
// Recipe: standardise first (nat/evaluate/standardize.h), k = 20 (kKnnNeighbours). The weighted
// form with temperature 0.07 is that of Wu et al., "Unsupervised feature learning via
// non-parametric instance discrimination", CVPR 2018. Similarities are float32 products from one
// blocked matrix product; 2 * queries * bank * columns operations. The context must be a CPU
// context.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/context.h"
#include "nat/evaluate/features.h"

namespace nat {

// Row-major (queries, k), nearest first.
struct Neighbours {
  std::int64_t queries = 0;
  int k = 0;
  std::vector<std::int32_t> index;  // row of the bank
  std::vector<float> similarity;

  std::span<const std::int32_t> indices_of(std::int64_t query) const {
    return std::span(index).subspan(static_cast<std::size_t>(query * k),
                                    static_cast<std::size_t>(k));
  }
  std::span<const float> similarities_of(std::int64_t query) const {
    return std::span(similarity)
        .subspan(static_cast<std::size_t>(query * k), static_cast<std::size_t>(k));
  }
};

// Error(usage): empty matrices, different numbers of columns, k outside [1, bank rows].
// Error(not_finite): a row that holds a NaN or an infinity, or is too long (unit_rows.h).
Neighbours nearest_neighbours(Context& ctx, const FeatureMatrix& bank, const FeatureMatrix& queries,
                              int k);

// The memory of the result.
constexpr std::size_t neighbours_bytes(std::int64_t queries, int k) {
  return static_cast<std::size_t>(queries) * static_cast<std::size_t>(k) *
         (sizeof(std::int32_t) + sizeof(float));
}

// Where nothing else is asked for.
inline constexpr int kKnnNeighbours = 20;

struct KnnOptions {
  std::vector<int> k = {1, 5, 10, 20, 50, 100, 200};
  double temperature = 0;  // above 0: weighted vote
};

struct KnnAccuracy {
  int k = 0;
  double accuracy = 0, standard_error = 0;
};

struct KnnResult {
  std::vector<KnnAccuracy> at;  // in the order of KnnOptions::k
  std::int64_t n_bank = 0, n_test = 0;

  // The entry of one k; Error(usage) when it was not computed.
  const KnnAccuracy& for_k(int k) const;
};

// The errors of nearest_neighbours, and Error(data) for labels that do not fit.
KnnResult knn_accuracy(Context& ctx, const LabelledFeatures& bank, const LabelledFeatures& test,
                       int classes, const KnnOptions& options = {});

}  // namespace nat
