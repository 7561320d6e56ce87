#include "nat/evaluate/average_precision.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "tests/error_message.h"
#include "tests/feature_rows.h"

using namespace nat;
using namespace nat::test;

namespace {

using Flags = std::vector<std::int8_t>;
using Scores = std::vector<float>;

constexpr PrecisionMean kBoth[] = {PrecisionMean::voc2007, PrecisionMean::area};

double voc2007(const Scores& scores, const Flags& flags) {
  return average_precision(PrecisionMean::voc2007, scores, flags).value();
}
double area(const Scores& scores, const Flags& flags) {
  return average_precision(PrecisionMean::area, scores, flags).value();
}

// Eleven quotients of small integers: eleven roundings, ten additions, a division.
bool nearly(double actual, double expected) { return std::abs(actual - expected) <= 24 * 0x1p-53; }

// The definition, every threshold against every other, without a sort.
struct Point {
  double precision;
  std::int64_t positives;
};

std::vector<Point> curve(const Scores& scores, const Flags& flags) {
  std::vector<Point> points;
  for (std::size_t t = 0; t < scores.size(); ++t) {
    if (flags[t] == 0) continue;
    std::int64_t positives = 0, pictures = 0;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (flags[i] == 0 || scores[i] < scores[t]) continue;
      ++pictures;
      if (flags[i] == 1) ++positives;
    }
    points.push_back({static_cast<double>(positives) / static_cast<double>(pictures), positives});
  }
  return points;
}

// p(r) for r = numerator / denominator of all positives.
double best_precision(const std::vector<Point>& points, std::int64_t numerator,
                      std::int64_t denominator, std::int64_t all) {
  double best = 0;
  for (const Point& point : points) {
    if (point.positives * denominator >= numerator * all) best = std::max(best, point.precision);
  }
  return best;
}

double by_definition(PrecisionMean kind, const Scores& scores, const Flags& flags) {
  const std::vector<Point> points = curve(scores, flags);
  const auto all = static_cast<std::int64_t>(std::count(flags.begin(), flags.end(), 1));
  // The area is a sum over steps of 1 / all: p is constant between (k - 1) / all and k / all.
  const std::int64_t steps = kind == PrecisionMean::voc2007 ? 10 : all;
  double sum = 0;
  for (std::int64_t k = kind == PrecisionMean::voc2007 ? 0 : 1; k <= steps; ++k) {
    sum += best_precision(points, k, steps, all);
  }
  return sum / static_cast<double>(kind == PrecisionMean::voc2007 ? 11 : all);
}

// n scores of `levels` values, shares of positives and of pictures left out in 256ths.
struct Case {
  Scores scores;
  Flags flags;
};

Case random_case(std::int64_t n, std::uint32_t levels, std::uint32_t positive, std::uint32_t out,
                 std::uint64_t seed) {
  Case made;
  for (std::int64_t i = 0; i < n; ++i) {
    const Random4 random = draw(seed, i);
    made.scores.push_back(static_cast<float>(random.value[0] % levels) / 8 - 3);
    const std::uint32_t kind = random.value[1] % 256;
    made.flags.push_back(static_cast<std::int8_t>(kind < out ? 0 : kind < out + positive ? 1 : -1));
  }
  made.flags.front() = 1;
  return made;
}

}  // namespace

TEST_CASE("five pictures by hand") {
  const Scores scores = {0.5f, 0.9f, 0.6f, 0.8f, 0.7f};
  const Flags flags = {-1, 1, 1, -1, 1};
  // By falling score + - + + -: precision 1, 1/2, 2/3, 3/4, 3/5 at recall 1/3, 1/3, 2/3, 1, 1.
  // p(r) = 1 up to r = 1/3, then 3/4. Area: 1/3 + 2/3 * 3/4 = 5/6.
  // Of the eleven recalls 0, 0.1, 0.2, 0.3 have 1, the other seven 3/4: (4 + 21/4) / 11 = 37/44.
  CHECK(nearly(area(scores, flags), 5.0 / 6));
  CHECK(nearly(voc2007(scores, flags), 37.0 / 44));
}

TEST_CASE("a negative before every positive, and the other way round") {
  // - + +: precision 0, 1/2, 2/3 at recall 0, 1/2, 1: p(r) = 2/3 everywhere.
  CHECK(nearly(area({3, 2, 1}, {-1, 1, 1}), 2.0 / 3));
  CHECK(nearly(voc2007({3, 2, 1}, {-1, 1, 1}), 2.0 / 3));
  // + + -: precision 1 up to recall 1.
  CHECK(area({3, 2, 1}, {1, 1, -1}) == 1);
  CHECK(voc2007({3, 2, 1}, {1, 1, -1}) == 1);
  // + - - - +: 1 up to recall 1/2, then 2/5. Area 1/2 + 1/5 = 7/10; six recalls up to 0.5 have 1,
  // five 2/5: (6 + 2) / 11 = 8/11.
  CHECK(nearly(area({5, 4, 3, 2, 1}, {1, -1, -1, -1, 1}), 0.7));
  CHECK(nearly(voc2007({5, 4, 3, 2, 1}, {1, -1, -1, -1, 1}), 8.0 / 11));
}

TEST_CASE("a recall of three tenths reaches the recall 0.3 exactly") {
  // Three positives, ten negatives, seven positives: precision 1 up to recall 3/10, then at most
  // 10/20. Recalls 0, 0.1, 0.2, 0.3 have 1, the other seven 1/2: (4 + 7/2) / 11 = 15/22.
  Scores scores;
  Flags flags;
  for (int i = 0; i < 20; ++i) {
    scores.push_back(static_cast<float>(-i));
    flags.push_back(i < 3 || i >= 13 ? 1 : -1);
  }
  CHECK(nearly(voc2007(scores, flags), 15.0 / 22));
  CHECK(nearly(area(scores, flags), 0.3 + 0.7 / 2));
}

TEST_CASE("equal scores enter together, whatever their order") {
  // + and - at 2, + and - at 1: precision 1/2 at both thresholds.
  for (const Flags& flags : {Flags{1, -1, 1, -1}, Flags{-1, 1, -1, 1}, Flags{1, -1, -1, 1}}) {
    CHECK(area({2, 2, 1, 1}, flags) == 0.5);
    CHECK(nearly(voc2007({2, 2, 1, 1}, flags), 0.5));
  }
  // All equal: the share of positives. Zero has one value, with either sign.
  CHECK(area({0, -0.0f, 0, -0.0f}, {1, -1, -1, -1}) == 0.25);
  CHECK(area({0, -0.0f, 0, -0.0f}, {-1, 1, -1, -1}) == 0.25);

  const Case made = random_case(300, 20, 60, 40, 1);
  for (const PrecisionMean kind : kBoth) {
    const double expected = average_precision(kind, made.scores, made.flags).value();
    for (const std::size_t stride : {7u, 11u, 299u}) {  // permutations of 300
      Case other = made;
      for (std::size_t i = 0; i < 300; ++i) {
        other.scores[i] = made.scores[i * stride % 300];
        other.flags[i] = made.flags[i * stride % 300];
      }
      CHECK(average_precision(kind, other.scores, other.flags).value() == expected);
    }
  }
}

TEST_CASE("pictures that are left out change nothing") {
  const Scores scores = {0.5f, 0.9f, 0.6f, 0.8f, 0.7f};
  const Flags flags = {-1, 1, 1, -1, 1};
  // Before all others, among them, equal to one of them, after them.
  const Scores more = {5, 0.5f, 0.9f, 0.9f, 0.65f, 0.6f, 0.8f, 0.7f, -5};
  const Flags with_out = {0, -1, 1, 0, 0, 1, -1, 1, 0};
  CHECK(area(more, with_out) == area(scores, flags));
  CHECK(voc2007(more, with_out) == voc2007(scores, flags));
}

TEST_CASE("both means equal the definition on random pictures") {
  for (const PrecisionMean kind : kBoth) {
    std::uint64_t seed = 10;
    for (const std::int64_t n : {1, 2, 7, 50, 400}) {
      for (const std::uint32_t levels : {1u, 5u, 64u, 1000000u}) {
        for (const std::uint32_t positive : {10u, 128u, 200u}) {
          CAPTURE(n);
          CAPTURE(levels);
          CAPTURE(positive);
          const Case made = random_case(n, levels, positive, 30, ++seed);
          // The same precisions, added up in another order: a rounding an addition on both sides.
          const double expected = by_definition(kind, made.scores, made.flags);
          const double actual = average_precision(kind, made.scores, made.flags).value();
          CHECK(std::abs(actual - expected) <= static_cast<double>(n + 12) * 0x1p-52);
        }
      }
    }
  }
}

TEST_CASE("a class without positives has no average precision") {
  for (const PrecisionMean kind : kBoth) {
    CHECK(!average_precision(kind, Scores{}, Flags{}).has_value());
    CHECK(!average_precision(kind, Scores{1, 2}, Flags{-1, 0}).has_value());
    CHECK(!average_precision(kind, Scores{1, 2}, Flags{0, 0}).has_value());
  }
}

TEST_CASE("the mean is over the classes that have positives") {
  FeatureMatrix scores(3, 4);
  // Class 0: + + -, 1. Class 1: no positive. Class 2: - +, 1/2. Class 3: all equal, one in three.
  scores.values = {3, 1, 9, 7,  //
                   2, 2, 8, 7,  //
                   1, 3, 7, 7};
  const Flags flags = {1,  -1, -1, -1,  //
                       1,  0,  1,  1,   //
                       -1, -1, 0,  -1};
  for (const PrecisionMean kind : kBoth) {
    const MeanAveragePrecision result = mean_average_precision(kind, scores, flags);
    CHECK(result.classes_judged == 3);
    REQUIRE(result.of_class.size() == 4);
    CHECK(result.of_class[0].value() == 1);
    CHECK(!result.of_class[1].has_value());
    CHECK(nearly(result.of_class[2].value(), 0.5));
    CHECK(nearly(result.of_class[3].value(), 1.0 / 3));
    CHECK(nearly(result.mean, (1 + 0.5 + 1.0 / 3) / 3));
  }
}

TEST_CASE("every class of a matrix is judged as if alone") {
  const std::int64_t n = 90;
  FeatureMatrix scores(n, 5);
  Flags flags(static_cast<std::size_t>(n * 5));
  std::vector<Case> alone;
  for (std::size_t c = 0; c < 5; ++c) {
    alone.push_back(random_case(n, 30, 50, 20, 900 + c));
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
      scores.values[i * 5 + c] = alone[c].scores[i];
      flags[i * 5 + c] = alone[c].flags[i];
    }
  }
  for (const PrecisionMean kind : kBoth) {
    const MeanAveragePrecision result = mean_average_precision(kind, scores, flags);
    for (std::size_t c = 0; c < 5; ++c) {
      CHECK(result.of_class[c] == average_precision(kind, alone[c].scores, alone[c].flags));
    }
  }
}

TEST_CASE("what cannot be judged is refused in one line") {
  FeatureMatrix scores(2, 2);
  scores.values = {1, 2, 3, 4};
  const auto message = [&](const Flags& flags) {
    return message_of(ErrorKind::data,
                      [&] { mean_average_precision(PrecisionMean::area, scores, flags); });
  };
  const auto says = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  CHECK(says(message({-1, 0, -1, -1}), "none of the 2 classes"));
  CHECK(says(message({-1, 1, -1}), "3 flags for 4 scores"));
  CHECK(says(message({-1, 1, 2, -1}), "row 1, class 0 is 2"));
  CHECK(says(message({-1, 1, -1, -2}), "row 1, class 1 is -2"));
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity()}) {
    scores.values = {1, bad, 3, 4};
    CHECK(says(message({1, 0, 1, 1}), "row 0, class 1"));
    CHECK(says(
        message_of(ErrorKind::data,
                   [&] {
                     average_precision(PrecisionMean::area, Scores{1, 2, bad}, Flags{1, 1, -1});
                   }),
        "row 2"));
  }
  scores.values.pop_back();
  CHECK(says(message({1, 1, 1, 1}), "3 scores for 2 pictures and 2 classes"));
  CHECK(says(message_of(ErrorKind::data,
                        [] {
                          average_precision(PrecisionMean::area, Scores{1, 2}, Flags{1});
                        }),
             "1 flags for 2 scores"));
  CHECK(says(
      message_of(ErrorKind::data,
                 [] { mean_average_precision(PrecisionMean::area, FeatureMatrix(), Flags()); }),
      "none of the 0 classes"));
}
