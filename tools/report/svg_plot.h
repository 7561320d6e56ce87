// Charts as SVG text: line charts, and comparisons of two values per row.
//
// A chart is an <svg> element for an HTML page that contains plot_style() once; its colours are CSS
// variables, so it follows the page from light to dark. standalone() makes a file of its own.
// Labels are escaped here: callers pass plain text.
#pragma once

#include <limits>
#include <string>
#include <vector>

namespace nat::report {

struct Series {
  std::string label;
  std::vector<double> x, y;  // equally long; a NaN in y is a missing point, the line passes over it
};

struct LineChart {
  std::string title;
  std::string subtitle;  // what y is, and its unit
  std::string x_label;
  std::vector<Series> series;
  int decimals = 3;     // of the value written at the end of each line
  bool whole_x = true;  // ticks at whole numbers only
  bool start_at_zero = false;
};

std::string line_chart(const LineChart& chart);

// One row compares `after` with `before`, with an optional third value as a yardstick.
struct Comparison {
  std::string group, label;  // rows with equal group stand together under its name
  double before = 0, before_error = 0;
  double after = 0, after_error = 0;
  double yardstick = std::numeric_limits<double>::quiet_NaN();
};

struct ComparisonChart {
  std::string title, subtitle;
  std::string before_label, after_label, yardstick_label;
  std::vector<Comparison> rows;
  int decimals = 1;
};

// Two dots a row, joined, on a common axis that need not begin at zero: position, not length, is
// what is compared, so small differences stay visible. Bands are two standard errors each way.
std::string comparison_chart(const ComparisonChart& chart);

std::string plot_style();                        // CSS for all charts of a page
std::string standalone(const std::string& svg);  // a complete .svg file

// Round numbers (1, 2 or 5 times a power of ten apart) that enclose [low, high], low < high,
// about `count` of them.
std::vector<double> nice_ticks(double low, double high, int count);
// Digits after the point that such ticks need.
int tick_decimals(const std::vector<double>& ticks);

}  // namespace nat::report
