#include "nat/evaluate/linear_probe.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <utility>

#include "kernels/check.h"
#include "kernels/gemm.h"
#include "kernels/parallel.h"
#include "kernels/random.h"
#include "kernels/softmax_xent.h"
#include "nat/evaluate/lbfgs.h"
#include "nat/evaluate/row_blocks.h"

namespace nat {
namespace {

// Rows of one matrix product: the features of a block are still in cache when the backward product
// reads them again.
constexpr std::int64_t kRowBlock = 512;

View matrix(float* data, std::int64_t rows, std::int64_t columns) {
  return {data, DType::f32, Shape(rows, columns)};
}
View vector(float* data, std::int64_t size) { return {data, DType::f32, Shape(size)}; }
ConstView matrix(const std::vector<float>& data, std::int64_t rows, std::int64_t columns) {
  return {data.data(), DType::f32, Shape(rows, columns)};
}
ConstView vector(const std::vector<float>& data) {
  return {data.data(), DType::f32, Shape(std::ssize(data))};
}

// logits = W x + b of the rows [begin, end).
void predict(Context& ctx, const LinearClassifier& classifier, const FeatureMatrix& features,
             std::int64_t begin, std::int64_t end, View logits) {
  linear_forward(ctx, features.view(begin, end),
                 matrix(classifier.weight, classifier.classes, classifier.columns),
                 vector(classifier.bias), logits);
}

LinearClassifier zero_classifier(std::int64_t columns, int classes) {
  return {columns, classes, std::vector<float>(static_cast<std::size_t>(classes * columns)),
          std::vector<float>(static_cast<std::size_t>(classes))};
}

// The part of the loss and of its gradient that one range of rows contributes.
struct Partial {
  Context ctx;  // a context serves one thread
  std::vector<float> gradient;
  double loss = 0;

  void evaluate(const LinearClassifier& classifier, const LabelledFeatures& data,
                std::int64_t range_begin, std::int64_t range_end) {
    const std::int64_t classes = classifier.classes, columns = classifier.columns;
    const float scale = 1.0f / static_cast<float>(data.features.rows);
    const View dw = matrix(gradient.data(), classes, columns);
    const View db = vector(gradient.data() + classes * columns, classes);

    Scratch::Frame frame(ctx.scratch);
    float* logits_data = frame.take<float>(static_cast<std::size_t>(kRowBlock * classes));
    float* losses = frame.take<float>(kRowBlock);
    loss = 0;
    for (std::int64_t begin = range_begin; begin < range_end; begin += kRowBlock) {
      const std::int64_t end = std::min(range_end, begin + kRowBlock);
      const View logits = matrix(logits_data, end - begin, classes);
      const ConstView labels(data.labels.data() + begin, DType::i32, Shape(end - begin));
      predict(ctx, classifier, data.features, begin, end, logits);
      softmax_xent(ctx, scale, logits, labels, vector(losses, end - begin), logits);
      linear_backward_weights(ctx, data.features.view(begin, end), logits,
                              begin == range_begin ? Grad::overwrite : Grad::accumulate, dw, db);
      loss = std::accumulate(losses, losses + (end - begin), loss);
    }
  }
};

constexpr std::int64_t kMostChunks = 16;

// Two at least: a single one would not run inside a team (row_blocks.h).
std::int64_t chunks_for(std::int64_t rows) {
  return std::clamp<std::int64_t>(rows / kRowBlock + 1, 2, kMostChunks);
}

// The regularised loss as a function of one flat vector: W row by row, then b. The rows are split
// into chunks that do not depend on the number of threads; a chunk runs on one thread from its
// first product to its last, so that the threads meet once an evaluation and a busy machine costs
// little.
class SoftmaxRegression {
 public:
  SoftmaxRegression(const LabelledFeatures& data, int classes, double weight_decay)
      : data_(data),
        weight_decay_(weight_decay),
        classifier_(zero_classifier(data.features.columns, classes)),
        chunks_(data.features.rows, chunks_for(data.features.rows)),
        partials_(static_cast<std::size_t>(chunks_.count)) {
    for (Partial& partial : partials_) partial.gradient.resize(parameters());
  }

  std::size_t parameters() const { return classifier_.weight.size() + classifier_.bias.size(); }

  double operator()(std::span<const double> x, std::span<double> gradient) {
    load(x);
    cpu::parallel_for(chunks_.count, kAlwaysInTeam, [&](std::int64_t chunk) {
      partials_[static_cast<std::size_t>(chunk)].evaluate(classifier_, data_, chunks_.begin(chunk),
                                                          chunks_.end(chunk));
    });

    double loss = 0;
    std::fill(gradient.begin(), gradient.end(), 0.0);
    for (const Partial& partial : partials_) {
      loss += partial.loss / static_cast<double>(data_.features.rows);
      for (std::size_t i = 0; i < gradient.size(); ++i) {
        gradient[i] += static_cast<double>(partial.gradient[i]);
      }
    }
    for (std::size_t i = 0; i < classifier_.weight.size(); ++i) {
      loss += weight_decay_ / 2 * x[i] * x[i];
      gradient[i] += weight_decay_ * x[i];
    }
    return loss;
  }

  const LinearClassifier& load(std::span<const double> x) {
    const auto to_float = [](double value) { return static_cast<float>(value); };
    const auto weights_end = x.begin() + std::ssize(classifier_.weight);
    std::transform(x.begin(), weights_end, classifier_.weight.begin(), to_float);
    std::transform(weights_end, x.end(), classifier_.bias.begin(), to_float);
    return classifier_;
  }

 private:
  const LabelledFeatures& data_;
  double weight_decay_;
  LinearClassifier classifier_;
  cpu::Chunks chunks_;
  std::vector<Partial> partials_;
};

void check_context(const Context& ctx) {
  NAT_CHECK(ctx.device == Device::cpu, ErrorKind::device,
            "linear probe: features lie in host memory; give a CPU context");
}

void check_split(const LabelledFeatures& train, const LabelledFeatures& test, int classes) {
  check_labelled("linear probe", "training", train, classes);
  check_labelled("linear probe", "test", test, classes);
  NAT_CHECK(train.features.columns == test.features.columns, ErrorKind::usage,
            "linear probe: training features have ", train.features.columns,
            " columns, test features ", test.features.columns,
            "; both must come from the same layer");
}

}  // namespace

LinearProbeFit fit_linear_probe(Context& ctx, const LabelledFeatures& train, int classes,
                                const LinearProbeOptions& options) {
  check_context(ctx);
  NAT_CHECK(classes >= 2, ErrorKind::usage, "linear probe: ", classes, " classes; give at least 2");
  check_labelled("linear probe", "training", train, classes);

  SoftmaxRegression objective(train, classes, options.weight_decay);
  std::vector<double> x(objective.parameters(), 0.0);
  const LbfgsOptions lbfgs{.iterations = options.iterations, .tolerance = options.tolerance};
  const LbfgsReport report = minimise_lbfgs(std::ref(objective), x, lbfgs);
  return {objective.load(x), report.value, report.iterations};
}

double linear_accuracy(Context& ctx, const LinearClassifier& classifier,
                       const LabelledFeatures& data) {
  check_context(ctx);
  check_labelled("linear probe", "test", data, classifier.classes);
  Scratch::Frame frame(ctx.scratch);
  float* logits = frame.take<float>(static_cast<std::size_t>(kRowBlock * classifier.classes));
  std::int64_t correct = 0;
  for (std::int64_t begin = 0; begin < data.features.rows; begin += kRowBlock) {
    const std::int64_t end = std::min(data.features.rows, begin + kRowBlock);
    predict(ctx, classifier, data.features, begin, end,
            matrix(logits, end - begin, classifier.classes));
    for (std::int64_t i = begin; i < end; ++i) {
      const float* row = logits + (i - begin) * classifier.classes;
      const auto predicted = std::max_element(row, row + classifier.classes) - row;
      correct += predicted == data.labels[static_cast<std::size_t>(i)];
    }
  }
  return static_cast<double>(correct) / static_cast<double>(data.features.rows);
}

LinearProbeResult linear_probe(Context& ctx, const LabelledFeatures& train,
                               const LabelledFeatures& test, int classes,
                               const LinearProbeOptions& options) {
  check_split(train, test, classes);
  const LinearProbeFit fit = fit_linear_probe(ctx, train, classes, options);
  LinearProbeResult result;
  result.accuracy = linear_accuracy(ctx, fit.classifier, test);
  result.standard_error = standard_error(result.accuracy, test.features.rows);
  result.train_accuracy = linear_accuracy(ctx, fit.classifier, train);
  result.loss = fit.loss;
  result.iterations = fit.iterations;
  result.n_train = train.features.rows;
  result.n_test = test.features.rows;
  result.classes = classes;
  return result;
}

std::size_t linear_probe_bytes(std::int64_t columns, int classes) {
  constexpr std::size_t kOtherVectors = 8;  // x, gradient, direction, a new pair and the like
  const std::size_t vectors = 2 * static_cast<std::size_t>(LbfgsOptions().memory) + kOtherVectors;
  const auto parameters = static_cast<std::size_t>(classes * (columns + 1));
  return parameters * (vectors * sizeof(double) + (kMostChunks + 1) * sizeof(float));
}

FewLabelsResult few_labels_probe(Context& ctx, const LabelledFeatures& train,
                                 const LabelledFeatures& test, int classes,
                                 const FewLabelsOptions& options) {
  check_split(train, test, classes);
  NAT_CHECK(options.subsets >= 1, ErrorKind::usage, "linear probe: ", options.subsets,
            " subsets; give at least 1");
  FewLabelsResult result;
  result.labels = options.labels;
  result.n_test = test.features.rows;
  result.classes = classes;
  for (int subset = 0; subset < options.subsets; ++subset) {
    const std::vector<std::int64_t> indices =
        balanced_subset(train.labels, classes, options.labels, options.seed, subset);
    const FeatureMatrix features = select_rows(train.features, indices);
    const std::vector<std::int32_t> labels = select_labels(train.labels, indices);
    const LinearProbeFit fit = fit_linear_probe(ctx, {features, labels}, classes, options.probe);
    result.accuracies.push_back(linear_accuracy(ctx, fit.classifier, test));
  }

  const double count = options.subsets;
  for (const double accuracy : result.accuracies) result.accuracy += accuracy / count;
  result.standard_error = standard_error(result.accuracy, result.n_test);
  double square = 0;
  for (const double accuracy : result.accuracies) {
    square += (accuracy - result.accuracy) * (accuracy - result.accuracy);
  }
  result.spread = options.subsets > 1 ? std::sqrt(square / (count - 1)) : 0;
  return result;
}

std::vector<std::int64_t> balanced_subset(std::span<const std::int32_t> labels, int classes,
                                          std::int64_t count, std::uint64_t seed, int subset) {
  check_labels("linear probe", "training", labels, classes);
  using Keyed = std::pair<std::uint64_t, std::int64_t>;  // random key, row
  std::vector<std::vector<Keyed>> members(static_cast<std::size_t>(classes));
  for (std::int64_t i = 0; i < std::ssize(labels); ++i) {
    const Random4 random = philox(seed, RandomStream::probe, static_cast<std::uint32_t>(subset),
                                  static_cast<std::uint64_t>(i));
    const std::uint64_t key = (std::uint64_t{random.value[0]} << 32) | random.value[1];
    members[static_cast<std::size_t>(labels[static_cast<std::size_t>(i)])].emplace_back(key, i);
  }

  std::vector<std::int64_t> chosen;
  for (int c = 0; c < classes; ++c) {
    std::vector<Keyed>& rows = members[static_cast<std::size_t>(c)];
    const std::int64_t quota = count / classes + (c < count % classes ? 1 : 0);
    NAT_CHECK(quota <= std::ssize(rows), ErrorKind::usage, "linear probe: class ", c, " has ",
              rows.size(), " rows but a balanced subset of ", count, " labels needs ", quota,
              "; ask for fewer labels");
    std::partial_sort(rows.begin(), rows.begin() + quota, rows.end());
    for (std::int64_t i = 0; i < quota; ++i) {
      chosen.push_back(rows[static_cast<std::size_t>(i)].second);
    }
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

}  // namespace nat
