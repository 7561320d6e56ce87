#include "nat/evaluate/average_precision.h"

#include <algorithm>
#include <cmath>

#include "kernels/check.h"

namespace nat {
namespace {

// The score of a picture that counts.
struct Scored {
  float score;
  bool is_positive;
};

// What scores reach a threshold.
struct Reached {
  std::int64_t positives, pictures;
  double precision() const {
    return static_cast<double>(positives) / static_cast<double>(pictures);
  }
};

// Of one class or of several, row after row.
struct Judged {
  std::span<const float> scores;
  std::span<const std::int8_t> flags;
  std::size_t classes;
};

void check(const Judged& judged) {
  NAT_CHECK(judged.flags.size() == judged.scores.size(), ErrorKind::data,
            "average precision: ", judged.flags.size(), " flags for ", judged.scores.size(),
            " scores; give one flag a score");
  for (std::size_t at = 0; at < judged.scores.size(); ++at) {
    const float score = judged.scores[at];
    const std::int8_t flag = judged.flags[at];
    NAT_CHECK(std::isfinite(score), ErrorKind::data, "average precision: the score of row ",
              at / judged.classes, ", class ", at % judged.classes, " is ", score,
              "; the classifier has diverged");
    NAT_CHECK(flag >= -1 && flag <= 1, ErrorKind::data, "average precision: the flag of row ",
              at / judged.classes, ", class ", at % judged.classes, " is ", static_cast<int>(flag),
              "; give 1 where a picture shows the class, -1 where it does not, 0 to leave it out");
  }
}

// One entry a threshold, thresholds falling: both counts rise.
std::vector<Reached> thresholds(std::vector<Scored>& pictures) {
  std::sort(pictures.begin(), pictures.end(),
            [](const Scored& a, const Scored& b) { return a.score > b.score; });
  std::vector<Reached> reached;
  std::int64_t positives = 0;
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    positives += pictures[i].is_positive ? 1 : 0;
    const bool is_last = i + 1 == pictures.size() || pictures[i + 1].score < pictures[i].score;
    if (is_last) reached.push_back({positives, static_cast<std::int64_t>(i) + 1});
  }
  return reached;
}

// Both means go from the largest recall down, where p(r) is a running maximum.
double mean_of_eleven(const std::vector<Reached>& reached) {
  const std::int64_t positives = reached.back().positives;
  double p = 0, sum = 0;
  std::size_t left = reached.size();
  for (std::int64_t tenths = 10; tenths >= 0; --tenths) {
    for (; left > 0 && 10 * reached[left - 1].positives >= tenths * positives; --left) {
      p = std::max(p, reached[left - 1].precision());
    }
    sum += p;
  }
  return sum / 11;
}

double area(const std::vector<Reached>& reached) {
  double p = 0, sum = 0;
  for (std::size_t left = reached.size(); left > 0; --left) {
    const std::int64_t before = left > 1 ? reached[left - 2].positives : 0;
    p = std::max(p, reached[left - 1].precision());
    sum += static_cast<double>(reached[left - 1].positives - before) * p;
  }
  return sum / static_cast<double>(reached.back().positives);
}

std::optional<double> of_class(PrecisionMean kind, const Judged& judged, std::size_t c) {
  std::vector<Scored> pictures;
  for (std::size_t at = c; at < judged.scores.size(); at += judged.classes) {
    if (judged.flags[at] != 0) pictures.push_back({judged.scores[at], judged.flags[at] > 0});
  }
  const std::vector<Reached> reached = thresholds(pictures);
  if (reached.empty() || reached.back().positives == 0) return std::nullopt;
  return kind == PrecisionMean::voc2007 ? mean_of_eleven(reached) : area(reached);
}

}  // namespace

std::optional<double> average_precision(PrecisionMean kind, std::span<const float> scores,
                                        std::span<const std::int8_t> flags) {
  const Judged judged{scores, flags, 1};
  check(judged);
  return of_class(kind, judged, 0);
}

MeanAveragePrecision mean_average_precision(PrecisionMean kind, const FeatureMatrix& scores,
                                            std::span<const std::int8_t> flags) {
  NAT_CHECK(std::ssize(scores.values) == scores.rows * scores.columns, ErrorKind::data,
            "average precision: ", scores.values.size(), " scores for ", scores.rows,
            " pictures and ", scores.columns, " classes; fill the whole matrix");
  const Judged judged{scores.values, flags, static_cast<std::size_t>(scores.columns)};
  check(judged);
  MeanAveragePrecision result;
  double sum = 0;
  for (std::size_t c = 0; c < judged.classes; ++c) {
    result.of_class.push_back(of_class(kind, judged, c));
    if (!result.of_class.back()) continue;
    sum += *result.of_class.back();
    ++result.classes_judged;
  }
  NAT_CHECK(result.classes_judged > 0, ErrorKind::data, "average precision: none of the ",
            judged.classes, " classes has a picture that shows it; judge pictures with positives");
  result.mean = sum / result.classes_judged;
  return result;
}

}  // namespace nat
