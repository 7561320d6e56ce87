// What a report says about a run, as plain values: numbers, names and pictures, no networks.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "tools/report/png.h"
#include "tools/report/svg_plot.h"

namespace nat::report {

inline constexpr double kAbsent = std::numeric_limits<double>::quiet_NaN();

// An accuracy in percent with its standard error in points; NaN = not measured.
struct Score {
  double percent = kAbsent, error = kAbsent;
};

// One way of judging one kind of features.
struct Result {
  std::string features;  // "conv", "fc", "embedding": consecutive rows of one kind form a group
  std::string judge;     // "kNN", "linear", "linear, 1,000 labels"
  Score trained, untrained;
  Score raw;  // raw pixels under the same judge
};

// The trained value minus the untrained one. Its error takes the two as independent; they share
// their test images, so it errs on the safe side.
Score difference(const Result& result);

struct Fact {
  std::string name, value;
};

// The log of a run, one entry an epoch; NaN = not measured then.
struct TrainingCurves {
  std::vector<double> epoch, loss, cosine_before, cosine_after, moved, knn, learning_rate;
};

// From the rows of metrics.csv: columns epoch, loss, cosine_before, cosine_after, moved, knn, lr,
// of which any may be missing; moved counts only where the column reassigned is absent or 1.
TrainingCurves training_curves(const std::vector<std::map<std::string, double>>& metrics);

// One chart for each quantity that was measured at all.
std::vector<LineChart> training_charts(const TrainingCurves& curves);

// The table of results as a chart.
ComparisonChart result_chart(const std::vector<Result>& results);

struct LabelledPicture {
  Picture picture;
  std::string label;            // may be empty
  double similarity = kAbsent;  // cosine to the query
};

struct NeighbourRow {
  LabelledPicture query;
  std::vector<LabelledPicture> neighbours;  // nearest first
};

// What one judge of the run found; the figures are values in percent.
struct Judgement {
  std::string title;    // "MLP on frozen features"
  std::string note;     // on which pictures, when, what was left out
  std::string options;  // "k = 20, labels = 512"
  std::string trained = "Trained", untrained = "Untrained";  // the names of the columns
  std::vector<Result> results;
};

struct Timing {
  std::string stage;
  double seconds = 0;
};

struct ReportData {
  std::string title;           // name of the run
  std::string summary;         // one or two sentences
  std::vector<Fact> headline;  // the few figures a reader wants first
  std::vector<Result> results;
  std::int64_t test_images = 0;  // behind every accuracy
  std::string judged_note;  // follows their number: whose they are and when, where that matters
  std::vector<Judgement> judgements;  // beside the results
  TrainingCurves curves;
  std::vector<Picture> filters;  // of the first layer (tools/report/filters.h)
  std::string filters_note;
  std::vector<NeighbourRow> neighbours;
  std::string neighbours_note;
  std::vector<Timing> timing;       // stages; their sum is the whole
  std::vector<Fact> configuration;  // every option
  std::string command;              // that makes this report again
};

}  // namespace nat::report
