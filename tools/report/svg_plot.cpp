#include "tools/report/svg_plot.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <regex>
#include <sstream>
#include <string_view>
#include <utility>

#include "tools/report/svg.h"
#include "tools/report/text.h"

namespace nat::report {

namespace {

constexpr double kWidth = 460;  // of every chart in its own units; the page scales it
constexpr std::size_t kColours = 4;
constexpr std::size_t kDottedPoints = 30;  // longer lines show no dots

struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();

  void include(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  // A range that an axis can show: neither empty nor a single value.
  Range drawable() const {
    if (low > high) return {0, 1};
    if (low < high) return *this;
    const double margin = low == 0 ? 1 : std::fabs(low) / 10;
    return {low - margin, high + margin};
  }
};

// Maps values to positions.
struct Axis {
  Range values;
  double begin, end;

  double operator()(double value) const {
    return begin + (value - values.low) / (values.high - values.low) * (end - begin);
  }
};

// Widens a range to round numbers and returns all of them.
std::vector<double> round_up(Range& range, int count) {
  std::vector<double> ticks = nice_ticks(range.low, range.high, count);
  range = {ticks.front(), ticks.back()};
  return ticks;
}

std::string style(std::string_view kind, std::size_t series) {
  return std::string(kind) + " c" + std::to_string(series % kColours);
}

// About the width of a text at 12 pixels; enough to place the next one.
double text_width(std::string_view text) {
  const auto starts_character = [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u;
  };
  return 6.4 * static_cast<double>(std::count_if(text.begin(), text.end(), starts_character));
}

// Title and subtitle; returns the base line of whatever comes next.
double draw_heading(Svg& svg, std::string_view title, std::string_view subtitle) {
  svg.text(0, 14, title, "plot-title");
  if (subtitle.empty()) return 34;
  svg.text(0, 32, subtitle, "plot-note");
  return 52;
}

// Legend entries side by side, in a new row when one is full.
class Legend {
 public:
  Legend(Svg& svg, double baseline) : svg_(svg), y_(baseline) {}

  // draw_mark(x, y) draws the sign around the middle (x, y) of a field 16 wide.
  template <class DrawMark>
  void entry(std::string_view label, DrawMark draw_mark) {
    const double width = 22 + text_width(label) + 12;
    if (x_ > 0 && x_ + width > kWidth) {
      x_ = 0;
      y_ += 18;
    }
    draw_mark(x_ + 8, y_ - 4);
    svg_.text(x_ + 22, y_, label, "plot-text");
    x_ += width;
  }
  double bottom() const { return x_ > 0 ? y_ + 8 : y_ - 12; }

 private:
  Svg& svg_;
  double x_ = 0, y_;
};

// The last value of a line, written beside its end.
struct EndLabel {
  double x, y;
  std::string text, style;
};

// Moves labels apart until none overlap, down from the top and then up from the floor.
void draw_end_labels(Svg& svg, std::vector<EndLabel> labels, double floor) {
  constexpr double kSpacing = 14;
  std::sort(labels.begin(), labels.end(),
            [](const EndLabel& a, const EndLabel& b) { return a.y < b.y; });
  for (std::size_t i = 1; i < labels.size(); ++i) {
    labels[i].y = std::max(labels[i].y, labels[i - 1].y + kSpacing);
  }
  for (std::size_t i = labels.size(); i-- > 0; floor -= kSpacing) {
    labels[i].y = std::min(labels[i].y, floor);
  }
  for (const EndLabel& label : labels) svg.text(label.x, label.y + 4, label.text, label.style);
}

using Points = std::vector<std::pair<double, double>>;

Points finite_points(const Series& series) {
  Points points;
  for (std::size_t i = 0; i < std::min(series.x.size(), series.y.size()); ++i) {
    if (std::isfinite(series.x[i]) && std::isfinite(series.y[i])) {
      points.emplace_back(series.x[i], series.y[i]);
    }
  }
  return points;
}

void draw_y_axis(Svg& svg, const std::vector<double>& ticks, const Axis& y, double left,
                 double right) {
  const int decimals = tick_decimals(ticks);
  for (const double tick : ticks) {
    svg.line(left, y(tick), right, y(tick), "plot-grid");
    svg.text(left - 8, y(tick) + 4, fixed(tick, decimals), "plot-tick", Anchor::end);
  }
}

// Ticks stand where values are, which may be a single place of a wider axis.
void draw_x_axis(Svg& svg, const LineChart& chart, const Range& measured, const Axis& x, double y) {
  svg.line(x.begin, y, x.end, y, "plot-axis");
  std::vector<double> ticks = nice_ticks(x.values.low, x.values.high, 6);
  const int decimals = chart.whole_x ? 0 : tick_decimals(ticks);
  for (const double tick : ticks) {
    const bool outside = tick < measured.low - 1e-9 || tick > measured.high + 1e-9;
    if (outside || (chart.whole_x && tick != std::round(tick))) continue;
    svg.line(x(tick), y, x(tick), y + 4, "plot-axis");
    svg.text(x(tick), y + 18, fixed(tick, decimals), "plot-tick", Anchor::middle);
  }
  svg.text(x.end, y + 34, chart.x_label, "plot-note", Anchor::end);
}

void draw_series(Svg& svg, const Points& points, std::size_t index, const Axis& x, const Axis& y) {
  Points places;
  for (const auto& [px, py] : points) places.emplace_back(x(px), y(py));
  svg.polyline(places, style("plot-line", index));
  const bool all_dots = places.size() <= kDottedPoints;
  for (std::size_t i = all_dots ? 0 : places.size() - 1; i < places.size(); ++i) {
    svg.circle(places[i].first, places[i].second, all_dots ? 2.5 : 3, style("plot-dot", index));
  }
}

// ---- comparison ---------------------------------------------------------------------------------

constexpr double kRowHeight = 28;

void draw_row(Svg& svg, const Comparison& row, const Axis& x, double y, int decimals) {
  svg.text(0, y + 4, row.label, "plot-text");
  svg.line(x.begin, y, x.end, y, "plot-grid");
  if (std::isfinite(row.yardstick)) {
    svg.line(x(row.yardstick), y - 7, x(row.yardstick), y + 7, "plot-yardstick");
  }
  if (!std::isfinite(row.before) || !std::isfinite(row.after)) return;
  svg.line(x(row.before), y, x(row.after), y, "plot-join");
  const auto band = [&](double value, double error, std::string_view kind) {
    if (error > 0) svg.line(x(value - 2 * error), y, x(value + 2 * error), y, kind);
  };
  band(row.before, row.before_error, "plot-band before");
  band(row.after, row.after_error, "plot-band after");
  svg.circle(x(row.before), y, 4.5, "plot-before");
  svg.circle(x(row.after), y, 5, "plot-after");
  svg.text(kWidth, y + 4, signed_fixed(row.after - row.before, decimals), "plot-gain", Anchor::end);
}

Range range_of(const std::vector<Comparison>& rows) {
  Range range;
  for (const Comparison& row : rows) {
    range.include(row.before - 2 * row.before_error);
    range.include(row.before + 2 * row.before_error);
    range.include(row.after - 2 * row.after_error);
    range.include(row.after + 2 * row.after_error);
    range.include(row.yardstick);
  }
  return range.drawable();
}

double draw_comparison_legend(Svg& svg, const ComparisonChart& chart, double y) {
  Legend legend(svg, y);
  legend.entry(chart.before_label,
               [&](double x, double mid) { svg.circle(x, mid, 4.5, "plot-before"); });
  legend.entry(chart.after_label,
               [&](double x, double mid) { svg.circle(x, mid, 5, "plot-after"); });
  if (!chart.yardstick_label.empty()) {
    legend.entry(chart.yardstick_label,
                 [&](double x, double mid) { svg.line(x, mid - 7, x, mid + 7, "plot-yardstick"); });
  }
  return legend.bottom();
}

}  // namespace

std::vector<double> nice_ticks(double low, double high, int count) {
  const double rough = (high - low) / std::max(count, 1);
  const double power = std::pow(10, std::floor(std::log10(rough)));
  double step = 10 * power;
  for (const double factor : {5.0, 2.0, 1.0}) {
    if (factor * power >= rough * (1 - 1e-9)) step = factor * power;
  }
  const double first = std::floor(low / step + 1e-9), last = std::ceil(high / step - 1e-9);
  std::vector<double> ticks;
  for (int i = 0; i <= static_cast<int>(last - first); ++i) ticks.push_back((first + i) * step);
  return ticks;
}

int tick_decimals(const std::vector<double>& ticks) {
  if (ticks.size() < 2) return 0;
  const double step = ticks[1] - ticks[0];
  return std::clamp(static_cast<int>(-std::floor(std::log10(step) + 1e-9)), 0, 9);
}

std::string line_chart(const LineChart& chart) {
  constexpr double kLeft = 44, kRight = kWidth - 54, kPlotHeight = 170;
  Svg svg;
  Legend legend(svg, draw_heading(svg, chart.title, chart.subtitle));
  if (chart.series.size() > 1) {
    for (std::size_t i = 0; i < chart.series.size(); ++i) {
      legend.entry(chart.series[i].label, [&](double x, double y) {
        svg.line(x - 8, y, x + 8, y, style("plot-line", i));
      });
    }
  }

  Range x_range, y_range;
  for (const Series& series : chart.series) {
    for (const double value : series.x) x_range.include(value);
    for (const auto& [px, py] : finite_points(series)) y_range.include(py);
  }
  if (chart.start_at_zero) y_range.include(0);
  const Range measured = x_range.low > x_range.high ? x_range.drawable() : x_range;
  x_range = x_range.drawable();
  y_range = y_range.drawable();
  const std::vector<double> y_ticks = round_up(y_range, 5);
  const double top = legend.bottom() + 10, floor = top + kPlotHeight;
  const Axis x{x_range, kLeft, kRight}, y{y_range, floor, top};
  draw_y_axis(svg, y_ticks, y, kLeft, kRight);
  draw_x_axis(svg, chart, measured, x, floor);

  std::vector<EndLabel> ends;
  for (std::size_t i = 0; i < chart.series.size(); ++i) {
    const Points points = finite_points(chart.series[i]);
    if (points.empty()) continue;
    draw_series(svg, points, i, x, y);
    ends.push_back({x(points.back().first) + 10, y(points.back().second),
                    fixed(points.back().second, chart.decimals), style("plot-end", i)});
  }
  draw_end_labels(svg, std::move(ends), floor - 4);
  return svg.element(kWidth, floor + 40, chart.title);
}

std::string comparison_chart(const ComparisonChart& chart) {
  constexpr double kLeft = 150, kRight = kWidth - 48;
  Svg svg;
  double y = draw_heading(svg, chart.title, chart.subtitle);
  y = draw_comparison_legend(svg, chart, y) + 6;

  Range range = range_of(chart.rows);
  const std::vector<double> ticks = round_up(range, 6);
  const Axis x{range, kLeft, kRight};
  std::string group;
  for (const Comparison& row : chart.rows) {
    if (row.group != group) {
      group = row.group;
      svg.text(0, y + 18, group, "plot-group");
      y += kRowHeight;
    }
    y += kRowHeight;
    draw_row(svg, row, x, y - kRowHeight / 2, chart.decimals);
  }
  y += 6;
  svg.line(kLeft, y, kRight, y, "plot-axis");
  const int decimals = tick_decimals(ticks);
  for (const double tick : ticks) {
    svg.line(x(tick), y, x(tick), y + 4, "plot-axis");
    svg.text(x(tick), y + 18, fixed(tick, decimals), "plot-tick", Anchor::middle);
  }
  return svg.element(kWidth, y + 24, chart.title);
}

std::string plot_style() {
  return R"(
:root{color-scheme:light dark;--page:#fcfcfa;--card:#ffffff;--ink:#1d2329;--soft:#454d56;--muted:#6c757f;
--hair:#e6e6e1;--axis:#b9bdc1;--c0:#1f66b5;--c1:#c2571a;--c2:#2e8555;--c3:#7d52b3;--good:#2e8555;--bad:#b8432f}
@media(prefers-color-scheme:dark){:root{--page:#14171a;--card:#1b1f24;--ink:#e9ebee;--soft:#c3c8ce;--muted:#949ca5;
--hair:#2b3138;--axis:#525b65;--c0:#6aaaf0;--c1:#ee9558;--c2:#65c08f;--c3:#b794e6;--good:#65c08f;--bad:#ec8371}}
.plot{display:block;width:100%;height:auto;overflow:visible;
font-family:system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue","Liberation Sans",Arial,sans-serif}
.plot text{font-size:12px;font-variant-numeric:tabular-nums}
.plot .plot-title{font-size:14px;font-weight:600;fill:var(--ink)}
.plot .plot-group{font-weight:600;fill:var(--ink)}
.plot-note,.plot-tick{fill:var(--muted)}
.plot .plot-tick{font-size:11px}
.plot-text{fill:var(--soft)}
.plot-grid{stroke:var(--hair)}
.plot-axis{stroke:var(--axis)}
.plot-line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}
.plot-end{font-weight:600}
.plot-line.c0{stroke:var(--c0)}.plot-dot.c0,.plot-end.c0{fill:var(--c0)}
.plot-line.c1{stroke:var(--c1)}.plot-dot.c1,.plot-end.c1{fill:var(--c1)}
.plot-line.c2{stroke:var(--c2)}.plot-dot.c2,.plot-end.c2{fill:var(--c2)}
.plot-line.c3{stroke:var(--c3)}.plot-dot.c3,.plot-end.c3{fill:var(--c3)}
.plot-join{stroke:var(--c0);stroke-width:2;opacity:.35}
.plot-band{stroke-width:6;opacity:.3}.plot-band.before{stroke:var(--muted)}.plot-band.after{stroke:var(--c0)}
.plot-before{fill:var(--card);stroke:var(--muted);stroke-width:2}
.plot-after{fill:var(--c0)}
.plot-yardstick{stroke:var(--c1);stroke-width:2}
.plot-gain{font-weight:600;fill:var(--ink)}
)";
}

namespace {
// Says each colour plainly before it says it by name: programs other than browsers often know no
// custom properties, and draw nothing where they meet one. They get the light colours.
std::string with_plain_colours(const std::string& style) {
  static const std::regex use("([a-z-]+):var\\((--[a-z0-9]+)\\)");
  std::string out;
  auto rest = style.cbegin();
  for (std::sregex_iterator it(style.begin(), style.end(), use), end; it != end; ++it) {
    const std::string definition = (*it)[2].str() + ':';
    const std::size_t colour = style.find(definition) + definition.size();
    out.append(rest, it->prefix().second).append((*it)[1].str() + ':');
    out.append(style, colour, style.find_first_of(";}", colour) - colour).append(";");
    out.append(it->str());
    rest = it->suffix().first;
  }
  return out.append(rest, style.cend());
}
}  // namespace

std::string standalone(const std::string& svg) {
  constexpr double kMargin = 16;
  const std::string origin = "viewBox=\"0 0 ";
  const std::size_t box = svg.find(origin), sizes = box + origin.size();
  const std::size_t after = svg.find('"', sizes), body = svg.find('>') + 1;
  double width = 0, height = 0;
  std::istringstream(svg.substr(sizes, after - sizes)) >> width >> height;
  std::ostringstream out;
  out << svg.substr(0, box) << "viewBox=\"" << -kMargin << ' ' << -kMargin << ' '
      << width + 2 * kMargin << ' ' << height + 2 * kMargin
      << svg.substr(after, body - after)
      // A ground of its own: the colours follow the reader's system, the page around may not.
      << "<style>" << with_plain_colours(plot_style() + "svg{background:var(--page)}\n")
      << "</style>" << svg.substr(body) << '\n';
  return out.str();
}

}  // namespace nat::report
