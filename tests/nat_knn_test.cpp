#include "nat/evaluate/knn.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <vector>

#include "kernels/check.h"
#include "kernels/parallel.h"
#include "nat/evaluate/standardize.h"
#include "tests/error_message.h"
#include "tests/feature_rows.h"

using namespace nat;
using namespace nat::test;

namespace {

double cosine(const float* a, const float* b, std::int64_t columns) {
  double ab = 0, aa = 0, bb = 0;
  for (std::int64_t j = 0; j < columns; ++j) {
    const double x = static_cast<double>(a[j]), y = static_cast<double>(b[j]);
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  return aa == 0 || bb == 0 ? 0 : ab / (std::sqrt(aa) * std::sqrt(bb));
}

struct Neighbour {
  double similarity;
  std::int32_t index;
};

// The whole bank by decreasing similarity, in double.
std::vector<Neighbour> sorted_bank(const FeatureMatrix& bank, const float* query) {
  std::vector<Neighbour> all;
  for (std::int64_t i = 0; i < bank.rows; ++i) {
    all.push_back({cosine(query, bank.row(i), bank.columns), static_cast<std::int32_t>(i)});
  }
  std::stable_sort(all.begin(), all.end(), [](const Neighbour& a, const Neighbour& b) {
    return a.similarity > b.similarity;
  });
  return all;
}

std::int32_t reference_vote(const std::vector<Neighbour>& sorted, int k,
                            const std::vector<std::int32_t>& labels, int classes,
                            double temperature) {
  std::int32_t best = 0;
  double best_votes = -1, best_sum = 0;
  for (std::int32_t c = 0; c < classes; ++c) {
    double votes = 0, sum = 0;
    for (int i = 0; i < k; ++i) {
      const Neighbour& neighbour = sorted[static_cast<std::size_t>(i)];
      if (labels[static_cast<std::size_t>(neighbour.index)] != c) continue;
      votes += temperature > 0 ? std::exp(neighbour.similarity / temperature) : 1;
      sum += neighbour.similarity;
    }
    if (votes > best_votes || (votes == best_votes && sum > best_sum)) {
      best = c, best_votes = votes, best_sum = sum;
    }
  }
  return best;
}

}  // namespace

TEST_CASE("neighbours equal a brute force in double across the edges of the blocks") {
  Context ctx;
  const std::int64_t columns = 37;
  const FeatureMatrix bank = gaussian(2100, columns, 1);     // a full block of 2048 and a rest
  const FeatureMatrix queries = gaussian(1031, columns, 2);  // a full block of 1024 and a rest
  const int k = 13;
  const Neighbours found = nearest_neighbours(ctx, bank, queries, k);
  REQUIRE(found.queries == queries.rows);
  REQUIRE(found.k == k);

  // Unit vectors: the products of one similarity sum to at most 1 in magnitude, so its rounding
  // error is at most (columns + 4) u, u = 2^-24: the sum, and the four roundings of the norms.
  const double bound = static_cast<double>(columns + 4) * 0x1p-24;
  for (std::int64_t q = 0; q < queries.rows; q += 41) {
    const std::vector<Neighbour> expected = sorted_bank(bank, queries.row(q));
    const auto indices = found.indices_of(q);
    const auto similarities = found.similarities_of(q);
    CHECK(std::set<std::int32_t>(indices.begin(), indices.end()).size() == k);
    for (std::size_t rank = 0; rank < k; ++rank) {
      const double exact = cosine(queries.row(q), bank.row(indices[rank]), columns);
      CHECK(std::abs(static_cast<double>(similarities[rank]) - exact) <= bound);
      CHECK(std::abs(expected[rank].similarity - exact) <= 2 * bound);
    }
  }
}

TEST_CASE("equal similarities are ordered by bank row") {
  Context ctx;
  const FeatureMatrix bank = sign_rows(2500, 3), queries = sign_rows(40, 4);
  for (const int k : {1, 2, 20, 200, 2500}) {
    const Neighbours found = nearest_neighbours(ctx, bank, queries, k);
    for (std::int64_t q = 0; q < queries.rows; ++q) {
      const std::vector<Neighbour> expected = sorted_bank(bank, queries.row(q));
      int differences = 0;
      for (std::size_t rank = 0; rank < static_cast<std::size_t>(k); ++rank) {
        differences += found.indices_of(q)[rank] != expected[rank].index;
        differences +=
            static_cast<double>(found.similarities_of(q)[rank]) != expected[rank].similarity;
      }
      CHECK(differences == 0);
    }
  }
}

TEST_CASE("neighbours that are hardly nearer than others are found, in whatever order they come") {
  Context ctx;
  // Row i has the cosine 1 - step * rank to the query; in float such cosines are 2^-24 apart.
  constexpr std::int64_t kRows = 400;
  constexpr double kStep = 1e-6;
  const auto check = [&](auto&& rank_of) {
    FeatureMatrix bank(kRows, 2), query(1, 2);
    query.values = {1, 0};
    for (std::int64_t i = 0; i < kRows; ++i) {
      const double cosine = 1 - kStep * static_cast<double>(rank_of(i));
      bank.row(i)[0] = static_cast<float>(cosine);
      bank.row(i)[1] = static_cast<float>(std::sqrt(1 - cosine * cosine));
    }
    const Neighbours found = nearest_neighbours(ctx, bank, query, 5);
    for (std::size_t rank = 0; rank < 5; ++rank) {
      CHECK(rank_of(found.index[rank]) == static_cast<std::int64_t>(rank));
    }
  };
  check([](std::int64_t i) { return i; });
  check([](std::int64_t i) { return kRows - 1 - i; });
  check([](std::int64_t i) { return 37 * i % kRows; });
}

TEST_CASE("at a low temperature the nearest neighbour decides, however far it is") {
  Context ctx;
  // Cosines to the query: 0.1 and four times 0.09.
  FeatureMatrix bank(5, 2), test(1, 2);
  test.values = {1, 0};
  const std::vector<std::int32_t> bank_labels = {1, 0, 0, 0, 0}, test_labels = {1};
  for (std::int64_t i = 0; i < bank.rows; ++i) {
    bank.row(i)[0] = i == 0 ? 0.1f : 0.09f;
    bank.row(i)[1] = std::sqrt(1 - bank.row(i)[0] * bank.row(i)[0]);
  }
  for (const double temperature : {1e-3, 1e-5, 1e-12}) {
    const KnnOptions options{.k = {5}, .temperature = temperature};
    const KnnResult result =
        knn_accuracy(ctx, {bank, bank_labels}, {test, test_labels}, 2, options);
    CHECK(result.at[0].accuracy == 1);
  }
}

TEST_CASE("plain and weighted votes equal a brute force in double, ties included") {
  Context ctx;
  const int classes = 4;
  const FeatureMatrix bank = sign_rows(300, 5), test = sign_rows(200, 6);
  const auto bank_labels = random_labels(300, classes, 7);
  const auto test_labels = random_labels(200, classes, 8);
  for (const double temperature : {0.0, 0.07, 2.0}) {
    const KnnOptions options{.k = {20, 1, 2, 7, 300}, .temperature = temperature};
    const KnnResult result =
        knn_accuracy(ctx, {bank, bank_labels}, {test, test_labels}, classes, options);
    REQUIRE(result.at.size() == options.k.size());
    for (std::size_t i = 0; i < options.k.size(); ++i) {
      int correct = 0;
      for (std::int64_t q = 0; q < test.rows; ++q) {
        const std::int32_t predicted = reference_vote(sorted_bank(bank, test.row(q)), options.k[i],
                                                      bank_labels, classes, temperature);
        correct += predicted == test_labels[static_cast<std::size_t>(q)];
      }
      CHECK(result.at[i].k == options.k[i]);
      CHECK(result.at[i].accuracy == correct / 200.0);
    }
    CHECK(result.n_bank == 300);
    CHECK(result.n_test == 200);
  }
}

TEST_CASE("a tied vote goes to the nearer class, then to the smaller label") {
  Context ctx;
  // Similarities to the query (1, 0): 1, 0.8, 0.8, 0.6 for the four rows in turn.
  FeatureMatrix bank(4, 2), query(1, 2);
  bank.values = {1, 0, 0.8f, 0.6f, 0.8f, -0.6f, 0.6f, 0.8f};
  query.values = {1, 0};
  const std::vector<std::int32_t> nearer_is_2 = {2, 1, 2, 1};
  const KnnOptions all_four{.k = {4}}, middle_two{.k = {2}};
  const auto predicts = [&](const std::vector<std::int32_t>& labels, std::int32_t expected,
                            const FeatureMatrix& rows, const KnnOptions& options) {
    const std::vector<std::int32_t> truth = {expected};
    return knn_accuracy(ctx, {rows, labels}, {query, truth}, 3, options).at[0].accuracy == 1;
  };
  CHECK(predicts(nearer_is_2, 2, bank, all_four));
  FeatureMatrix pair(2, 2);
  pair.values = {0.8f, 0.6f, 0.8f, -0.6f};
  CHECK(predicts({2, 1}, 1, pair, middle_two));
  CHECK(predicts({1, 2}, 1, pair, middle_two));
}

TEST_CASE("a zero row has similarity 0 to everything") {
  Context ctx;
  FeatureMatrix bank(3, 2), queries(2, 2);
  bank.values = {-1, 0, 0, 0, 2, 0};
  queries.values = {0, 0, 3, 0};
  const Neighbours found = nearest_neighbours(ctx, bank, queries, 3);
  CHECK(found.index == std::vector<std::int32_t>{0, 1, 2, 2, 1, 0});
  CHECK(found.similarity == std::vector<float>{0, 0, 0, 1, 0, -1});
}

TEST_CASE("rows of every length that a float can hold twice over have their similarities") {
  Context ctx;
  const FeatureMatrix bank = sign_rows(60, 11), queries = sign_rows(20, 12);
  const Neighbours expected = nearest_neighbours(ctx, bank, queries, 60);
  const auto stretched = [](FeatureMatrix x, std::int64_t row, float by) {
    for (std::int64_t j = 0; j < x.columns; ++j) x.row(row)[j] *= by;
    return x;
  };
  // sign_rows are 2 long: lengths from 2^-126 to 2^126, and all operations exact.
  FeatureMatrix long_and_short = bank, others = queries;
  for (std::int64_t i = 0; i < bank.rows; ++i) {
    long_and_short = stretched(long_and_short, i,
                               i % 3 == 0   ? 0x1p125f
                               : i % 3 == 1 ? 0x1p-127f
                                            : 1);
  }
  for (std::int64_t i = 0; i < queries.rows; ++i) {
    others = stretched(others, i, i % 2 == 0 ? 0x1p125f : 0x1p-127f);
  }
  const Neighbours found = nearest_neighbours(ctx, long_and_short, others, 60);
  CHECK(found.index == expected.index);
  CHECK(found.similarity == expected.similarity);

  const FeatureMatrix vanishing = stretched(bank, 7, 0x1p-149f);
  const Neighbours of_vanishing = nearest_neighbours(ctx, vanishing, queries, 60);
  std::int64_t times = 0;
  for (std::size_t i = 0; i < of_vanishing.index.size(); ++i) {
    if (of_vanishing.index[i] != 7) continue;
    ++times;
    CHECK(of_vanishing.similarity[i] == 0);
  }
  CHECK(times == queries.rows);
  const FeatureMatrix too_long = stretched(bank, 7, std::numeric_limits<float>::max());
  for (const auto& judge : {+[](Context&c, const FeatureMatrix&a, const FeatureMatrix&b) {
                              nearest_neighbours(c, a, b, 1);
                            },
                            +[](Context&c, const FeatureMatrix&a, const FeatureMatrix&b) {
                              nearest_neighbours(c, b, a, 1);
                            }}) {
    CHECK(message_of(ErrorKind::not_finite, [&] {
            judge(ctx, too_long, queries);
          }).find("row 7 is 6.8") != std::string::npos);
  }
}

TEST_CASE("separate clusters are classified without error and noise at chance") {
  Context ctx;
  const int classes = 5;
  const auto bank_labels = random_labels(500, classes, 9);
  const auto test_labels = random_labels(2000, classes, 10);
  const KnnOptions options{.k = {1, 20}};
  const KnnResult easy =
      knn_accuracy(ctx, {separate_classes(bank_labels, 8, 11), bank_labels},
                   {separate_classes(test_labels, 8, 12), test_labels}, classes, options);
  CHECK(easy.for_k(20).accuracy == 1);
  CHECK(easy.for_k(20).standard_error == 0);

  const KnnResult noise = knn_accuracy(ctx, {gaussian(500, 8, 13), bank_labels},
                                       {gaussian(2000, 8, 14), test_labels}, classes, options);
  for (const KnnAccuracy& at : noise.at) {
    CHECK(std::abs(at.accuracy - 0.2) <= 4 * std::sqrt(0.2 * 0.8 / 2000));
    CHECK(at.standard_error ==
          doctest::Approx(std::sqrt(at.accuracy * (1 - at.accuracy) / 2000)).epsilon(1e-12));
  }
}

#if defined(_OPENMP)
TEST_CASE("one thread and two threads find the same neighbours") {
  Context ctx;
  const FeatureMatrix bank = sign_rows(2100, 19), queries = sign_rows(1500, 20);
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const Neighbours one = nearest_neighbours(ctx, bank, queries, 20);
  omp_set_num_threads(2);
  const Neighbours two = nearest_neighbours(ctx, bank, queries, 20);
  omp_set_num_threads(threads);
  CHECK(one.index == two.index);
  CHECK(one.similarity == two.similarity);
}
#endif

TEST_CASE("impossible requests of the kNN judge are one clear error") {
  Context ctx;
  const FeatureMatrix bank = gaussian(10, 3, 21), test = gaussian(4, 3, 22);
  const FeatureMatrix narrow = gaussian(4, 2, 23);
  const std::vector<std::int32_t> labels(10, 0), test_labels(4, 1), wrong = {0, 1, 2, 0};
  const auto accuracy = [&](const std::vector<std::int32_t>& truth, std::vector<int> k) {
    return knn_accuracy(ctx, {bank, labels}, {test, truth}, 2, {.k = std::move(k)});
  };
  message_of(ErrorKind::usage, [&] { nearest_neighbours(ctx, bank, test, 11); });
  message_of(ErrorKind::usage, [&] { nearest_neighbours(ctx, bank, test, 0); });
  message_of(ErrorKind::usage, [&] { nearest_neighbours(ctx, bank, narrow, 1); });
  message_of(ErrorKind::usage, [&] { nearest_neighbours(ctx, bank, FeatureMatrix(), 1); });
  message_of(ErrorKind::usage, [&] { nearest_neighbours(ctx, FeatureMatrix(), test, 1); });
  message_of(ErrorKind::usage, [&] { accuracy(test_labels, {1, 11}); });
  message_of(ErrorKind::usage, [&] { accuracy(test_labels, {}); });
  message_of(ErrorKind::usage, [&] { accuracy(test_labels, {1}).for_k(20); });
  message_of(ErrorKind::data, [&] { accuracy(wrong, {1}); });
  message_of(ErrorKind::data, [&] { accuracy({0, 1, -1, 0}, {1}); });
  message_of(ErrorKind::data, [&] { accuracy({0, 1}, {1}); });

  FeatureMatrix overfull = test;
  overfull.values.push_back(0);
  message_of(ErrorKind::usage, [&] { nearest_neighbours(ctx, bank, overfull, 1); });

  FeatureMatrix broken = test;
  broken.row(2)[1] = std::numeric_limits<float>::quiet_NaN();
  message_of(ErrorKind::not_finite, [&] { nearest_neighbours(ctx, bank, broken, 1); });
  message_of(ErrorKind::not_finite, [&] { Standardizer{broken}; });
  message_of(ErrorKind::usage, [&] {
    FeatureMatrix copy = narrow;
    Standardizer(bank).apply(copy);
  });
}

TEST_CASE("standardised columns have mean 0 and variance 1, constant columns become 0") {
  FeatureMatrix train = gaussian(1001, 5, 24), test = gaussian(7, 5, 25);
  for (std::int64_t i = 0; i < train.rows; ++i) {
    train.row(i)[1] = 1000 + 0.25f * train.row(i)[1];  // a small signal on a large mean
    train.row(i)[3] = 0.1f;                            // no signal
  }
  const FeatureMatrix raw_train = train, raw_test = test;
  standardize(train, test);
  for (std::int64_t j = 0; j < 5; ++j) {
    double mean = 0, square = 0, deviation = 0;
    for (std::int64_t i = 0; i < train.rows; ++i) mean += raw_train.row(i)[j] / 1001.0;
    for (std::int64_t i = 0; i < train.rows; ++i) {
      square += std::pow(raw_train.row(i)[j] - mean, 2) / 1001.0;
    }
    deviation = std::sqrt(square);
    for (std::int64_t i = 0; i < test.rows; ++i) {
      const double actual = static_cast<double>(test.row(i)[j]);
      const double expected = j == 3 ? 0 : (raw_test.row(i)[j] - mean) / deviation;
      // One rounding to float; 1e-9 covers the double sums.
      CHECK(std::abs(actual - expected) <= std::abs(expected) * (0x1p-24 + 1e-9));
    }
  }
  for (std::int64_t i = 0; i < train.rows; ++i) CHECK(train.row(i)[3] == 0);
}
