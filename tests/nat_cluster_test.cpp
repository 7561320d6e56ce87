#include "nat/evaluate/cluster.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "kernels/check.h"
#include "kernels/parallel.h"
#include "tests/error_message.h"
#include "tests/feature_rows.h"

using namespace nat;
using namespace nat::test;

namespace {

using Labels = std::vector<std::int32_t>;

FeatureMatrix column(const std::vector<float>& values) {
  FeatureMatrix x(std::ssize(values), 1);
  x.values = values;
  return x;
}

// Rows of small whole numbers: products and squares are exact in float.
FeatureMatrix whole_rows(std::int64_t rows, std::int64_t columns, std::uint64_t seed) {
  FeatureMatrix x(rows, columns);
  for (std::int64_t i = 0; i < rows * columns; ++i) {
    x.values[static_cast<std::size_t>(i)] = static_cast<float>(draw(seed, i).value[0] % 9) - 4;
  }
  return x;
}

double squared_distance(const float* a, const float* b, std::int64_t columns) {
  double sum = 0;
  for (std::int64_t j = 0; j < columns; ++j) {
    sum += std::pow(static_cast<double>(a[j]) - static_cast<double>(b[j]), 2);
  }
  return sum;
}

// Means of the rows of each cluster, in double, rows in order.
std::vector<std::vector<double>> means(const FeatureMatrix& x, const Labels& cluster,
                                       std::size_t clusters) {
  std::vector<std::vector<double>> sum(clusters,
                                       std::vector<double>(static_cast<std::size_t>(x.columns)));
  std::vector<double> count(clusters);
  for (std::size_t i = 0; i < cluster.size(); ++i) {
    const auto c = static_cast<std::size_t>(cluster[i]);
    for (std::size_t j = 0; j < sum[c].size(); ++j) {
      sum[c][j] += static_cast<double>(x.row(static_cast<std::int64_t>(i))[j]);
    }
    ++count[c];
  }
  for (std::size_t c = 0; c < clusters; ++c) {
    for (double& value : sum[c]) value /= count[c];
  }
  return sum;
}

double inertia_of(const FeatureMatrix& x, const Labels& cluster, std::size_t clusters) {
  const auto centre = means(x, cluster, clusters);
  double sum = 0;
  for (std::size_t i = 0; i < cluster.size(); ++i) {
    for (std::int64_t j = 0; j < x.columns; ++j) {
      sum += std::pow(static_cast<double>(x.row(static_cast<std::int64_t>(i))[j]) -
                          centre[static_cast<std::size_t>(cluster[i])][static_cast<std::size_t>(j)],
                      2);
    }
  }
  return sum;
}

// The least inertia of all ways to divide the rows.
double least_inertia(const FeatureMatrix& x, std::int32_t clusters) {
  Labels cluster(static_cast<std::size_t>(x.rows), 0);
  double least = inertia_of(x, cluster, 1);
  for (;;) {
    std::size_t digit = 0;
    while (digit < cluster.size() && ++cluster[digit] == clusters) cluster[digit++] = 0;
    if (digit == cluster.size()) return least;
    const std::set<std::int32_t> used(cluster.begin(), cluster.end());
    if (std::ssize(used) == clusters) {
      least = std::min(least, inertia_of(x, cluster, static_cast<std::size_t>(clusters)));
    }
  }
}

// nmi and ari by loops over classes and over pairs of rows.
Agreement by_loops(const Labels& a, std::int32_t a_count, const Labels& b, std::int32_t b_count) {
  const auto n = static_cast<double>(a.size());
  const auto share = [&](std::int32_t i, std::int32_t j) {  // -1: any
    double count = 0;
    for (std::size_t row = 0; row < a.size(); ++row) {
      count += (i < 0 || a[row] == i) && (j < 0 || b[row] == j);
    }
    return count / n;
  };
  const auto term = [](double p) { return p > 0 ? -p * std::log(p) : 0.0; };
  double entropy_a = 0, entropy_b = 0, joint = 0, pure = 0;
  for (std::int32_t j = 0; j < b_count; ++j) entropy_b += term(share(-1, j));
  for (std::int32_t i = 0; i < a_count; ++i) {
    double most = 0;
    for (std::int32_t j = 0; j < b_count; ++j) {
      joint += term(share(i, j));
      most = std::max(most, share(i, j));
    }
    entropy_a += term(share(i, -1));
    pure += most;
  }
  double both = 0, only_a = 0, only_b = 0, neither = 0;
  for (std::size_t r = 0; r < a.size(); ++r) {
    for (std::size_t s = r + 1; s < a.size(); ++s) {
      const bool in_a = a[r] == a[s], in_b = b[r] == b[s];
      (in_a ? (in_b ? both : only_a) : (in_b ? only_b : neither)) += 1;
    }
  }
  const double ari = 2 * (both * neither - only_a * only_b) /
                     ((both + only_a) * (only_a + neither) + (both + only_b) * (only_b + neither));
  return {2 * (entropy_a + entropy_b - joint) / (entropy_a + entropy_b), ari, pure};
}

// What any result promises, whichever way it came about.
void check_settled(const FeatureMatrix& x, const Clustering& found) {
  REQUIRE(found.settled);
  REQUIRE(std::ssize(found.cluster) == x.rows);
  const std::int64_t clusters = found.centres.rows, d = x.columns;
  const auto centre = means(x, found.cluster, static_cast<std::size_t>(clusters));
  const std::vector<float> zero(static_cast<std::size_t>(d));
  double inertia = 0;
  int wrong = 0;
  for (std::int64_t c = 0; c < clusters; ++c) {
    for (std::int64_t j = 0; j < d; ++j) {
      wrong += found.centres.row(c)[j] !=
               static_cast<float>(centre[static_cast<std::size_t>(c)][static_cast<std::size_t>(j)]);
    }
  }
  for (std::int64_t i = 0; i < x.rows; ++i) {
    const std::int32_t own = found.cluster[static_cast<std::size_t>(i)];
    const double distance = squared_distance(x.row(i), found.centres.row(own), d);
    inertia += distance;
    const double length = std::sqrt(squared_distance(x.row(i), zero.data(), d));
    for (std::int64_t c = 0; c < clusters; ++c) {
      // Half a squared distance is compared by x . c - |c|^2 / 2 in float32, unit 2^-24. The
      // product is off by at most d units of |x||c|, half the square by one of |c|^2 / 2, the
      // difference by one of itself; the same again for the other centre, and twice that for whole
      // distances.
      const double norm =
          std::sqrt(std::max(squared_distance(found.centres.row(c), zero.data(), d),
                             squared_distance(found.centres.row(own), zero.data(), d)));
      const double off = 0x1p-24 * (static_cast<double>(d + 1) * length * norm + norm * norm);
      wrong += distance > squared_distance(x.row(i), found.centres.row(c), d) + 4 * off;
    }
  }
  CHECK(wrong == 0);
  CHECK(found.inertia == doctest::Approx(inertia).epsilon(1e-12));
}

}  // namespace

TEST_CASE("two pairs on a line fall into two clusters") {
  Context ctx;
  const FeatureMatrix x = column({0, 1, 10, 11});
  const Clustering found = k_means(ctx, x, 2);
  CHECK(found.cluster[0] == found.cluster[1]);
  CHECK(found.cluster[2] == found.cluster[3]);
  CHECK(found.cluster[0] != found.cluster[2]);
  CHECK(found.inertia == 1);
  CHECK(found.centres.row(found.cluster[0])[0] == 0.5f);
  CHECK(found.centres.row(found.cluster[2])[0] == 10.5f);
  check_settled(x, found);
}

TEST_CASE("Lloyd's iterations by hand, and where they stop") {
  Context ctx;
  // 0 1 | 2 9 -> centres 0.5, 5.5; then 0 1 2 | 9 -> 1, 9; then nothing moves.
  const FeatureMatrix x = column({0, 1, 2, 9}), start = column({0, 3});
  const Clustering found = lloyd(ctx, x, start, 300);
  CHECK(found.cluster == Labels{0, 0, 0, 1});
  CHECK(found.centres.values == std::vector<float>{1, 9});
  CHECK(found.inertia == 2);
  CHECK(found.iterations == 3);
  CHECK(found.settled);
  const Clustering cut = lloyd(ctx, x, start, 1);
  CHECK(cut.cluster == Labels{0, 0, 1, 1});
  CHECK(cut.centres.values == std::vector<float>{0.5f, 5.5f});
  CHECK(cut.inertia == 0.5 + 2 * 3.5 * 3.5);
  CHECK(cut.iterations == 1);
  CHECK_FALSE(cut.settled);
}

TEST_CASE("a row between two centres goes to the smaller cluster") {
  Context ctx;
  CHECK(lloyd(ctx, column({-1, 0, 1}), column({-1, 1}), 1).cluster == Labels{0, 0, 1});
  CHECK(lloyd(ctx, column({-1, 0, 1}), column({1, -1}), 1).cluster == Labels{1, 0, 0});
}

TEST_CASE("an empty cluster takes the farthest row that is in company and off its centre") {
  Context ctx;
  // 10 lies farthest from its centre, 1, and founds the third cluster.
  const Clustering found = lloyd(ctx, column({0, 1, 2, 10}), column({0, 1, 100}), 300);
  CHECK(found.cluster == Labels{0, 1, 1, 2});
  CHECK(found.centres.values == std::vector<float>{0, 1.5f, 10});
  CHECK(found.iterations == 2);
  // Two empty clusters take two rows, the farther one first; of equally far rows the lower one.
  CHECK(lloyd(ctx, column({1, -1, 3, 0}), column({0, 50, 60}), 1).cluster == Labels{2, 0, 1, 0});
  // 10 is farther from its centre than the others, but alone; the others lie on theirs.
  CHECK(lloyd(ctx, column({0, 0, 10}), column({0, 9, 100}), 300).cluster == Labels{0, 0, 1});
  const Clustering stays = lloyd(ctx, column({0, 0, 10}), column({100, 0, 9}), 300);
  CHECK(stays.cluster == Labels{1, 1, 2});
  CHECK(stays.centres.values == std::vector<float>{100, 0, 10});
}

TEST_CASE("small sets are divided as well as they can be") {
  Context ctx;
  for (std::uint64_t set = 0; set < 10; ++set) {
    const FeatureMatrix x = whole_rows(8, 2, 100 + set);
    for (const int clusters : {1, 2, 3}) {
      const Clustering found = k_means(ctx, x, clusters);
      CHECK(found.inertia == doctest::Approx(least_inertia(x, clusters)).epsilon(1e-6));
    }
  }
}

TEST_CASE("rows lie at their nearest centre, centres are means, the best restart counts") {
  Context ctx;
  const FeatureMatrix x = gaussian(700, 150, 1);  // three blocks of rows, two of columns
  double least = std::numeric_limits<double>::infinity();
  for (const int restarts : {1, 2, 5}) {
    const Clustering found = k_means(ctx, x, 6, {.restarts = restarts});
    check_settled(x, found);
    CHECK(found.inertia <= least);
    least = found.inertia;
  }
  const Clustering first = k_means(ctx, x, 6, {.restarts = 1});
  CHECK(first.inertia > least);
  CHECK(k_means(ctx, x, 6, {.restarts = 1, .seed = 1}).cluster != first.cluster);
  CHECK_FALSE(k_means(ctx, x, 6, {.restarts = 1, .iterations = 1}).settled);
}

TEST_CASE("each of twelve far groups gets a centre at the first try") {
  Context ctx;
  // Distances of about 1 inside a group and of 1,000 or more between them: a group without a centre
  // outweighs all that have one by 10^4 at least.
  FeatureMatrix x = gaussian(600, 2, 3);
  Labels group;
  for (std::int32_t i = 0; i < 600; ++i) {
    group.push_back(i % 12);
    x.row(i)[0] += static_cast<float>(1000 * (i % 12));
  }
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Clustering found = k_means(ctx, x, 12, {.restarts = 1, .seed = seed});
    CHECK(agreement(found.cluster, 12, group, 12).ari == 1);
  }
}

TEST_CASE("as many clusters as rows: each row is one") {
  Context ctx;
  const FeatureMatrix x = gaussian(40, 3, 2);
  const Clustering found = k_means(ctx, x, 40, {.restarts = 1});
  CHECK(std::set<std::int32_t>(found.cluster.begin(), found.cluster.end()).size() == 40);
  CHECK(found.inertia == 0);
}

TEST_CASE("fewer different rows than clusters leave some empty") {
  Context ctx;
  const FeatureMatrix equal = column({0.3f, 0.3f, 0.3f, 0.3f});
  const Clustering one = k_means(ctx, equal, 3);
  CHECK(one.cluster == Labels{0, 0, 0, 0});
  CHECK(one.inertia == 0);
  CHECK(one.settled);
  const FeatureMatrix two = column({2, 2, -1, 2, 2, -1});
  const Clustering pair = k_means(ctx, two, 4);
  CHECK(pair.inertia == 0);
  std::vector<float> centres = pair.centres.values;  // the empty ones repeat row 0
  std::sort(centres.begin(), centres.end());
  CHECK(centres == std::vector<float>{-1, 2, 2, 2});
  CHECK(agreement(pair.cluster, 4, Labels{0, 0, 1, 0, 0, 1}, 2).ari == 1);
}

TEST_CASE("agreement by hand") {
  const auto check = [](const Labels& cluster, const Labels& labels, double nmi, double ari,
                        double purity) {
    const Agreement found = agreement(cluster, 4, labels, 4);
    CHECK(found.nmi == doctest::Approx(nmi).epsilon(1e-14));
    CHECK(found.ari == doctest::Approx(ari).epsilon(1e-14));
    CHECK(found.purity == purity);
  };
  check({0, 0, 1, 1}, {1, 1, 0, 0}, 1, 1, 1);
  check({2, 2, 2}, {0, 0, 0}, 1, 1, 1);
  check({0, 1, 2, 3}, {3, 0, 1, 2}, 1, 1, 1);
  check({0}, {3}, 1, 1, 1);
  // H = ln 2 and 1.5 ln 2, I = ln 2; pairs: 1 in both, 2 and 1, of 6; E = 1/3.
  check({0, 0, 1, 1}, {0, 0, 1, 2}, 0.8, 4.0 / 7, 0.75);
  check({0, 0, 1, 2}, {0, 0, 1, 1}, 0.8, 4.0 / 7, 1);
  check({0, 0, 1, 1}, {0, 1, 0, 1}, 0, -0.5, 0.5);
  check({0, 0, 0, 0}, {0, 1, 2, 3}, 0, 0, 0.25);
}

TEST_CASE("agreement equals loops over classes and over pairs of rows") {
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    const Labels labels = random_labels(300, 6, 10 + seed);
    Labels cluster = random_labels(300, 4, 20 + seed);
    for (std::size_t i = 0; i < 150; ++i) cluster[i] = labels[i] % 4;
    const Agreement found = agreement(cluster, 5, labels, 6);  // one cluster is empty
    const Agreement expected = by_loops(cluster, 5, labels, 6);
    CHECK(found.nmi == doctest::Approx(expected.nmi).epsilon(1e-12));
    CHECK(found.ari == doctest::Approx(expected.ari).epsilon(1e-12));
    CHECK(found.purity == doctest::Approx(expected.purity).epsilon(1e-12));
  }
}

TEST_CASE("separate classes are found without error and noise agrees by chance alone") {
  Context ctx;
  const int classes = 5;
  const Labels labels = random_labels(1000, classes, 30);
  const ClusterResult easy =
      cluster_agreement(ctx, {separate_classes(labels, 8, 31), labels}, classes);
  CHECK(easy.agreement.nmi == 1);
  CHECK(easy.agreement.ari == 1);
  CHECK(easy.agreement.purity == 1);
  CHECK(easy.clusters == classes);
  CHECK(easy.n_test == 1000);
  CHECK(easy.settled);
  const ClusterResult noise = cluster_agreement(ctx, {gaussian(1000, 8, 32), labels}, classes);
  CHECK(std::abs(noise.agreement.ari) < 0.01);
  CHECK(noise.agreement.nmi < 0.03);
  const ClusterResult more =
      cluster_agreement(ctx, {separate_classes(labels, 8, 31), labels}, classes, {.clusters = 12});
  CHECK(more.clusters == 12);
  CHECK(more.agreement.purity == 1);
  CHECK(more.agreement.ari < 1);
}

#if defined(_OPENMP)
TEST_CASE("k-means has the same bits with one thread and with four") {
  Context ctx;
  const int threads = omp_get_max_threads();
  const auto with_threads = [&](int count, const FeatureMatrix& x, int clusters) {
    omp_set_num_threads(count);
    const Clustering found = k_means(ctx, x, clusters, {.restarts = 2});
    omp_set_num_threads(threads);
    return found;
  };
  for (const auto& [rows, columns] : {std::pair{900, 300}, {4, 20000}, {3, 2}}) {
    const FeatureMatrix x = gaussian(rows, columns, 33);
    const Clustering one = with_threads(1, x, 3), four = with_threads(4, x, 3);
    CHECK(one.cluster == four.cluster);
    CHECK(one.centres.values == four.centres.values);
    CHECK(one.inertia == four.inertia);
    CHECK(one.iterations == four.iterations);
  }
}
#endif

TEST_CASE("impossible requests of the cluster judge are one clear error") {
  Context ctx;
  FeatureMatrix x = gaussian(4, 3, 34);
  const Labels labels = {0, 1, 0, 1};
  const std::string many = message_of(ErrorKind::usage, [&] { k_means(ctx, x, 5); });
  CHECK(many.find("5 clusters of 4 rows") != std::string::npos);
  message_of(ErrorKind::usage, [&] { k_means(ctx, x, 0); });
  message_of(ErrorKind::usage, [&] { k_means(ctx, FeatureMatrix(), 1); });
  message_of(ErrorKind::usage, [&] { k_means(ctx, x, 2, {.restarts = 0}); });
  message_of(ErrorKind::usage, [&] { k_means(ctx, x, 2, {.iterations = 0}); });
  message_of(ErrorKind::usage, [&] { lloyd(ctx, x, gaussian(2, 2, 35), 1); });
  message_of(ErrorKind::usage, [&] { lloyd(ctx, x, gaussian(5, 3, 35), 1); });
  message_of(ErrorKind::usage, [&] { lloyd(ctx, x, FeatureMatrix(), 1); });
  const auto judge = [&](const Labels& truth, int clusters) {
    cluster_agreement(ctx, {x, truth}, 2, {.clusters = clusters});
  };
  message_of(ErrorKind::usage, [&] { judge(labels, 5); });
  message_of(ErrorKind::usage, [&] { judge(labels, -1); });
  message_of(ErrorKind::data, [&] { judge({0, 1, 2, 0}, 2); });
  message_of(ErrorKind::data, [&] { judge({0, 1, -1, 0}, 2); });
  message_of(ErrorKind::data, [&] { judge({0, 1}, 2); });
  message_of(ErrorKind::data, [&] { agreement(labels, 2, Labels{0, 1}, 2); });
  message_of(ErrorKind::data, [&] { agreement(labels, 1, labels, 2); });
  message_of(ErrorKind::data, [&] { agreement({}, 1, {}, 1); });
  FeatureMatrix lost = gaussian(2, 3, 36);
  lost.row(1)[0] = std::numeric_limits<float>::quiet_NaN();
  message_of(ErrorKind::not_finite, [&] { lloyd(ctx, x, lost, 1); });
  x.row(2)[1] = std::numeric_limits<float>::infinity();
  message_of(ErrorKind::not_finite, [&] { judge(labels, 2); });
}
