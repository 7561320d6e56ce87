#include "nat/evaluate/retrieval.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/check.h"
#include "kernels/parallel.h"
#include "tests/error_message.h"
#include "tests/feature_rows.h"

using namespace nat;
using namespace nat::test;

namespace {

// Cosine in double, exact for the rows of these tests: squares of their norms are powers of 4.
double cosine(const FeatureMatrix& x, std::int64_t a, std::int64_t b) {
  double ab = 0, aa = 0, bb = 0;
  for (std::int64_t j = 0; j < x.columns; ++j) {
    const double left = static_cast<double>(x.row(a)[j]), right = static_cast<double>(x.row(b)[j]);
    ab += left * right;
    aa += left * left;
    bb += right * right;
  }
  return aa == 0 || bb == 0 ? 0 : ab / (std::sqrt(aa) * std::sqrt(bb));
}

struct Expected {
  std::vector<double> average_precision;
  std::vector<std::int64_t> first;  // place of the first row of the class
};

// The definition: all other rows, sorted.
Expected by_sorting(const FeatureMatrix& x, const std::vector<std::int32_t>& labels) {
  Expected expected;
  for (std::int64_t q = 0; q < x.rows; ++q) {
    std::vector<std::int64_t> others;
    std::vector<double> similarity;
    for (std::int64_t i = 0; i < x.rows; ++i) {
      similarity.push_back(cosine(x, q, i));
      if (i != q) others.push_back(i);
    }
    std::stable_sort(others.begin(), others.end(), [&](std::int64_t a, std::int64_t b) {
      return similarity[static_cast<std::size_t>(a)] > similarity[static_cast<std::size_t>(b)];
    });
    double found = 0, sum = 0;
    std::int64_t first = 0;
    for (std::size_t at = 0; at < others.size(); ++at) {
      if (labels[static_cast<std::size_t>(others[at])] != labels[static_cast<std::size_t>(q)])
        continue;
      const auto place = static_cast<std::int64_t>(at) + 1;
      if (first == 0) first = place;
      sum += ++found / static_cast<double>(place);
    }
    if (first == 0) continue;
    expected.first.push_back(first);
    expected.average_precision.push_back(sum / found);
  }
  return expected;
}

void check_equals_sorting(const FeatureMatrix& x, const std::vector<std::int32_t>& labels,
                          int classes) {
  Context ctx;
  const Expected expected = by_sorting(x, labels);
  const RetrievalResult result = retrieval(ctx, {x, labels}, classes, {.k = {10, 1, 5, 40}});
  const auto n = static_cast<double>(expected.first.size());
  CHECK(static_cast<double>(result.n_queries) == n);
  CHECK(result.n_left_out == x.rows - result.n_queries);
  for (const int k : {1, 5, 10, 40}) {
    const double found =
        static_cast<double>(std::count_if(expected.first.begin(), expected.first.end(),
                                          [k](std::int64_t place) { return place <= k; }));
    CHECK(result.for_k(k).recall == found / n);
    CHECK(result.for_k(k).standard_error == standard_error(found / n, result.n_queries));
  }
  // Sums of n numbers from 0 to 1 in double: off by less than n^2 2^-53 before the division.
  const auto& precision = expected.average_precision;
  const double mean = std::accumulate(precision.begin(), precision.end(), 0.0) / n;
  CHECK(std::abs(result.mean_average_precision - mean) <= n * 0x1p-52);
  double square = 0;
  for (const double value : precision) square += (value - mean) * (value - mean);
  CHECK(result.standard_error == doctest::Approx(std::sqrt(square / (n - 1) / n)).epsilon(1e-9));
}

}  // namespace

TEST_CASE("recall and mAP equal a full sort in double, ties and edges of blocks included") {
  // 1,100 rows are three blocks; 16 columns of which 4 are used give some forty similarities.
  check_equals_sorting(sign_rows(1100, 1), random_labels(1100, 7, 2), 7);
  check_equals_sorting(sign_rows(61, 3), random_labels(61, 40, 4), 40);  // classes of one row
}

TEST_CASE("similarities are compared in every bit that they have") {
  // Cosines of any mantissa; in double no two of one query are closer than float32 products err.
  const FeatureMatrix x = gaussian(48, 8, 9);
  double least = 1;
  for (std::int64_t q = 0; q < x.rows; ++q) {
    std::vector<double> all;
    for (std::int64_t i = 0; i < x.rows; ++i) {
      if (i != q) all.push_back(cosine(x, q, i));
    }
    std::sort(all.begin(), all.end());
    for (std::size_t i = 1; i < all.size(); ++i) least = std::min(least, all[i] - all[i - 1]);
  }
  REQUIRE(least > 2 * (8 + 4) * 0x1p-24);
  check_equals_sorting(x, random_labels(48, 5, 10), 5);
}

TEST_CASE("lengths of rows change nothing, and a zero row has similarity 0 to everything") {
  FeatureMatrix x = sign_rows(300, 5);
  for (std::int64_t i = 0; i < x.rows; ++i) {
    const float length = i % 50 == 0 ? 0.0f : std::ldexp(1.0f, static_cast<int>(i % 9) - 4);
    for (std::int64_t j = 0; j < x.columns; ++j) x.row(i)[j] *= length;
  }
  check_equals_sorting(x, random_labels(300, 3, 6), 3);
}

TEST_CASE("a row too short to have a direction is as far as a zero row") {
  Context ctx;
  FeatureMatrix x(3, 2);
  x.values = {1, 0, -0x1p-140f, 0, 0, 0};  // the product of the first two is negative
  const std::vector<std::int32_t> labels = {0, 0, 1};
  const RetrievalResult result = retrieval(ctx, {x, labels}, 2, {.k = {1}});
  CHECK(result.n_queries == 2);
  CHECK(result.for_k(1).recall == 1);  // of equal similarities the lower row comes first
}

TEST_CASE("five rows by hand: recall, mAP, and a class with one member") {
  Context ctx;
  FeatureMatrix x(5, 2);
  x.values = {1, 0, 0.8f, 0.6f, 0.6f, 0.8f, 0, 1, -1, 0};
  const std::vector<std::int32_t> labels = {0, 1, 0, 1, 2};
  // Rankings (similarity falls): of 0: 1 2 3 4; of 1: 2 0 3 4; of 2: 1 3 0 4; of 3: 2 1 0 4.
  const RetrievalResult result = retrieval(ctx, {x, labels}, 3, {.k = {1, 2, 3}});
  CHECK(result.n_queries == 4);
  CHECK(result.n_left_out == 1);
  CHECK(result.for_k(1).recall == 0);
  CHECK(result.for_k(2).recall == 0.5);
  CHECK(result.for_k(3).recall == 1);
  CHECK(result.for_k(2).standard_error == 0.25);
  // AP 1/2, 1/3, 1/3, 1/2: mean 5/12, each 1/12 away from it.
  CHECK(result.mean_average_precision == doctest::Approx(5.0 / 12).epsilon(1e-15));
  CHECK(result.standard_error == doctest::Approx(std::sqrt(1.0 / 432)).epsilon(1e-12));
}

TEST_CASE("rows that are all equal are ranked by their number") {
  Context ctx;
  const std::vector<std::int32_t> labels = {0, 1, 0, 1, 0};
  for (const float value : {0.0f, 0.3f}) {
    FeatureMatrix x(5, 7);
    std::fill(x.values.begin(), x.values.end(), value);
    const RetrievalResult result = retrieval(ctx, {x, labels}, 2, {.k = {1, 2, 3}});
    // AP (1/2 + 2/4)/2, 1/3, (1 + 2/4)/2, 1/2, (1 + 2/3)/2.
    CHECK(result.mean_average_precision == doctest::Approx(7.0 / 12).epsilon(1e-15));
    CHECK(result.for_k(1).recall == 0.4);
    CHECK(result.for_k(2).recall == 0.8);
    CHECK(result.for_k(3).recall == 1);
  }
}

TEST_CASE("rows that come twice find each other first") {
  Context ctx;
  FeatureMatrix x = gaussian(200, 37, 7);
  std::vector<std::int32_t> labels;
  for (std::int32_t i = 0; i < 200; ++i) labels.push_back(i % 100);
  std::copy_n(x.row(0), 100 * 37, x.row(100));
  const RetrievalResult result = retrieval(ctx, {x, labels}, 100);
  CHECK(result.for_k(1).recall == 1);
  CHECK(result.mean_average_precision == 1);
  CHECK(result.standard_error == 0);
}

TEST_CASE("separate classes are retrieved without error and noise at chance") {
  Context ctx;
  const int classes = 5;
  const auto labels = random_labels(2000, classes, 8);
  const RetrievalResult easy = retrieval(ctx, {separate_classes(labels, 8, 9), labels}, classes);
  CHECK(easy.for_k(1).recall == 1);
  CHECK(easy.mean_average_precision == 1);
  const RetrievalResult noise = retrieval(ctx, {gaussian(2000, 8, 10), labels}, classes);
  for (const Recall& at : noise.at) {
    const double chance = 1 - std::pow(0.8, at.k);
    CHECK(std::abs(at.recall - chance) <= 4 * std::sqrt(chance * (1 - chance) / 2000));
  }
  CHECK(noise.mean_average_precision > 0.2);  // by the best of 400 places, a little above 1/5
  CHECK(noise.mean_average_precision < 0.22);
}

#if defined(_OPENMP)
TEST_CASE("retrieval has the same bits with one thread and with four") {
  Context ctx;
  const int threads = omp_get_max_threads();
  const auto with_threads = [&](int count, const FeatureMatrix& x,
                                const std::vector<std::int32_t>& labels) {
    omp_set_num_threads(count);
    const RetrievalResult result = retrieval(ctx, {x, labels}, 3, {.k = {1, 2}});
    omp_set_num_threads(threads);
    return result;
  };
  for (const auto& [rows, columns] : {std::pair{700, 1000}, {5, 20000}, {3, 2}}) {
    const FeatureMatrix x = gaussian(rows, columns, 11);
    std::vector<std::int32_t> labels = random_labels(rows, 3, 12);
    labels[0] = labels[1];
    const RetrievalResult one = with_threads(1, x, labels), four = with_threads(4, x, labels);
    CHECK(one.mean_average_precision == four.mean_average_precision);
    CHECK(one.standard_error == four.standard_error);
    CHECK(one.for_k(1).recall == four.for_k(1).recall);
    CHECK(one.for_k(2).recall == four.for_k(2).recall);
  }
}
#endif

TEST_CASE("impossible requests of retrieval are one clear error") {
  Context ctx;
  FeatureMatrix x = gaussian(4, 3, 13);
  const std::vector<std::int32_t> labels = {0, 1, 0, 1};
  const auto judge = [&](const std::vector<std::int32_t>& truth, std::vector<int> k) {
    return retrieval(ctx, {x, truth}, 4, {.k = std::move(k)});
  };
  CHECK(judge(labels, {3}).at.size() == 1);
  const std::string large = message_of(ErrorKind::usage, [&] { judge(labels, {1, 4}); });
  CHECK(large.find("k = 4 with 4 rows") != std::string::npos);
  message_of(ErrorKind::usage, [&] { judge(labels, {0}); });
  message_of(ErrorKind::usage, [&] { judge(labels, {}); });
  message_of(ErrorKind::usage, [&] { judge(labels, {1}).for_k(2); });
  message_of(ErrorKind::usage, [&] { retrieval(ctx, {FeatureMatrix(), labels}, 4); });
  message_of(ErrorKind::data, [&] { judge({0, 1, 4, 1}, {1}); });
  message_of(ErrorKind::data, [&] { judge({0, 1, -1, 1}, {1}); });
  message_of(ErrorKind::data, [&] { judge({0, 1}, {1}); });
  message_of(ErrorKind::data, [&] { judge({0, 1, 2, 3}, {1}); });  // nothing to find
  x.row(2)[1] = std::numeric_limits<float>::quiet_NaN();
  message_of(ErrorKind::not_finite, [&] { judge(labels, {1}); });
}
