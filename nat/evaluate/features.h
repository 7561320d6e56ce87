// Frozen features of a data set, as the evaluation sees them: a plain host matrix and labels.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/view.h"

namespace nat {

// Row-major: one row a picture, one column a feature.
struct FeatureMatrix {
  std::int64_t rows = 0, columns = 0;
  std::vector<float> values;

  FeatureMatrix() = default;
  FeatureMatrix(std::int64_t rows_, std::int64_t columns_)
      : rows(rows_), columns(columns_), values(static_cast<std::size_t>(rows_ * columns_)) {}

  float* row(std::int64_t i) { return values.data() + i * columns; }
  const float* row(std::int64_t i) const { return values.data() + i * columns; }
  ConstView view(std::int64_t begin, std::int64_t end) const {
    return {row(begin), DType::f32, Shape(end - begin, columns)};
  }
};

// Features with the class of every row, in [0, classes). Refers to memory somebody else owns.
struct LabelledFeatures {
  const FeatureMatrix& features;
  std::span<const std::int32_t> labels;
};

// The rows named by `indices`, in that order.
FeatureMatrix select_rows(const FeatureMatrix& features, std::span<const std::int64_t> indices);
std::vector<std::int32_t> select_labels(std::span<const std::int32_t> labels,
                                        std::span<const std::int64_t> indices);

// Drops all other rows, in place; `indices` ascend.
void keep_rows(FeatureMatrix& features, std::span<const std::int64_t> indices);

// Error(usage) when the matrix is empty or its values do not fill it; Error(data) when a label lies
// outside [0, classes) or the number of labels differs from the number of rows. `who` and `role`
// open the message: "kNN: test ...".
void check_features(const char* who, const char* role, const FeatureMatrix& features);
void check_labels(const char* who, const char* role, std::span<const std::int32_t> labels,
                  int classes);
void check_labelled(const char* who, const char* role, const LabelledFeatures& data, int classes);

// Standard error of a fraction `accuracy` of n independent test pictures: sqrt(p (1 - p) / n).
double standard_error(double accuracy, std::int64_t n);

}  // namespace nat
