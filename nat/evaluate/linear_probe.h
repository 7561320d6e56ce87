// The linear probe: multinomial logistic regression on frozen, standardised features.
//
//   loss(W, b) = mean_i -log softmax(W x_i + b)[label_i] + weight_decay/2 |W|^2
//   W (classes, columns), b (classes), both start at 0; the bias is not decayed
//
// The loss is convex and is minimised over the whole training set by L-BFGS (nat/evaluate/lbfgs.h):
// no learning rate, no batch order, and one answer whatever the seed. One pass over n rows costs
// 4 * n * columns * classes operations in float32; the minimiser works in double. Rows are summed
// in chunks that do not depend on the number of threads. It equals scikit-learn's
// LogisticRegression(C = 1 / (weight_decay * n)). The context must be a CPU context.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/context.h"
#include "nat/evaluate/features.h"

namespace nat {

struct LinearProbeOptions {
  double weight_decay = 1e-3;
  int iterations = 100;     // at most
  double tolerance = 1e-4;  // done when no gradient element is larger in magnitude
};

struct LinearClassifier {
  std::int64_t columns = 0;
  int classes = 0;
  std::vector<float> weight;  // (classes, columns)
  std::vector<float> bias;    // (classes)
};

struct LinearProbeFit {
  LinearClassifier classifier;
  double loss = 0;  // at the end, weight decay included
  int iterations = 0;
};

struct LinearProbeResult {
  double accuracy = 0, standard_error = 0;  // on the test rows
  double train_accuracy = 0;
  double loss = 0;  // training loss, weight decay included
  int iterations = 0;
  std::int64_t n_train = 0, n_test = 0;
  int classes = 0;
};

// Error(usage): empty matrices, different numbers of columns, fewer than two classes.
// Error(data): labels that do not fit. Error(not_finite): features with a NaN or an infinity.
LinearProbeFit fit_linear_probe(Context& ctx, const LabelledFeatures& train, int classes,
                                const LinearProbeOptions& options = {});
// Fraction of rows whose label has the largest logit (the smaller label among equals).
double linear_accuracy(Context& ctx, const LinearClassifier& classifier,
                       const LabelledFeatures& data);
LinearProbeResult linear_probe(Context& ctx, const LabelledFeatures& train,
                               const LabelledFeatures& test, int classes,
                               const LinearProbeOptions& options = {});

// What fitting takes beside the features, about: the vectors of L-BFGS in double, and a gradient
// for each chunk of rows.
std::size_t linear_probe_bytes(std::int64_t columns, int classes);

// The probe on few labels, averaged over several class-balanced subsets of the training rows.
struct FewLabelsOptions {
  int labels = 1000;
  int subsets = 5;
  std::uint64_t seed = 0;
  LinearProbeOptions probe{.weight_decay = 5e-2};
};

struct FewLabelsResult {
  double accuracy = 0;        // mean over subsets
  double standard_error = 0;  // binomial, of the mean accuracy on n_test rows
  double spread = 0;          // standard deviation over subsets; 0 for a single one
  std::vector<double> accuracies;
  int labels = 0;
  std::int64_t n_test = 0;
  int classes = 0;
};

FewLabelsResult few_labels_probe(Context& ctx, const LabelledFeatures& train,
                                 const LabelledFeatures& test, int classes,
                                 const FewLabelsOptions& options = {});

// `count` row numbers in increasing order, count / classes of every class (the first count %
// classes classes give one more). Of each class the rows i with the smallest
// philox(seed, probe, subset, i) are taken. Error(usage): a class has too few
// rows. Error(data): a label outside [0, classes).
std::vector<std::int64_t> balanced_subset(std::span<const std::int32_t> labels, int classes,
                                          std::int64_t count, std::uint64_t seed, int subset = 0);

}  // namespace nat
