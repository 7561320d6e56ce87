#include "nat/evaluate/retrieval.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <utility>

#include "kernels/check.h"
#include "kernels/gemm.h"
#include "nat/evaluate/row_blocks.h"
#include "nat/evaluate/unit_rows.h"

namespace nat {
namespace {

// Queries of one block: many enough for full matrix-product speed, and their similarities to all
// rows, 16 MiB of float32 at most, as long as that is a row or more.
constexpr std::int64_t kMaxQueries = 512;
constexpr std::int64_t kMaxNumbers = 1 << 22;

// What becomes of one query.
struct Answer {
  std::int64_t first_place = 0;  // of a row of its class; 0: there is none
  double average_precision = 0;
};

// Integers that fall as similarities rise: the bits of a float, read as an integer, rise with
// positive values and fall with negative ones. Adding zero makes +0 of -0, which is its equal.
std::uint32_t falling_key(float similarity) {
  constexpr std::uint32_t kSign = 0x80000000u;
  const auto bits = std::bit_cast<std::uint32_t>(similarity + 0.0f);
  return (bits & kSign) != 0 ? bits : ~(bits | kSign);
}

// The other rows of one query as integers, key << 1 | (1 if of the query's class), and their sort
// by digits of the key. It is stable, so that rows of equal similarity stay in the order they came
// in.
class Ranking {
 public:
  explicit Ranking(std::int64_t rows) { items_.reserve(static_cast<std::size_t>(rows)); }

  void clear() { items_.clear(); }
  void add(float similarity, bool same_class) {
    items_.push_back(std::uint64_t{falling_key(similarity)} << 1 | (same_class ? 1u : 0u));
  }

  Answer answer() {
    sort();
    Answer answer;
    double found = 0, sum = 0;
    for (std::size_t i = 0; i < items_.size(); ++i) {
      if ((items_[i] & 1) == 0) continue;
      const auto place = static_cast<std::int64_t>(i) + 1;
      if (found == 0) answer.first_place = place;
      sum += ++found / static_cast<double>(place);
    }
    answer.average_precision = found > 0 ? sum / found : 0;
    return answer;
  }

 private:
  static constexpr int kDigits = 3, kDigitBits = 11;  // 33 bits, of which 32 are used
  static constexpr std::size_t kValues = std::size_t{1} << kDigitBits;

  static std::size_t digit_of(std::uint64_t item, int digit) {
    return static_cast<std::size_t>(item >> (1 + digit * kDigitBits)) & (kValues - 1);
  }

  void sort() {
    std::array<std::array<std::uint32_t, kValues>, kDigits> first{};
    for (const std::uint64_t item : items_) {
      for (int digit = 0; digit < kDigits; ++digit) {
        ++first[static_cast<std::size_t>(digit)][digit_of(item, digit)];
      }
    }
    sorted_.resize(items_.size());
    for (int digit = 0; digit < kDigits; ++digit) {
      auto& next = first[static_cast<std::size_t>(digit)];
      std::uint32_t before = 0;
      for (std::uint32_t& count : next) before += std::exchange(count, before);
      for (const std::uint64_t item : items_) sorted_[next[digit_of(item, digit)]++] = item;
      items_.swap(sorted_);
    }
  }

  std::vector<std::uint64_t> items_, sorted_;
};

// Answers the queries of rows [begin, end).
void answer_block(const LabelledFeatures& test, std::span<const float> inverse, std::int64_t begin,
                  std::int64_t end, Answer* answers) {
  const FeatureMatrix& features = test.features;
  const std::int64_t rows = features.rows;
  Context ctx;
  Scratch::Frame frame(ctx.scratch);
  float* unit = frame.take<float>(static_cast<std::size_t>((end - begin) * features.columns));
  float* products = frame.take<float>(static_cast<std::size_t>((end - begin) * rows));
  unit_rows(features, inverse, begin, end, unit);
  gemm(ctx, Transpose::no, Transpose::yes, 0,
       ConstView(unit, DType::f32, Shape(end - begin, features.columns)), features.view(0, rows),
       View(products, DType::f32, Shape(end - begin, rows)));

  Ranking ranking(rows);
  for (std::int64_t q = begin; q < end; ++q) {
    const float* product = products + (q - begin) * rows;
    const std::int32_t label = test.labels[static_cast<std::size_t>(q)];
    ranking.clear();
    for (std::int64_t i = 0; i < rows; ++i) {
      const auto at = static_cast<std::size_t>(i);
      if (i != q) ranking.add(product[i] * inverse[at], test.labels[at] == label);
    }
    answers[q] = ranking.answer();
  }
}

double share_within(std::span<const Answer> answers, int k) {
  const auto within = [k](const Answer& answer) { return answer.first_place <= k; };
  return static_cast<double>(std::count_if(answers.begin(), answers.end(), within)) /
         static_cast<double>(answers.size());
}

void average(std::span<const Answer> answers, RetrievalResult& result) {
  const auto count = static_cast<double>(answers.size());
  double sum = 0, square = 0;
  for (const Answer& answer : answers) sum += answer.average_precision;
  const double mean = sum / count;
  for (const Answer& answer : answers) {
    square += (answer.average_precision - mean) * (answer.average_precision - mean);
  }
  result.mean_average_precision = mean;
  result.standard_error = count > 1 ? std::sqrt(square / (count - 1) / count) : 0;
}

}  // namespace

const Recall& RetrievalResult::for_k(int k) const {
  const auto found = std::find_if(at.begin(), at.end(), [k](const auto& a) { return a.k == k; });
  NAT_CHECK(found != at.end(), ErrorKind::usage, "retrieval: k = ", k,
            " was not computed; add it to the list of k");
  return *found;
}

RetrievalResult retrieval(Context& ctx, const LabelledFeatures& test, int classes,
                          const RetrievalOptions& options) {
  NAT_CHECK(ctx.device == Device::cpu, ErrorKind::device,
            "retrieval: features lie in host memory; give a CPU context");
  check_labelled("retrieval", "test", test, classes);
  NAT_CHECK(!options.k.empty(), ErrorKind::usage,
            "retrieval: the list of k is empty; give e.g. 1, 5, 10");
  const std::int64_t rows = test.features.rows;
  for (const int k : options.k) {
    NAT_CHECK(k >= 1 && k < rows, ErrorKind::usage, "retrieval: k = ", k, " with ", rows,
              " rows; give k between 1 and one less than the number of rows");
  }

  const std::vector<float> inverse = inverse_norms("retrieval", "test", test.features);
  std::vector<Answer> answers(static_cast<std::size_t>(rows));
  const std::int64_t widest = std::max(rows, test.features.columns);
  for_row_blocks(rows, std::clamp<std::int64_t>(kMaxNumbers / widest, 1, kMaxQueries),
                 [&](std::int64_t begin, std::int64_t end) {
                   answer_block(test, inverse, begin, end, answers.data());
                 });
  std::erase_if(answers, [](const Answer& answer) { return answer.first_place == 0; });
  NAT_CHECK(!answers.empty(), ErrorKind::data,
            "retrieval: no class has two test rows; nothing can be found");

  RetrievalResult result;
  result.n_queries = std::ssize(answers);
  result.n_left_out = rows - result.n_queries;
  for (const int k : options.k) {
    const double recall = share_within(answers, k);
    result.at.push_back({k, recall, standard_error(recall, result.n_queries)});
  }
  average(answers, result);
  return result;
}

}  // namespace nat
