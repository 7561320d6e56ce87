#include "tools/report/html_report.h"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

#include "tools/report/html_style.h"
#include "tools/report/text.h"

namespace nat::report {

namespace {

// ---- small pieces of HTML -----------------------------------------------------------------------

// <name class="style">content</name>; the content is HTML already.
std::string element(std::string_view name, std::string_view content, std::string_view style = "") {
  const std::string tag(name);
  std::string open = "<" + tag;
  if (!style.empty()) open += " class=\"" + std::string(style) + "\"";
  return open + ">" + std::string(content) + "</" + tag + ">";
}

std::string paragraph(const std::string& text, std::string_view style) {
  return text.empty() ? "" : element("p", escape(text), style) + "\n";
}

std::string image(const Picture& picture, const std::string& description) {
  return "<img class=\"pixels\" alt=\"" + escape(description) + "\" width=\"" +
         std::to_string(picture.width) + "\" height=\"" + std::to_string(picture.height) +
         "\" src=\"data:image/png;base64," + base64(encode_png(picture)) + "\">";
}

std::string section(std::string_view heading, const std::string& content) {
  return "<section>\n" + element("h2", escape(heading)) + "\n" + content + "</section>\n";
}

// ---- header -------------------------------------------------------------------------------------

std::string header(const ReportData& data) {
  std::string html = element("p", "Noise As Targets · report of a run", "eyebrow") + "\n" +
                     element("h1", escape(data.title)) + "\n" + paragraph(data.summary, "summary");
  if (data.headline.empty()) return html;
  html += "<dl class=\"facts\">\n";
  for (const Fact& fact : data.headline) {
    html +=
        element("div", element("dt", escape(fact.name)) + element("dd", escape(fact.value))) + "\n";
  }
  return html + "</dl>\n";
}

// ---- results ------------------------------------------------------------------------------------

std::string score_cell(const Score& score, std::string_view style) {
  if (std::isnan(score.percent)) return element("td", "–", style);
  std::string text = fixed(score.percent, 1);
  if (!std::isnan(score.error)) {
    text += " " + element("span", "± " + fixed(score.error, 1), "error");
  }
  return element("td", text, style);
}

std::string difference_cell(const Result& result) {
  const Score gain = difference(result);
  if (std::isnan(gain.percent)) return element("td", "–");
  std::string text = signed_fixed(gain.percent, 1);
  if (!std::isnan(gain.error)) {
    text += " " + element("span", "± " + fixed(gain.error, 1), "error");
  }
  // Coloured only when it is more than two standard errors from nothing.
  const bool is_clear = std::fabs(gain.percent) > 2 * gain.error;
  return element("td", text, !is_clear ? "gain" : gain.percent > 0 ? "gain up" : "gain down");
}

// Raw pixels have a column where any judge looked at them. The other names are those of the
// columns.
std::string result_table(const std::vector<Result>& results, const std::string& trained,
                         const std::string& untrained) {
  const bool has_raw = std::any_of(results.begin(), results.end(), [](const Result& result) {
    return !std::isnan(result.raw.percent);
  });
  std::string html = "<div class=\"scroll\"><table class=\"results\">\n<thead><tr>" +
                     element("th", "Features, judge") + element("th", escape(trained)) +
                     element("th", escape(untrained)) + element("th", "Difference") +
                     (has_raw ? element("th", "Raw pixels") : "") + "</tr></thead>\n<tbody>\n";
  const std::string columns = has_raw ? "5" : "4";
  std::string group;
  for (const Result& result : results) {
    if (result.features != group) {
      group = result.features;
      html += "<tr><th colspan=\"" + columns + "\">" + escape(group) + "</th></tr>\n";
    }
    html +=
        element("tr", "<th>" + escape(result.judge) + "</th>" +
                          score_cell(result.trained, "trained") + score_cell(result.untrained, "") +
                          difference_cell(result) + (has_raw ? score_cell(result.raw, "") : "")) +
        "\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string results_section(const ReportData& data) {
  if (data.results.empty()) return "";
  std::string note = "Accuracy in percent on frozen features";
  if (data.test_images > 0)
    note += ", on " + grouped(data.test_images) + " test pictures" + data.judged_note;
  note +=
      ". ± is one standard error. Untrained is the same network before learning, with its batch "
      "norm statistics calibrated; raw pixels stand beside them as a yardstick.";
  const std::string chart = element("figure", comparison_chart(result_chart(data.results))) + "\n";
  return section(
      "What the features are worth",
      paragraph(note, "note") +
          element("div", "\n" + result_table(data.results, "Trained", "Untrained") + chart,
                  "split") +
          "\n");
}

std::string judgements_section(const std::vector<Judgement>& judgements) {
  if (judgements.empty()) return "";
  std::string html = paragraph(
      "Values in percent; ± is one standard error, where there is one. A judge that was asked the "
      "same twice is shown with its last answer; all answers are in judgements.jsonl, and the "
      "figures of each class where pictures have several labels.",
      "note");
  for (const Judgement& judgement : judgements) {
    html += element("h3", escape(judgement.title)) + "\n" + paragraph(judgement.note, "note");
    if (!judgement.options.empty()) {
      html += element("p", element("code", escape(judgement.options)), "note") + "\n";
    }
    html += result_table(judgement.results, judgement.trained, judgement.untrained);
  }
  return section("Other judges", html);
}

// ---- training -----------------------------------------------------------------------------------

std::string training_section(const TrainingCurves& curves) {
  std::string figures;
  for (const LineChart& chart : training_charts(curves)) {
    figures += element("figure", line_chart(chart)) + "\n";
  }
  if (figures.empty()) return "";
  return section("How it learned", element("div", "\n" + figures, "charts") + "\n");
}

// ---- pictures -----------------------------------------------------------------------------------

std::string filters_section(const ReportData& data) {
  if (data.filters.empty()) return "";
  std::string images;
  for (std::size_t i = 0; i < data.filters.size(); ++i) {
    images += image(data.filters[i], "filter " + std::to_string(i)) + "\n";
  }
  return section("First-layer filters", paragraph(data.filters_note, "note") +
                                            element("div", "\n" + images, "filters") + "\n");
}

std::string captioned(const LabelledPicture& item, bool differs) {
  std::string caption = escape(item.label);
  if (!std::isnan(item.similarity)) {
    caption += std::string(caption.empty() ? "" : "<br>") + fixed(item.similarity, 2);
  }
  const std::string text =
      caption.empty() ? "" : element("figcaption", caption, differs ? "other" : "");
  return element("figure", image(item.picture, item.label) + text);
}

std::string neighbours_section(const ReportData& data) {
  if (data.neighbours.empty()) return "";
  std::string rows;
  for (const NeighbourRow& row : data.neighbours) {
    std::string near;
    for (const LabelledPicture& neighbour : row.neighbours) {
      const bool differs = !row.query.label.empty() && neighbour.label != row.query.label;
      near += captioned(neighbour, differs) + "\n";
    }
    rows += "<div class=\"row\">" + captioned(row.query, false) +
            "<div class=\"near\" style=\"--n:" + std::to_string(row.neighbours.size()) + "\">\n" +
            near + "</div></div>\n";
  }
  return section("Nearest neighbours", paragraph(data.neighbours_note, "note") +
                                           element("div", "\n" + rows, "neighbours") + "\n");
}

// ---- timing, configuration ----------------------------------------------------------------------

std::string timing_section(const std::vector<Timing>& timing) {
  double total = 0;
  for (const Timing& row : timing) total += row.seconds;
  if (!(total > 0)) return "";
  std::string rows;
  for (const Timing& row : timing) {
    const double share = 100 * row.seconds / total;
    const std::string bar =
        "<span class=\"bar\" style=\"width:" + fixed(std::max(share, 0.0), 1) + "%\"></span>";
    rows += element("tr", "<th>" + escape(row.stage) + "</th>" +
                              element("td", seconds_text(row.seconds)) +
                              element("td", fixed(share, 1) + " %") + element("td", bar, "wide")) +
            "\n";
  }
  rows += element("tr", "<th>total</th>" + element("td", seconds_text(total), "trained") +
                            "<td></td><td></td>") +
          "\n";
  return section(
      "Where the time went",
      element("div", element("table", "<tbody>\n" + rows + "</tbody>"), "scroll") + "\n");
}

std::string configuration_section(const std::vector<Fact>& configuration) {
  if (configuration.empty()) return "";
  std::string rows;
  for (const Fact& fact : configuration) {
    rows += element("tr", element("td", element("code", escape(fact.name))) +
                              element("td", element("code", escape(fact.value)))) +
            "\n";
  }
  return "<section><details><summary>Configuration</summary>\n" +
         element("table", "<tbody>\n" + rows + "</tbody>", "options") + "</details></section>\n";
}

}  // namespace

std::string html_report(const ReportData& data) {
  const std::string command =
      data.command.empty() ? "" : "Made by " + element("code", escape(data.command)) + ". ";
  return "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
         "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>" +
         escape(data.title) + " · Noise As Targets</title>\n<style>" + plot_style() +
         std::string(kPageStyle) + "</style>\n</head>\n<body>\n<main>\n<header>\n" + header(data) +
         "</header>\n" + results_section(data) + judgements_section(data.judgements) +
         training_section(data.curves) + filters_section(data) + neighbours_section(data) +
         timing_section(data.timing) + configuration_section(data.configuration) + "<footer>" +
         command +
         "Method: Bojanowski and Joulin, Unsupervised Learning by Predicting Noise, "
         "2017.</footer>\n"
         "</main>\n</body>\n</html>\n";
}

}  // namespace nat::report
