#include "tools/report/html_report.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/report_markup.h"

namespace report = nat::report;
using report_test::contains;
using report_test::count;

namespace {

const char* const kHostile = "<script src=\"https://x.example/\">'&";
const char* const kHostileEscaped = "&lt;script src=&quot;https://x.example/&quot;&gt;&#39;&amp;";

std::string malformed(const std::string& html) {
  return report_test::malformed(html, {"meta", "img", "br"});
}

report::Picture pixel(std::uint8_t value) { return {2, 2, 1, std::vector<std::uint8_t>(4, value)}; }

report::ReportData sample() {
  report::ReportData data;
  data.title = "demo";
  data.summary = "Learned from 60,000 pictures.";
  data.headline = {{"Epochs", "12"}, {"Batch", "256"}};
  data.results = {{"conv", "kNN", {86.3, 0.34}, {84.5, 0.36}, {86.2, 0.34}},
                  {"fc", "kNN", {85.2, 0.36}, {82.4, 0.38}, {}},
                  {"fc", "linear", {80, 0.4}, {81.6, 0.4}, {}}};
  data.test_images = 10000;
  data.judgements = {{.title = "Whole network",
                      .note = "On 500 test pictures after 64 steps.",
                      .options = "labels = 64",
                      .trained = "Fine-tuned",
                      .untrained = "From scratch",
                      .results = {{"network", "accuracy", {71.2, 2.1}, {64.4, 2.2}, {}}}},
                     {.title = "Clusters",
                      .note = "",
                      .options = "",
                      .results = {{"conv", "NMI", {54.2, report::kAbsent}, {30.1}, {3.3}}}}};
  data.curves = report::training_curves({{{"epoch", 0}, {"loss", 1.75}, {"lr", 0.1}},
                                         {{"epoch", 1}, {"loss", 1.5123}, {"lr", 0.05}}});
  data.filters = {pixel(3), pixel(4)};
  data.filters_note = "Two filters.";
  data.neighbours = {{{pixel(1), "coat"}, {{pixel(2), "coat", 0.973}, {pixel(3), "shirt", 0.9}}}};
  data.neighbours_note = "Queries on the left.";
  data.timing = {{"forward", 30}, {"backward", 70}};
  data.configuration = {{"lr", "0.1"}, {"seed", "1"}};
  data.command = "nat report runs/demo";
  return data;
}

}  // namespace

TEST_CASE("the report is well-formed, whole and fetches nothing") {
  const std::string html = report::html_report(sample());
  CHECK(malformed(html) == "");
  CHECK(html.starts_with("<!doctype html>"));
  CHECK(!contains(html, "<script"));
  CHECK(!contains(html, "<link"));
  CHECK(!contains(html, "@import"));
  CHECK(!contains(html, "url("));
  CHECK(count(html, "http") == count(html, "xmlns=\"http://www.w3.org/2000/svg\""));
  CHECK(count(html, "<img") == count(html, "src=\"data:image/png;base64,iVBORw0KGgo"));
}

TEST_CASE("every value of the report appears") {
  const std::string html = report::html_report(sample());
  for (const char* text :
       {"demo", "Learned from 60,000 pictures.", "Epochs", "256", "86.3", "± 0.3", "10,000 test",
        "1.51", "Two filters.", "Queries on the left.", ">coat<br>0.97<", ">shirt<br>0.90<",
        "30.0 s", "70.0 %", "1 min 40 s", "nat report runs/demo", "seed"}) {
    CAPTURE(text);
    CHECK(contains(html, text));
  }
  CHECK(count(html, "<img") == 2 + 3);
  CHECK(count(html, "class=\"other\"") == 1);  // the shirt beside the coat
}

TEST_CASE("a difference is coloured only beyond two standard errors") {
  const std::string html = report::html_report(sample());
  CHECK(contains(html, "<td class=\"gain up\">+1.8"));
  CHECK(contains(html, "<td class=\"gain up\">+2.8"));
  CHECK(contains(html, "<td class=\"gain down\">−1.6"));
  report::ReportData data = sample();
  data.results = {{"fc", "kNN", {82.9, 0.4}, {82.4, 0.4}, {}}};
  CHECK(contains(report::html_report(data), "<td class=\"gain\">+0.5"));
  // One error of the difference is 0.57.
  data.results = {{"fc", "kNN", {83.4, 0.4}, {82.4, 0.4}, {}},
                  {"fc", "linear", {81.2, 0.4}, {82.4, 0.4}, {}}};
  CHECK(contains(report::html_report(data), "<td class=\"gain\">+1.0"));
  CHECK(contains(report::html_report(data), "<td class=\"gain down\">−1.2"));
}

TEST_CASE("every other judge has a table, with raw pixels where it looked at them") {
  const std::string html = report::html_report(sample());
  const auto from = html.find("<h3>Whole network</h3>"), to = html.find("<h3>Clusters</h3>");
  REQUIRE(to != std::string::npos);
  const std::string whole = html.substr(from, to - from);
  for (const char* text :
       {"On 500 test pictures after 64 steps.", "<code>labels = 64</code>",
        "<th>Fine-tuned</th><th>From scratch</th><th>Difference</th></tr>", ">accuracy<", ">71.2 ",
        "± 2.1", ">64.4 ", "± 2.2", ">+6.8 ", "<th colspan=\"4\">network</th>"}) {
    CAPTURE(text);
    CHECK(contains(whole, text));
  }
  const std::string clusters = html.substr(to, html.find("</section>", to) - to);
  CHECK(!contains(clusters, "<code>"));
  CHECK(!contains(clusters, "±"));
  for (const char* text :
       {"<th>Difference</th><th>Raw pixels</th></tr>", "<th colspan=\"5\">conv</th>", ">NMI<",
        ">54.2<", ">30.1<", ">+24.1<", ">3.3<"}) {
    CAPTURE(text);
    CHECK(contains(clusters, text));
  }
}

TEST_CASE("all text is escaped") {
  report::ReportData data = sample();
  report::Judgement& judgement = data.judgements[0];
  for (std::string* text :
       {&judgement.title, &judgement.note, &judgement.options, &judgement.trained,
        &judgement.untrained, &judgement.results[0].features, &judgement.results[0].judge}) {
    *text = kHostile;
  }
  for (std::string* text :
       {&data.title, &data.summary, &data.headline[0].name, &data.headline[0].value,
        &data.results[0].features, &data.results[0].judge, &data.filters_note,
        &data.neighbours_note, &data.neighbours[0].query.label,
        &data.neighbours[0].neighbours[0].label, &data.timing[0].stage, &data.configuration[0].name,
        &data.configuration[0].value, &data.command}) {
    *text = kHostile;
  }
  const std::string html = report::html_report(data);
  CHECK(malformed(html) == "");
  CHECK(!contains(html, "<script"));
  CHECK(!contains(html, "src=\"https"));
  // Title twice, features and judge also in the chart, picture labels also as descriptions.
  CHECK(count(html, kHostileEscaped) == 14 + 7 + 1 + 2 + 2);
}

TEST_CASE("sections without content are left out") {
  report::ReportData data;
  data.title = "empty";
  const std::string html = report::html_report(data);
  CHECK(malformed(html) == "");
  CHECK(count(html, "<section>") == 0);
  CHECK(count(report::html_report(sample()), "<section>") == 7);
}

TEST_CASE("the standard error of a gain is that of two independent figures") {
  const report::Score gain = report::difference({"", "", {80, 0.3}, {75, 0.4}, {}});
  CHECK(gain.percent == doctest::Approx(5));
  CHECK(gain.error == doctest::Approx(0.5));
  CHECK(std::isnan(report::difference({"", "", {80, 0.3}, {}, {}}).percent));
}

TEST_CASE("curves come from the columns of the metrics, absent values as gaps") {
  const report::TrainingCurves curves = report::training_curves(
      {{{"epoch", 0}, {"loss", 2}, {"moved", 0.9}, {"reassigned", 1}, {"cosine_before", 0}},
       {{"epoch", 1}, {"loss", 1.5}, {"moved", 0}, {"reassigned", 0}, {"knn", 0.85}}});
  CHECK(curves.epoch == std::vector<double>{0, 1});
  CHECK(curves.loss == std::vector<double>{2, 1.5});
  CHECK(curves.moved[0] == 0.9);
  CHECK(std::isnan(curves.moved[1]));  // an epoch that does not re-assign says nothing
  CHECK(std::isnan(curves.knn[0]));
  CHECK(curves.knn[1] == 0.85);

  const std::vector<report::LineChart> charts = report::training_charts(curves);
  REQUIRE(charts.size() == 4);  // no learning rate was logged
  CHECK(charts[0].title == "Loss");
  REQUIRE(charts[1].series.size() == 1);  // only the cosine before
  CHECK(charts[2].series[0].y[0] == doctest::Approx(90));
  CHECK(charts[3].series[0].y[1] == doctest::Approx(85));
  CHECK(report::training_charts({}).empty());
  // As many decimals as the larger of two lines wants: a cosine of -0.001 beside one of 0.18.
  const report::TrainingCurves cosines = report::training_curves(
      {{{"epoch", 0}, {"cosine_before", -0.00113}, {"cosine_after", 0.18001}}});
  CHECK(report::training_charts(cosines).at(0).decimals == 3);
}

TEST_CASE("the chart of the results has a row for each result") {
  const report::ComparisonChart chart = report::result_chart(sample().results);
  REQUIRE(chart.rows.size() == 3);
  CHECK(chart.rows[0].before == 84.5);
  CHECK(chart.rows[0].after == 86.3);
  CHECK(chart.rows[0].yardstick == 86.2);
  CHECK(std::isnan(chart.rows[1].yardstick));
  CHECK(chart.yardstick_label == "raw pixels");
}
