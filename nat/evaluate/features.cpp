#include "nat/evaluate/features.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "kernels/check.h"

namespace nat {

FeatureMatrix select_rows(const FeatureMatrix& features, std::span<const std::int64_t> indices) {
  FeatureMatrix selected(std::ssize(indices), features.columns);
  float* to = selected.values.data();
  for (const std::int64_t index : indices) {
    to = std::copy_n(features.row(index), features.columns, to);
  }
  return selected;
}

std::vector<std::int32_t> select_labels(std::span<const std::int32_t> labels,
                                        std::span<const std::int64_t> indices) {
  std::vector<std::int32_t> selected;
  selected.reserve(indices.size());
  for (const std::int64_t index : indices) {
    selected.push_back(labels[static_cast<std::size_t>(index)]);
  }
  return selected;
}

void keep_rows(FeatureMatrix& features, std::span<const std::int64_t> indices) {
  float* out = features.values.data();
  for (const std::int64_t i : indices) {
    const float* row = features.row(i);
    out = row == out ? out + features.columns : std::copy(row, row + features.columns, out);
  }
  features.rows = std::ssize(indices);
  features.values.resize(static_cast<std::size_t>(features.rows * features.columns));
}

void check_features(const char* who, const char* role, const FeatureMatrix& features) {
  NAT_CHECK(features.rows > 0 && features.columns > 0, ErrorKind::usage, who, ": ", role,
            " features are empty (", features.rows, "x", features.columns,
            "); give at least one row and one column");
  NAT_CHECK(std::ssize(features.values) == features.rows * features.columns, ErrorKind::usage, who,
            ": ", role, " features hold ", features.values.size(), " values instead of ",
            features.rows, "x", features.columns, "; fill the whole matrix");
}

void check_labels(const char* who, const char* role, std::span<const std::int32_t> labels,
                  int classes) {
  for (std::size_t i = 0; i < labels.size(); ++i) {
    NAT_CHECK(labels[i] >= 0 && labels[i] < classes, ErrorKind::data, who, ": ", role, " label ",
              labels[i], " of row ", i, " lies outside [0, ", classes,
              "); correct the label or the number of classes");
  }
}

void check_labelled(const char* who, const char* role, const LabelledFeatures& data, int classes) {
  check_features(who, role, data.features);
  NAT_CHECK(std::ssize(data.labels) == data.features.rows, ErrorKind::data, who, ": ",
            data.labels.size(), " ", role, " labels for ", data.features.rows,
            " rows of features; give one label a row");
  check_labels(who, role, data.labels, classes);
}

double standard_error(double accuracy, std::int64_t n) {
  return std::sqrt(accuracy * (1 - accuracy) / static_cast<double>(n));
}

}  // namespace nat
