#include "nat/evaluate/cluster.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "kernels/check.h"
#include "kernels/gemm.h"
#include "kernels/random.h"
#include "nat/evaluate/row_blocks.h"
#include "nat/evaluate/unit_rows.h"

namespace nat {
namespace {

constexpr std::int64_t kRowBlock = 256;     // rows of one product with the centres
constexpr std::int64_t kColumnBlock = 128;  // columns whose means one thread takes

double squared_distance(const float* a, const float* b, std::int64_t columns) {
  double total = 0;
#pragma omp simd reduction(+ : total)
  for (std::int64_t j = 0; j < columns; ++j) {
    const double difference = static_cast<double>(a[j]) - static_cast<double>(b[j]);
    total += difference * difference;
  }
  return total;
}

// Uniform in [0, 1) with 53 bits.
double uniform_double(const Random4& random) {
  const std::uint64_t bits = std::uint64_t{random.value[0]} << 32 | random.value[1];
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

// Lloyd's iterations from centres that are given or drawn.
class KMeans {
 public:
  KMeans(const FeatureMatrix& features, FeatureMatrix centres)
      : features_(features),
        clusters_(static_cast<int>(centres.rows)),
        centres_(std::move(centres)),
        cluster_(static_cast<std::size_t>(features.rows)),
        members_(static_cast<std::size_t>(clusters_)),
        distance_(cluster_.size()) {}

  void draw_centres(std::uint64_t seed, std::uint32_t restart) {
    std::fill(distance_.begin(), distance_.end(), 1.0);  // the first draw is uniform
    take_centre(0, {draw_by_distance(seed, restart, 0)});
    const auto draws = 2 + static_cast<std::uint64_t>(std::log(clusters_));
    for (int t = 1; t < clusters_; ++t) {
      std::vector<std::int64_t> candidates;
      for (std::uint64_t i = 0; i < draws; ++i) {
        candidates.push_back(
            draw_by_distance(seed, restart, static_cast<std::uint64_t>(t) * draws + i));
      }
      take_centre(t, candidates);
    }
  }

  Clustering run(int iterations) && {
    Clustering result;
    std::vector<std::int32_t> before(cluster_.size(), -1);
    while (result.iterations < iterations && !result.settled) {
      assign();
      fill_empty();
      ++result.iterations;
      result.settled = cluster_ == before;
      if (!result.settled) move_centres();
      before = cluster_;
    }
    measure_distances();
    result.inertia = std::accumulate(distance_.begin(), distance_.end(), 0.0);
    result.cluster = std::move(cluster_);
    result.centres = std::move(centres_);
    return result;
  }

 private:
  template <class Body>
  void for_each_row(Body&& body) const {
    cpu::parallel_for(features_.rows, features_.rows * features_.columns, body);
  }

  // The row where the running sum of distances passes a random share of the whole. Row 0 where all
  // are 0: there are fewer different rows than clusters.
  std::int64_t draw_by_distance(std::uint64_t seed, std::uint32_t restart,
                                std::uint64_t draw) const {
    const double passed = uniform_double(philox(seed, RandomStream::probe, restart, draw)) *
                          std::accumulate(distance_.begin(), distance_.end(), 0.0);
    double running = 0;
    std::size_t row = 0;
    for (std::size_t i = 0; i < distance_.size() && running <= passed; ++i) {
      running += distance_[i];
      if (distance_[i] > 0) row = i;
    }
    return static_cast<std::int64_t>(row);
  }

  // Makes the best of the candidates centre t, and distance_ that to the nearest centre so far.
  void take_centre(int t, const std::vector<std::int64_t>& candidates) {
    std::vector<std::vector<double>> nearest(candidates.size(),
                                             std::vector<double>(distance_.size()));
    for_each_row([&](std::int64_t i) {
      const auto at = static_cast<std::size_t>(i);
      for (std::size_t c = 0; c < candidates.size(); ++c) {
        const double distance =
            squared_distance(features_.row(i), features_.row(candidates[c]), features_.columns);
        nearest[c][at] = t == 0 ? distance : std::min(distance_[at], distance);
      }
    });
    std::vector<double> sums;
    sums.reserve(nearest.size());
    for (const std::vector<double>& distances : nearest) {
      sums.push_back(std::accumulate(distances.begin(), distances.end(), 0.0));
    }
    const auto best =
        static_cast<std::size_t>(std::min_element(sums.begin(), sums.end()) - sums.begin());
    std::copy_n(features_.row(candidates[best]), features_.columns, centres_.row(t));
    distance_ = std::move(nearest[best]);
  }

  // |x - c|^2 = |x|^2 - 2 (x . c - |c|^2 / 2): the nearest centre has the largest bracket.
  void assign() {
    std::vector<float> half_square;
    const std::vector<float> zero(static_cast<std::size_t>(features_.columns));
    for (int c = 0; c < clusters_; ++c) {
      const double square = squared_distance(centres_.row(c), zero.data(), features_.columns);
      half_square.push_back(static_cast<float>(square / 2));
    }
    for_row_blocks(features_.rows, kRowBlock, [&](std::int64_t begin, std::int64_t end) {
      Context ctx;
      Scratch::Frame frame(ctx.scratch);
      float* products = frame.take<float>(static_cast<std::size_t>((end - begin) * clusters_));
      gemm(ctx, Transpose::no, Transpose::yes, 0, features_.view(begin, end),
           centres_.view(0, clusters_), View(products, DType::f32, Shape(end - begin, clusters_)));
      for (std::int64_t i = begin; i < end; ++i) {
        const float* product = products + (i - begin) * clusters_;
        std::int32_t best = 0;
        for (std::int32_t c = 1; c < clusters_; ++c) {
          if (product[c] - half_square[static_cast<std::size_t>(c)] >
              product[best] - half_square[static_cast<std::size_t>(best)]) {
            best = c;
          }
        }
        cluster_[static_cast<std::size_t>(i)] = best;
      }
    });
    std::fill(members_.begin(), members_.end(), 0);
    for (const std::int32_t c : cluster_) ++members_[static_cast<std::size_t>(c)];
  }

  void fill_empty() {
    if (std::find(members_.begin(), members_.end(), 0) == members_.end()) return;
    measure_distances();
    for (std::size_t c = 0; c < members_.size(); ++c) {
      if (members_[c] > 0) continue;
      const std::int64_t row = farthest_in_company();
      if (row < 0) return;
      std::int32_t& cluster = cluster_[static_cast<std::size_t>(row)];
      --members_[static_cast<std::size_t>(cluster)];
      ++members_[c];
      cluster = static_cast<std::int32_t>(c);
    }
  }

  // -1 when every row is alone in its cluster or lies on its centre.
  std::int64_t farthest_in_company() const {
    std::int64_t farthest = -1;
    double largest = 0;
    for (std::size_t i = 0; i < cluster_.size(); ++i) {
      if (members_[static_cast<std::size_t>(cluster_[i])] > 1 && distance_[i] > largest) {
        largest = distance_[i];
        farthest = static_cast<std::int64_t>(i);
      }
    }
    return farthest;
  }

  // Of every row to the centre of its cluster.
  void measure_distances() {
    for_each_row([&](std::int64_t i) {
      const auto at = static_cast<std::size_t>(i);
      distance_[at] =
          squared_distance(features_.row(i), centres_.row(cluster_[at]), features_.columns);
    });
  }

  // Threads share the columns, so that every sum runs over the rows in order. The centre of an
  // empty cluster stays where it is.
  void move_centres() {
    const std::int64_t columns = features_.columns;
    const std::int64_t blocks = (columns + kColumnBlock - 1) / kColumnBlock;
    cpu::parallel_for(blocks, features_.rows * columns, [&](std::int64_t block) {
      const std::int64_t first = block * kColumnBlock;
      const std::int64_t width = std::min(kColumnBlock, columns - first);
      std::vector<double> sums(static_cast<std::size_t>(clusters_ * kColumnBlock));
      for (std::int64_t i = 0; i < features_.rows; ++i) {
        const float* row = features_.row(i) + first;
        double* sum = sums.data() + cluster_[static_cast<std::size_t>(i)] * kColumnBlock;
        for (std::int64_t j = 0; j < width; ++j) sum[j] += static_cast<double>(row[j]);
      }
      for (std::int64_t c = 0; c < clusters_; ++c) {
        const auto count = static_cast<double>(members_[static_cast<std::size_t>(c)]);
        const double* sum = sums.data() + c * kColumnBlock;
        float* centre = centres_.row(c) + first;
        for (std::int64_t j = 0; count > 0 && j < width; ++j) {
          centre[j] = static_cast<float>(sum[j] / count);
        }
      }
    });
  }

  const FeatureMatrix& features_;
  const int clusters_;
  FeatureMatrix centres_;
  std::vector<std::int32_t> cluster_;  // of every row
  std::vector<std::int64_t> members_;  // of every cluster
  std::vector<double> distance_;       // squared, of every row
};

void check_k_means(const Context& ctx, const FeatureMatrix& features, std::int64_t clusters,
                   int iterations) {
  NAT_CHECK(ctx.device == Device::cpu, ErrorKind::device,
            "k-means: features lie in host memory; give a CPU context");
  check_features("k-means", "test", features);
  NAT_CHECK(clusters >= 1 && clusters <= features.rows, ErrorKind::usage, "k-means: ", clusters,
            " clusters of ", features.rows,
            " rows; give a number between 1 and the number of rows");
  NAT_CHECK(iterations >= 1, ErrorKind::usage, "k-means: ", iterations,
            " iterations; give at least 1");
  inverse_norms("k-means", "test", features);  // refuses what is not finite
}

double entropy(std::span<const double> counts, double n) {
  double sum = 0;
  for (const double count : counts) {
    if (count > 0) sum -= count / n * std::log(count / n);
  }
  return sum;
}

double pairs(std::span<const double> counts) {
  double sum = 0;
  for (const double count : counts) sum += count * (count - 1) / 2;
  return sum;
}

// How many rows lie in each cluster and class. Counts are whole numbers in double, exact.
struct Contingency {
  std::vector<double> cell, cluster, label;  // cell: (clusters, classes)
  double n = 0;

  std::span<const double> row(std::size_t i) const {
    return std::span(cell).subspan(i * label.size(), label.size());
  }
};

double normalised_mutual_information(const Contingency& table) {
  const double entropies = entropy(table.cluster, table.n) + entropy(table.label, table.n);
  if (entropies == 0) return 1;
  double information = 0;
  for (std::size_t i = 0; i < table.cluster.size(); ++i) {
    for (std::size_t j = 0; j < table.label.size(); ++j) {
      const double count = table.row(i)[j];
      if (count == 0) continue;
      information +=
          count / table.n * std::log(table.n * count / (table.cluster[i] * table.label[j]));
    }
  }
  return std::clamp(2 * information / entropies, 0.0, 1.0);  // but for rounding it lies there
}

double adjusted_rand_index(const Contingency& table) {
  const double together = pairs(table.cell);
  const double in_clusters = pairs(table.cluster), in_classes = pairs(table.label);
  if (together == in_clusters && together == in_classes) return 1;
  const double expected = in_clusters / (table.n * (table.n - 1) / 2) * in_classes;
  return (together - expected) / ((in_clusters + in_classes) / 2 - expected);
}

double purity(const Contingency& table) {
  double sum = 0;
  for (std::size_t i = 0; i < table.cluster.size(); ++i) {
    const std::span<const double> row = table.row(i);
    sum += *std::max_element(row.begin(), row.end());
  }
  return sum / table.n;
}

}  // namespace

Clustering lloyd(Context& ctx, const FeatureMatrix& features, FeatureMatrix centres,
                 int iterations) {
  check_features("k-means", "centre", centres);
  NAT_CHECK(centres.columns == features.columns, ErrorKind::usage, "k-means: centres have ",
            centres.columns, " columns, features ", features.columns,
            "; both must come from the same layer");
  check_k_means(ctx, features, centres.rows, iterations);
  inverse_norms("k-means", "centre", centres);
  return KMeans(features, std::move(centres)).run(iterations);
}

Clustering k_means(Context& ctx, const FeatureMatrix& features, int clusters,
                   const ClusterOptions& options) {
  check_k_means(ctx, features, clusters, options.iterations);
  NAT_CHECK(options.restarts >= 1, ErrorKind::usage, "k-means: ", options.restarts,
            " restarts; give at least 1");
  Clustering best;
  for (int restart = 0; restart < options.restarts; ++restart) {
    KMeans start(features, FeatureMatrix(clusters, features.columns));
    start.draw_centres(options.seed, static_cast<std::uint32_t>(restart));
    Clustering found = std::move(start).run(options.iterations);
    if (restart == 0 || found.inertia < best.inertia) best = std::move(found);
  }
  return best;
}

Agreement agreement(std::span<const std::int32_t> cluster, int clusters,
                    std::span<const std::int32_t> labels, int classes) {
  NAT_CHECK(cluster.size() == labels.size() && !labels.empty(), ErrorKind::data,
            "agreement: ", cluster.size(), " rows with a cluster, ", labels.size(),
            " with a label; give both of every row, and one row at least");
  check_labels("agreement", "cluster", cluster, clusters);
  check_labels("agreement", "class", labels, classes);

  Contingency table;
  table.n = static_cast<double>(labels.size());
  table.cluster.resize(static_cast<std::size_t>(clusters));
  table.label.resize(static_cast<std::size_t>(classes));
  table.cell.resize(table.cluster.size() * table.label.size());
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const auto c = static_cast<std::size_t>(cluster[i]), l = static_cast<std::size_t>(labels[i]);
    ++table.cluster[c];
    ++table.label[l];
    ++table.cell[c * table.label.size() + l];
  }
  return {normalised_mutual_information(table), adjusted_rand_index(table), purity(table)};
}

ClusterResult cluster_agreement(Context& ctx, const LabelledFeatures& test, int classes,
                                const ClusterOptions& options) {
  check_labelled("k-means", "test", test, classes);
  const int clusters = options.clusters == 0 ? classes : options.clusters;
  const Clustering found = k_means(ctx, test.features, clusters, options);
  return {agreement(found.cluster, clusters, test.labels, classes),
          found.inertia,
          clusters,
          found.iterations,
          found.settled,
          test.features.rows};
}

}  // namespace nat
