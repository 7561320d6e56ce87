// Retrieval by cosine similarity inside one labelled set: does a picture find others of its class?
//
//   s(q, i) = q . i / (|q| |i|)          0 when either row is zero
//   ranking of q: all other rows by falling s, the smaller row number first among equals
//   R(q):        how many of them are of q's class; place_j, from 1: where the j-th of those stands
//   recall@k   = share of queries with place_1 <= k
//   AP(q)      = 1 / R(q) sum_{j = 1..R(q)} j / place_j
//   mAP        = mean of AP over queries
//
// Every row is a query, but for those that are alone in their class: nothing can be found for them.
// They are left out of recall and mAP, and counted; they stay in the rankings of the others.
//
// Recall@k as in Oh Song et al., "Deep metric learning via lifted structured feature embedding",
// CVPR 2016; AP over the whole ranking as in Manning, Raghavan, Schuetze, "Introduction to
// Information Retrieval", 2008, section 8.4. Standardise first (nat/evaluate/standardize.h).
// Similarities are float32 products; 2 * rows^2 * columns operations, and for every query one sort
// of integers, whose time does not depend on the classes. Results do not depend on the number of
// threads. The context must be a CPU context.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/context.h"
#include "nat/evaluate/features.h"

namespace nat {

struct RetrievalOptions {
  std::vector<int> k = {1, 5, 10};
};

struct Recall {
  int k = 0;
  double recall = 0, standard_error = 0;  // binomial
};

struct RetrievalResult {
  std::vector<Recall> at;  // in the order of RetrievalOptions::k
  double mean_average_precision = 0;
  double standard_error = 0;  // of the mean: deviation of AP over queries / sqrt(queries)
  std::int64_t n_queries = 0, n_left_out = 0;

  // The entry of one k; Error(usage) when it was not computed.
  const Recall& for_k(int k) const;
};

// Error(usage): an empty matrix, an empty list of k, k outside [1, rows - 1].
// Error(data): labels that do not fit, no class with two rows.
// Error(not_finite): a row that holds a NaN or an infinity.
RetrievalResult retrieval(Context& ctx, const LabelledFeatures& test, int classes,
                          const RetrievalOptions& options = {});

}  // namespace nat
