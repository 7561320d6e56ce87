// Clusters of features against the classes: do pictures of a class lie together by themselves?
//
// k-means (Lloyd, "Least squares quantization in PCM", 1982) on rows x_i, centres c_j:
//
//   cluster_i = the j of smallest |x_i - c_j|^2, the smaller j among equals
//   c_j       = mean of the rows of cluster j
//   inertia   = sum_i |x_i - c_{cluster_i}|^2
//
// repeated until no row moves, or `iterations` times. Centres start as rows drawn by greedy
// k-means++ (Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007):
// the first one uniformly; for every other one L = 2 + floor(log clusters) rows are drawn with
// probability proportional to the squared distance to the nearest centre so far, and the one that
// leaves the smallest sum of those distances stays (the first among equals). Draw i of centre t in
// restart r is philox(seed, probe, r, t L + i), or index 0 for the first centre.
//
// A cluster that becomes empty takes the row farthest from its centre (the lower row among equals),
// unless that row is alone in its cluster or lies on its centre: where there are fewer different
// rows than clusters, some stay empty. Of several restarts the one of lowest inertia counts, the
// first among equals.
//
// Agreement of clusters and classes, n_ij rows in cluster i and class j, sums a_i and b_j, n rows:
//
//   nmi    = I / ((H_a + H_b) / 2),  I = sum_ij n_ij/n log(n n_ij / (a_i b_j)),
//            H_a = -sum_i a_i/n log(a_i/n), H_b alike; 1 where both entropies are 0
//   ari    = (S - E) / ((A + B) / 2 - E),  S = sum_ij C(n_ij, 2), A = sum_i C(a_i, 2), B alike,
//            E = A B / C(n, 2); 1 where the two divide the rows alike, about 0 by chance
//            (Hubert and Arabie, "Comparing partitions", 1985)
//   purity = sum_i max_j n_ij / n
//
// nmi and ari are those of scikit-learn. Distances to centres are compared by float32 products
// (|c_j|^2 / 2 - x_i . c_j), so features should lie around 0: standardise first
// (nat/evaluate/standardize.h). Means, distances of the seeding and inertia are summed in double.
// An iteration costs 2 * rows * clusters * columns operations and reads the features twice. Results
// do not depend on the number of threads. The context must be a CPU context.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/context.h"
#include "nat/evaluate/features.h"

namespace nat {

struct ClusterOptions {
  int clusters = 0;  // 0: as many as there are classes
  int restarts = 10;
  int iterations = 300;  // at most, of each restart
  std::uint64_t seed = 0;
};

struct Clustering {
  std::vector<std::int32_t> cluster;  // of every row, in [0, clusters)
  FeatureMatrix centres;              // (clusters, columns)
  double inertia = 0;
  int iterations = 0;
  bool settled = false;  // no row moved in the last iteration
};

// The iterations alone, from given centres (clusters, columns).
Clustering lloyd(Context& ctx, const FeatureMatrix& features, FeatureMatrix centres,
                 int iterations);

// Both, Error(usage): an empty matrix, clusters outside [1, rows], different numbers of columns,
// restarts or iterations below 1. Error(not_finite): a row that holds a NaN or an infinity.
Clustering k_means(Context& ctx, const FeatureMatrix& features, int clusters,
                   const ClusterOptions& options = {});

struct Agreement {
  double nmi = 0, ari = 0, purity = 0;
};

// Error(data): different numbers of rows, none at all, values outside [0, clusters) or [0,
// classes).
Agreement agreement(std::span<const std::int32_t> cluster, int clusters,
                    std::span<const std::int32_t> labels, int classes);

struct ClusterResult {
  Agreement agreement;
  double inertia = 0;
  int clusters = 0, iterations = 0;  // of the restart that counts
  bool settled = false;
  std::int64_t n_test = 0;
};

// k_means and agreement on one labelled set, with their errors.
ClusterResult cluster_agreement(Context& ctx, const LabelledFeatures& test, int classes,
                                const ClusterOptions& options = {});

}  // namespace nat
