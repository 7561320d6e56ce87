#include "nat/evaluate/knn.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/check.h"
#include "kernels/gemm.h"
#include "kernels/parallel.h"
#include "nat/evaluate/unit_rows.h"

namespace nat {
namespace {

// One tile of the similarity matrix; 8 MiB of float32, large enough for full matrix-product speed.
constexpr std::int64_t kQueryBlock = 1024;
constexpr std::int64_t kBankBlock = 2048;

struct Candidate {
  float similarity;
  std::int32_t index;
};

bool nearer(const Candidate& a, const Candidate& b) {
  return a.similarity != b.similarity ? a.similarity > b.similarity : a.index < b.index;
}

// The k best candidates seen so far. Newcomers are appended and the list is cut back to k only when
// it has doubled, so that an insertion costs a constant number of operations on average.
class NearestList {
 public:
  explicit NearestList(int k) : k_(static_cast<std::size_t>(k)) { candidates_.reserve(2 * k_); }

  // Whoever is not above it cannot be among the k best: bank rows arrive in increasing order, so an
  // equal newcomer loses the tie.
  float threshold() const { return threshold_; }

  void add(Candidate candidate) {
    candidates_.push_back(candidate);
    if (candidates_.size() == 2 * k_) keep_best();
  }

  std::span<const Candidate> sorted() {
    if (candidates_.size() > k_) keep_best();
    std::sort(candidates_.begin(), candidates_.end(), nearer);
    return candidates_;
  }

 private:
  void keep_best() {
    const auto last = candidates_.begin() + static_cast<std::ptrdiff_t>(k_) - 1;
    std::nth_element(candidates_.begin(), last, candidates_.end(), nearer);
    candidates_.resize(k_);
    threshold_ = candidates_.back().similarity;
  }

  std::size_t k_;
  std::vector<Candidate> candidates_;
  float threshold_ = -std::numeric_limits<float>::infinity();
};

// Offers one row of a tile to a list. Almost every group of columns fails the vectorised test
// against the threshold; the others are looked at one by one.
void offer(const float* products, const float* inverse_norms, std::int64_t count,
           std::int32_t first_index, NearestList& list) {
  constexpr std::int64_t kGroup = 32;
  std::array<float, kGroup> similarity;
  for (std::int64_t begin = 0; begin < count; begin += kGroup) {
    const std::int64_t size = std::min(kGroup, count - begin);
    const float threshold = list.threshold();
    int above = 0;
    for (std::int64_t j = 0; j < size; ++j) {
      const float s = products[begin + j] * inverse_norms[begin + j];
      similarity[static_cast<std::size_t>(j)] = s;
      above |= s > threshold;
    }
    if (above == 0) continue;
    for (std::int64_t j = 0; j < size; ++j) {
      const float s = similarity[static_cast<std::size_t>(j)];
      if (s > list.threshold()) list.add({s, first_index + static_cast<std::int32_t>(begin + j)});
    }
  }
}

std::int32_t vote(std::span<const std::int32_t> labels, std::span<const float> similarities,
                  int classes, double temperature) {
  struct Ballot {
    double votes = 0, similarity = 0;
  };
  std::vector<Ballot> ballots(static_cast<std::size_t>(classes));
  const double nearest = static_cast<double>(similarities.front());
  for (std::size_t i = 0; i < labels.size(); ++i) {
    Ballot& ballot = ballots[static_cast<std::size_t>(labels[i])];
    const double s = static_cast<double>(similarities[i]);
    // Proportional to exp(s / T); neither overflows nor vanishes for the nearest.
    ballot.votes += temperature > 0 ? std::exp((s - nearest) / temperature) : 1;
    ballot.similarity += s;
  }
  const auto fewer = [](const Ballot& a, const Ballot& b) {
    return a.votes != b.votes ? a.votes < b.votes : a.similarity < b.similarity;
  };
  return static_cast<std::int32_t>(std::max_element(ballots.begin(), ballots.end(), fewer) -
                                   ballots.begin());
}

double fraction_correct(const Neighbours& neighbours, std::span<const std::int32_t> bank_labels,
                        std::span<const std::int32_t> test_labels, int k, int classes,
                        double temperature) {
  std::vector<std::uint8_t> correct(test_labels.size());
  cpu::parallel_for(neighbours.queries, neighbours.queries * (k + classes), [&](std::int64_t q) {
    std::vector<std::int32_t> labels;
    for (const std::int32_t index : neighbours.indices_of(q).first(static_cast<std::size_t>(k))) {
      labels.push_back(bank_labels[static_cast<std::size_t>(index)]);
    }
    const std::int32_t predicted =
        vote(labels, neighbours.similarities_of(q).first(labels.size()), classes, temperature);
    correct[static_cast<std::size_t>(q)] = predicted == test_labels[static_cast<std::size_t>(q)];
  });
  return std::accumulate(correct.begin(), correct.end(), 0.0) / static_cast<double>(correct.size());
}

void check_k(int k, std::int64_t bank_rows) {
  NAT_CHECK(k >= 1 && k <= bank_rows, ErrorKind::usage, "kNN: k = ", k, " with a bank of ",
            bank_rows, " rows; give k between 1 and the number of bank rows");
}

}  // namespace

Neighbours nearest_neighbours(Context& ctx, const FeatureMatrix& bank, const FeatureMatrix& queries,
                              int k) {
  NAT_CHECK(ctx.device == Device::cpu, ErrorKind::device,
            "kNN: features lie in host memory; give a CPU context");
  check_features("kNN", "bank", bank);
  check_features("kNN", "query", queries);
  NAT_CHECK(bank.columns == queries.columns, ErrorKind::usage, "kNN: bank features have ",
            bank.columns, " columns, query features ", queries.columns,
            "; both must come from the same layer");
  check_k(k, bank.rows);

  const std::vector<float> bank_inverse = inverse_norms("kNN", "bank", bank);
  const std::vector<float> query_inverse = inverse_norms("kNN", "query", queries);
  Neighbours result{queries.rows, k, {}, {}};
  result.index.resize(static_cast<std::size_t>(queries.rows * k));
  result.similarity.resize(result.index.size());

  Scratch::Frame frame(ctx.scratch);
  const std::int64_t query_block = std::min(kQueryBlock, queries.rows);
  const std::int64_t bank_block = std::min(kBankBlock, bank.rows);
  float* unit = frame.take<float>(static_cast<std::size_t>(query_block * queries.columns));
  float* tile = frame.take<float>(static_cast<std::size_t>(query_block * bank_block));

  for (std::int64_t q0 = 0; q0 < queries.rows; q0 += query_block) {
    const std::int64_t q_count = std::min(query_block, queries.rows - q0);
    unit_rows(queries, query_inverse, q0, q0 + q_count, unit);
    std::vector<NearestList> lists;
    for (std::int64_t q = 0; q < q_count; ++q) lists.emplace_back(k);

    for (std::int64_t b0 = 0; b0 < bank.rows; b0 += bank_block) {
      const std::int64_t b_count = std::min(bank_block, bank.rows - b0);
      gemm(ctx, Transpose::no, Transpose::yes, 0,
           ConstView(unit, DType::f32, Shape(q_count, queries.columns)),
           bank.view(b0, b0 + b_count), View(tile, DType::f32, Shape(q_count, b_count)));
      cpu::parallel_for(q_count, q_count * b_count, [&](std::int64_t q) {
        offer(tile + q * b_count, bank_inverse.data() + b0, b_count, static_cast<std::int32_t>(b0),
              lists[static_cast<std::size_t>(q)]);
      });
    }
    cpu::parallel_for(q_count, q_count * k * 16, [&](std::int64_t q) {
      auto at = static_cast<std::size_t>((q0 + q) * k);
      for (const Candidate& candidate : lists[static_cast<std::size_t>(q)].sorted()) {
        result.index[at] = candidate.index;
        result.similarity[at++] = candidate.similarity;
      }
    });
  }
  return result;
}

const KnnAccuracy& KnnResult::for_k(int k) const {
  const auto found = std::find_if(at.begin(), at.end(), [k](const auto& a) { return a.k == k; });
  NAT_CHECK(found != at.end(), ErrorKind::usage, "kNN: k = ", k,
            " was not computed; add it to the list of k");
  return *found;
}

KnnResult knn_accuracy(Context& ctx, const LabelledFeatures& bank, const LabelledFeatures& test,
                       int classes, const KnnOptions& options) {
  check_labelled("kNN", "bank", bank, classes);
  check_labelled("kNN", "test", test, classes);
  NAT_CHECK(!options.k.empty(), ErrorKind::usage, "kNN: the list of k is empty; give e.g. 20");
  for (const int k : options.k) check_k(k, bank.features.rows);
  const int k_max = *std::max_element(options.k.begin(), options.k.end());
  const Neighbours neighbours = nearest_neighbours(ctx, bank.features, test.features, k_max);

  KnnResult result{{}, bank.features.rows, test.features.rows};
  for (const int k : options.k) {
    const double accuracy =
        fraction_correct(neighbours, bank.labels, test.labels, k, classes, options.temperature);
    result.at.push_back({k, accuracy, standard_error(accuracy, result.n_test)});
  }
  return result;
}

}  // namespace nat
