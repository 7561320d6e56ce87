// Standardisation of features: every column to mean 0 and variance 1 over the training rows.
//
//   mean[j] = sum_i x[i,j] / n,   var[j] = sum_i (x[i,j] - mean[j])^2 / n     (population variance)
//   y[i,j] = (x[i,j] - mean[j]) / sqrt(var[j]);   0 when column j is constant over those rows
//
// The statistics come from the training (bank) rows alone and are applied to training and test
// rows. Sums are accumulated in double, in chunks that do not depend on the number of threads.
#pragma once

#include <vector>

#include "nat/evaluate/features.h"

namespace nat {

class Standardizer {
 public:
  // Error(not_finite) names the first column that holds a NaN or an infinity.
  explicit Standardizer(const FeatureMatrix& training);

  // In place. Error(usage) when the number of columns differs from the training features.
  void apply(FeatureMatrix& features) const;

 private:
  std::vector<double> mean_, inverse_deviation_;
};

// What every recipe starts with: statistics of `training`, applied to both.
void standardize(FeatureMatrix& training, FeatureMatrix& test);

}  // namespace nat
