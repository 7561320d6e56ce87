#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

#include "tests/report_markup.h"
#include "tools/report/svg_plot.h"
#include "tools/report/text.h"

namespace report = nat::report;
using report_test::contains;
using report_test::count;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
const char* const kHostile = "<b onload=\"x()\">R&D's</b>";
const char* const kHostileEscaped = "&lt;b onload=&quot;x()&quot;&gt;R&amp;D&#39;s&lt;/b&gt;";

std::string malformed(const std::string& svg) { return report_test::malformed(svg, {}); }

}  // namespace

TEST_CASE("escaping leaves no character that could end a text or an attribute") {
  CHECK(report::escape(kHostile) == kHostileEscaped);
  CHECK(report::escape("Kamera-Übung 東京 😀\n") == "Kamera-Übung 東京 😀\n");
  const std::string replacement = "\xef\xbf\xbd";
  CHECK(report::escape(std::string("a\0b\x1b\x7f", 5)) ==
        "a" + replacement + "b" + replacement + replacement);
  // Not UTF-8: a lone continuation, an overlong slash, a surrogate, too large, cut off.
  CHECK(report::escape("\x80x") == replacement + "x");
  CHECK(report::escape("\xc0\xaf") == replacement + replacement);
  CHECK(report::escape("\xed\xa0\x80") == replacement + replacement + replacement);
  CHECK(report::escape("\xf4\x90\x80\x80").size() == 4 * 3);
  CHECK(report::escape("\xe6\x9d") == replacement + replacement);
}

TEST_CASE("numbers are written for readers") {
  CHECK(report::fixed(1.005, 1) == "1.0");
  CHECK(report::fixed(-2.25, 2) == "−2.25");
  CHECK(report::fixed(-0.001, 1) == "0.0");
  CHECK(report::fixed(kNan, 1) == "–");
  CHECK(report::signed_fixed(4.56, 1) == "+4.6");
  CHECK(report::signed_fixed(-4.56, 1) == "−4.6");
  CHECK(report::signed_fixed(0, 1) == "0.0");
  CHECK(report::signed_fixed(100, 0) == "+100");
  CHECK(report::signed_fixed(0.01, 1) == "0.0");
  CHECK(report::grouped(0) == "0");
  CHECK(report::grouped(999) == "999");
  CHECK(report::grouped(-60000) == "−60,000");
  CHECK(report::grouped(1234567) == "1,234,567");
  CHECK(report::seconds_text(0.421) == "0.42 s");
  CHECK(report::seconds_text(12.34) == "12.3 s");
  CHECK(report::seconds_text(245.4) == "4 min 05 s");
  CHECK(report::seconds_text(3599.4) == "59 min 59 s");
  CHECK(report::seconds_text(3599.6) == "1 h 00 min");
  CHECK(report::seconds_text(7509) == "2 h 05 min");
}

TEST_CASE("base64 agrees with the examples of RFC 4648") {
  CHECK(report::base64("") == "");
  CHECK(report::base64("f") == "Zg==");
  CHECK(report::base64("fo") == "Zm8=");
  CHECK(report::base64("foo") == "Zm9v");
  CHECK(report::base64("foobar") == "Zm9vYmFy");
  CHECK(report::base64("\xff\xfe\xfb") == "//77");
}

TEST_CASE("ticks are round numbers that enclose the range") {
  CHECK(report::nice_ticks(0, 10, 5) == std::vector<double>{0, 2, 4, 6, 8, 10});
  CHECK(report::nice_ticks(72.3, 88.4, 4) == std::vector<double>{70, 75, 80, 85, 90});
  std::mt19937 random(1);
  std::uniform_real_distribution<double> exponent(-8, 8), mantissa(-1, 1);
  for (int trial = 0; trial < 2000; ++trial) {
    const double scale = std::pow(10, exponent(random));
    const double a = scale * mantissa(random), b = scale * mantissa(random);
    const double low = std::min(a, b), high = std::max(a, b), width = high - low;
    const std::vector<double> ticks = report::nice_ticks(low, high, 5);
    CAPTURE(low);
    CAPTURE(high);
    REQUIRE(ticks.size() >= 3);
    CHECK(ticks.size() <= 7);
    CHECK(ticks.front() <= low + 1e-8 * width);
    CHECK(ticks.back() >= high - 1e-8 * width);
    const double step = ticks[1] - ticks[0];
    const double digit = step / std::pow(10, std::floor(std::log10(step) + 1e-6));
    CHECK((std::fabs(digit - 1) < 1e-6 || std::fabs(digit - 2) < 1e-6 ||
           std::fabs(digit - 5) < 1e-6));
  }
  CHECK(report::nice_ticks(1e16, 1e16 + 4, 4).size() <= 6);  // finer than doubles there
  CHECK(report::tick_decimals({0, 0.1, 0.2}) == 1);
  CHECK(report::tick_decimals({0, 0.05, 0.1}) == 2);
  CHECK(report::tick_decimals({0, 20, 40}) == 0);
}

TEST_CASE("a line chart is well-formed and shows its labels, ticks and last values") {
  report::LineChart chart{kHostile, kHostile, kHostile, {}, 3, true, false};
  chart.series = {{"before & after", {0, 1, 2, 3}, {0.1, kNan, 0.3, 0.4217}},
                  {kHostile, {0, 1, 2, 3}, {0.5, 0.6, 0.7, 0.8}}};
  const std::string svg = report::line_chart(chart);
  CHECK(malformed(svg) == "");
  CHECK(malformed(report::standalone(svg)) == "");
  CHECK(contains(report::standalone(svg), "prefers-color-scheme:dark"));
  // Readable on a page that is bright where the reader's system is dark, or the other way round.
  // Plain colours first, for programs that know no custom properties.
  CHECK(contains(report::standalone(svg), "svg{background:#fcfcfa;background:var(--page)}"));
  CHECK(contains(report::standalone(svg), ".plot-line.c0{stroke:#1f66b5;stroke:var(--c0)}"));
  CHECK(contains(report::standalone(svg), "viewBox=\"-16 -16 492 "));
  CHECK(!contains(svg, "<b"));
  CHECK(count(svg, kHostileEscaped) == 5);  // title (twice), subtitle, x label, legend
  CHECK(contains(svg, "before &amp; after"));
  CHECK(contains(svg, ">0.422<"));
  CHECK(contains(svg, ">0.800<"));
  for (const char* tick : {">0<", ">1<", ">2<", ">3<"}) CHECK(contains(svg, tick));
  CHECK(!contains(svg, ">0.5<"));  // no half epochs, and the y axis ends at 0.1 .. 0.8
  CHECK(count(svg, "<polyline") == 2);
  CHECK(count(svg, "<circle") == 3 + 4);
  CHECK(!contains(svg, "nan"));
}

TEST_CASE("a line runs from the lowest to the highest tick of its axis") {
  report::LineChart chart{"t", "", "x", {{"y", {0, 10}, {0, 100}}}, 0, true, false};
  const std::string svg = report::line_chart(chart);
  // The plot is 170 high and begins 10 below the heading; x from 44 to 460 - 54.
  CHECK(contains(svg, "points=\"44.0,202.0 406.0,32.0\""));
}

TEST_CASE("charts without a usable value are still pictures") {
  report::LineChart chart{"empty", "", "", {}, 1, true, true};
  CHECK(malformed(report::line_chart(chart)) == "");
  chart.series = {{"none", {0, 1}, {kNan, kNan}}, {"short", {}, {}}};
  CHECK(malformed(report::line_chart(chart)) == "");
  CHECK(!contains(report::line_chart(chart), "nan"));
  chart.series = {{"one point", {5}, {0}}};
  CHECK(!contains(report::line_chart(chart), "nan"));
  CHECK(contains(report::line_chart(chart), "<circle"));
  chart.series = {{"one point", {0}, {30}}};  // no epoch -1, and none that was not trained
  CHECK(contains(report::line_chart(chart), ">0<"));
  CHECK(!contains(report::line_chart(chart), ">−1<"));
  CHECK(!contains(report::line_chart(chart), ">1<"));
  CHECK(malformed(report::comparison_chart({})) == "");
  CHECK(!contains(report::comparison_chart({}), "nan"));
}

TEST_CASE("end values of close lines do not overlap") {
  report::LineChart chart{"t", "", "", {}, 2, true, false};
  for (int i = 0; i < 4; ++i) {
    chart.series.push_back({"s", {0, 1}, {0, 1 - 0.001 * i}});
  }
  const std::string svg = report::line_chart(chart);
  std::vector<double> heights;
  for (std::size_t at = svg.find("plot-end"); at != svg.npos; at = svg.find("plot-end", at + 1)) {
    heights.push_back(std::stod(svg.substr(svg.find(" y=\"", at) + 4)));
  }
  REQUIRE(heights.size() == 4);
  for (std::size_t i = 1; i < 4; ++i) CHECK(heights[i] - heights[i - 1] >= 14);
}

// The axis goes from 150 to 460 - 48.
TEST_CASE("bands are two standard errors each way, and everything lies within the axis") {
  report::ComparisonChart chart;
  chart.before_label = "untrained";
  chart.after_label = "trained";
  chart.rows = {{"conv", "kNN", 20, 5, 60, 10, 100}, {"conv", "linear", 50, 0, 60, 0, 0}};
  const std::string svg = report::comparison_chart(chart);
  const auto place = [](double percent) {
    return std::to_string(150 + 262 * percent / 100).substr(0, 5);
  };
  const auto drawn = [&](const std::string& style, const std::string& name, double percent) {
    const std::size_t at = svg.find("class=\"" + style + "\"");
    REQUIRE(at != svg.npos);
    return contains(svg.substr(at, svg.find("/>", at) - at), name + "=\"" + place(percent) + "\"");
  };
  CHECK(drawn("plot-band before", "x1", 10));
  CHECK(drawn("plot-band before", "x2", 30));
  CHECK(drawn("plot-band after", "x1", 40));
  CHECK(drawn("plot-band after", "x2", 80));
  CHECK(drawn("plot-join", "x1", 20));
  CHECK(drawn("plot-join", "x2", 60));
  CHECK(count(svg, "x1=\"" + place(100) + "\"") > 1);  // a tick, and what raw pixels have
  CHECK(contains(svg, ">100<"));
}

TEST_CASE("a comparison shows groups, labels, differences and the yardstick") {
  report::ComparisonChart chart;
  chart.title = kHostile;
  chart.before_label = "untrained";
  chart.after_label = "trained";
  chart.yardstick_label = "raw";
  chart.rows = {{"fc", "kNN", 82.4, 0.4, 85.2, 0.4, 86.2},
                {"fc", kHostile, 81.7, 0, 80.2, 0, kNan},
                {"embedding", "kNN", kNan, kNan, 84.5, 0.4, kNan}};
  const std::string svg = report::comparison_chart(chart);
  CHECK(malformed(svg) == "");
  CHECK(!contains(svg, "<b"));
  CHECK(count(svg, ">fc<") == 1);
  CHECK(count(svg, ">embedding<") == 1);
  CHECK(contains(svg, ">+2.8<"));
  CHECK(contains(svg, ">−1.5<"));
  CHECK(count(svg, "plot-after") == 1 + 2);  // legend and the complete rows
  CHECK(count(svg, "plot-band") == 2);
  CHECK(count(svg, "plot-yardstick") == 1 + 1);
  CHECK(!contains(svg, "nan"));
}
