#include "tools/report/report_data.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace nat::report {

namespace {

using Values = std::vector<double>;

bool any_finite(const Values& values) {
  return std::any_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
}

Values percent(Values fractions) {
  for (double& value : fractions) value *= 100;
  return fractions;
}

// So many decimals that the largest value shows three significant digits.
int three_digits(const std::vector<Series>& series) {
  double largest = 0;
  for (const Series& line : series) {
    for (const double value : line.y) {
      if (std::isfinite(value)) largest = std::max(largest, std::fabs(value));
    }
  }
  if (largest == 0) return 1;
  return std::clamp(2 - static_cast<int>(std::floor(std::log10(largest))), 0, 9);
}

double value_or(const std::map<std::string, double>& row, const char* column, double otherwise) {
  const auto entry = row.find(column);
  return entry == row.end() ? otherwise : entry->second;
}

double hypotenuse(double a, double b) { return std::sqrt(a * a + b * b); }

}  // namespace

Score difference(const Result& result) {
  return {result.trained.percent - result.untrained.percent,
          hypotenuse(result.trained.error, result.untrained.error)};
}

TrainingCurves training_curves(const std::vector<std::map<std::string, double>>& metrics) {
  TrainingCurves curves;
  for (const auto& row : metrics) {
    const bool reassigned = value_or(row, "reassigned", 1) != 0;
    curves.epoch.push_back(value_or(row, "epoch", static_cast<double>(curves.epoch.size())));
    curves.loss.push_back(value_or(row, "loss", kAbsent));
    curves.cosine_before.push_back(value_or(row, "cosine_before", kAbsent));
    curves.cosine_after.push_back(value_or(row, "cosine_after", kAbsent));
    curves.moved.push_back(reassigned ? value_or(row, "moved", kAbsent) : kAbsent);
    curves.knn.push_back(value_or(row, "knn", kAbsent));
    curves.learning_rate.push_back(value_or(row, "lr", kAbsent));
  }
  return curves;
}

std::vector<LineChart> training_charts(const TrainingCurves& curves) {
  std::vector<LineChart> charts;
  const auto add = [&](const char* title, const char* subtitle, std::vector<Series> series,
                       bool start_at_zero) {
    std::erase_if(series, [](const Series& line) { return !any_finite(line.y); });
    if (series.empty()) return;
    LineChart chart;
    chart.title = title;
    chart.subtitle = subtitle;
    chart.x_label = "epoch";
    chart.decimals = three_digits(series);
    chart.start_at_zero = start_at_zero;
    chart.series = std::move(series);
    charts.push_back(std::move(chart));
  };
  const Values& x = curves.epoch;
  add("Loss", "Squared distance to the target, per picture; 2 before learning",
      {{"loss", x, curves.loss}}, false);
  add("Cosine to the target", "Mean over the epoch; what counts is the value before re-assignment",
      {{"before re-assignment", x, curves.cosine_before},
       {"after re-assignment", x, curves.cosine_after}},
      true);
  add("Targets that moved", "Percent of the pictures, in epochs that re-assign",
      {{"moved", x, percent(curves.moved)}}, true);
  add("kNN while training", "Accuracy in percent on a sample: a trend, not a result",
      {{"kNN", x, percent(curves.knn)}}, false);
  add("Learning rate", "At the end of each epoch", {{"learning rate", x, curves.learning_rate}},
      true);
  return charts;
}

ComparisonChart result_chart(const std::vector<Result>& results) {
  ComparisonChart chart;
  chart.title = "Trained against untrained";
  chart.subtitle = "Accuracy in percent; bands are two standard errors each way";
  chart.before_label = "untrained";
  chart.after_label = "trained";
  for (const Result& result : results) {
    chart.rows.push_back({result.features, result.judge, result.untrained.percent,
                          result.untrained.error, result.trained.percent, result.trained.error,
                          result.raw.percent});
    if (std::isfinite(result.raw.percent)) chart.yardstick_label = "raw pixels";
  }
  return chart;
}

}  // namespace nat::report
