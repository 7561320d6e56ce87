#include "tools/run_report.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "data/files.h"
#include "engine/durable_file.h"
#include "engine/run_log.h"
#include "kernels/memory.h"
#include "nat/evaluate/knn.h"
#include "tools/judge.h"
#include "tools/judgements.h"
#include "tools/left_out.h"
#include "tools/report/filters.h"
#include "tools/report/html_report.h"
#include "tools/report/text.h"
#include "tools/results.h"
#include "tools/session.h"

namespace nat::tools {

namespace {

constexpr std::int64_t kQueries = 7;  // as in figure 3 of the paper
constexpr int kNeighbours = 8;

std::string percent(double fraction) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f %%", 100 * fraction);
  return text;
}

void add_headline(const Verdict& verdict, report::ReportData& data) {
  const std::vector<std::array<std::string, 3>> figures = {
      {"conv", "knn", "conv features, kNN"},
      {"fc", "linear_1k", "fc features, 1,000 labels"},
      {"embedding", "knn", "embedding, kNN"}};
  for (const auto& [tap, measure, title] : figures) {
    const auto place = verdict.trained.find(tap);
    if (place == verdict.trained.end() || place->second.count(measure) == 0) continue;
    const double untrained = verdict.untrained.at(tap).at(measure).value;
    data.headline.push_back({title, percent(place->second.at(measure).value) + " (untrained " +
                                        percent(untrained) + ")"});
  }
}

// Whose pictures judged it, where they are not the run's own.
std::string of_pictures(const std::string& data, const Options& options) {
  return data == options.data ? "" : " of " + data;
}

std::string after_steps(std::int64_t judged, std::int64_t step) {
  const std::string now = judged == step ? "" : str("; the run has ", step, " now");
  return str(" after ", judged, " steps", now);
}

// In which way the figures are not those of the run as it is now; empty where they are.
std::string judged_note(const Verdict& verdict, const Options& options, std::int64_t step) {
  const std::string labels = report::grouped(verdict.labels);
  return (verdict.labels == 0 ? "" : str(", by the labels of ", labels, " pictures")) +
         of_pictures(verdict.data, options) +
         (verdict.step == step ? "" : after_steps(verdict.step, step));
}

std::string title_of(const std::string& judge) {
  static const std::map<std::string, std::string> titles = {
      {"all", "kNN and linear probes"},
      {"knn", "kNN"},
      {"linear", "Linear probes"},
      {"mlp", "MLP on the frozen network"},
      {"layers", "Linear classifiers on the frozen network"},
      {"finetune", "The whole network, trained with labels"},
      {"retrieval", "Retrieval"},
      {"cluster", "Clusters against classes"}};
  const auto found = titles.find(judge);
  return found == titles.end() ? judge : found->second;
}

std::string measure_of(const std::string& name) {
  static const std::map<std::string, std::string> titles = {{"knn", "kNN"},
                                                            {"linear_1k", "linear, 1,000 labels"},
                                                            {"mlp", "MLP"},
                                                            {"linear_sgd", "linear"},
                                                            {"finetune", "accuracy"},
                                                            {"recall_1", "recall at 1"},
                                                            {"recall_5", "recall at 5"},
                                                            {"recall_10", "recall at 10"},
                                                            {"map", "mAP"},
                                                            {"nmi", "NMI"},
                                                            {"ari", "ARI"}};
  if (name.ends_with("_map11")) return "mAP, 11 recalls";
  if (name.ends_with("_map")) return "mAP, area";
  const auto found = titles.find(name);
  return found == titles.end() ? name : found->second;
}

report::Score percent_of(const Score& score) {
  return {100 * score.value, score.standard_error ? 100 * *score.standard_error : report::kAbsent};
}

// "k = 20, layers = conv fc"
std::string written(const nlohmann::ordered_json& options) {
  const auto text = [](const nlohmann::ordered_json& value) {
    return value.is_string() ? value.get<std::string>() : value.dump();
  };
  std::string line;
  for (const auto& [name, value] : options.items()) {
    line += (line.empty() ? "" : ", ") + name + " =";
    if (name == "lr" && value == 0) {
      line += " by place";
    } else if (value.is_array()) {
      for (const auto& one : value) line += " " + text(one);
    } else {
      line += " " + text(value);
    }
  }
  return line;
}

std::vector<report::Result> figures_of(const Verdict& verdict) {
  std::vector<report::Result> figures;
  for (const std::string& tap : verdict.taps) {
    for (const auto& [measure, trained] : verdict.trained.at(tap)) {
      const auto raw = verdict.raw.find(measure);
      figures.push_back({tap, measure_of(measure), percent_of(trained),
                         percent_of(verdict.untrained.at(tap).at(measure)),
                         raw == verdict.raw.end() ? report::Score() : percent_of(raw->second)});
    }
  }
  return figures;
}

// The same for all figures of a judge.
std::int64_t pictures_of(const Verdict& verdict) {
  for (const std::string& tap : verdict.taps) {
    for (const auto& [measure, score] : verdict.trained.at(tap)) return score.n_test;
  }
  return 0;
}

// What 'nat eval all' found; nothing where it has not been called. `step` of the run.
void add_judged(const RunFolder& folder, const Options& options, std::int64_t step,
                report::ReportData& data) {
  const std::optional<Verdict> verdict = kept_results(folder);
  if (!verdict) return;
  data.results = figures_of(*verdict);
  data.test_images = pictures_of(*verdict);
  add_headline(*verdict, data);
  data.judged_note = judged_note(*verdict, options, step);
}

report::Judgement shown(const Judgement& judgement, const Options& options, std::int64_t step) {
  const Verdict& verdict = judgement.verdict;
  report::Judgement shown;
  shown.title = title_of(judgement.judge);
  if (judgement.judge == "finetune") {
    shown.trained = "Fine-tuned";
    shown.untrained = "From scratch";
  }
  shown.note = str("On ", report::grouped(pictures_of(verdict)), " test pictures",
                   of_pictures(verdict.data, options), after_steps(verdict.step, step), ".",
                   verdict.remark.empty() ? "" : " Note: " + verdict.remark + ".");
  shown.options = written(judgement.options);
  shown.results = figures_of(verdict);
  return shown;
}

// Of those that were asked the same on the same pictures, the newest.
std::vector<Judgement> newest_judgements(const RunFolder& folder) {
  std::vector<Judgement> newest;
  for (Judgement& judgement : kept_judgements(folder)) {
    const auto older = std::find_if(newest.begin(), newest.end(), [&](const Judgement& other) {
      return other.judge == judgement.judge && other.options == judgement.options &&
             other.verdict.data == judgement.verdict.data;
    });
    if (older != newest.end()) newest.erase(older);
    newest.push_back(std::move(judgement));
  }
  return newest;
}

// What every 'nat eval' found, but for what add_judged has shown.
void add_judgements(const RunFolder& folder, const Options& options, std::int64_t step,
                    report::ReportData& data) {
  std::ifstream in(folder.file("results.json"), std::ios::binary);
  const std::string shown_already(std::istreambuf_iterator<char>(in), {});
  for (const Judgement& judgement : newest_judgements(folder)) {
    if (judgement.judge == "all" && to_json(judgement.verdict).dump(2) + "\n" == shown_already)
      continue;
    data.judgements.push_back(shown(judgement, options, step));
  }
}

void add_timing(const RunFolder& folder, report::ReportData& data) {
  const std::filesystem::path path = folder.file("timing.csv");
  std::error_code ignored;
  if (!std::filesystem::is_regular_file(path, ignored)) return;
  const auto rows = read_csv(path);
  for (const char* stage : {"preprocess", "forward", "assign", "head", "backward", "update",
                            "recorded", "data_wait", "judging_and_checkpoints"}) {
    double seconds = 0;
    for (const MetricsRow& row : rows) {
      if (const auto found = row.find(stage); found != row.end()) seconds += found->second;
    }
    data.timing.push_back({stage, seconds});
  }
}

void add_filters(Context& ctx, const Network& network, report::ReportData& data) {
  const ParameterSet& parameters = network.net->parameters();
  const Parameter& first = parameters.parameters().front();
  std::vector<float> memory(static_cast<std::size_t>(first.shape.elements()));
  copy_to_host(ctx, parameters.value(0), View(memory.data(), DType::f32, first.shape));
  synchronize(ctx);
  const std::vector<float> weights = parameters.to_file(first, memory.data());
  const auto outputs = static_cast<int>(first.file_shape[0]);
  const auto channels = static_cast<int>(first.file_shape[1]);
  data.filters =
      report::filter_pictures(weights, outputs, channels, static_cast<int>(first.file_shape[2]));
  data.filters_note =
      channels == 2 ? "First-layer filters composed with the Sobel kernels, each stretched to "
                      "its own range (the paper's figure 4)."
                    : "First-layer filters, each stretched to its own range.";
}

// Evenly spaced pictures of the bank and their nearest others by the embedding (paper figure 3).
void add_neighbours(Context& ctx, const Options& options, Network& network,
                    const data::Dataset& bank, report::ReportData& data) {
  const std::string tap = "embedding";
  const FeatureSet set =
      extract_features(ctx, options, network, bank, {tap}, "features of the pictures");
  const FeatureMatrix& features = set.at.at(tap);
  if (features.rows <= kNeighbours) return;
  const std::int64_t queries = std::min(kQueries, features.rows);
  std::vector<std::int64_t> chosen(static_cast<std::size_t>(queries));
  for (std::int64_t q = 0; q < queries; ++q) {
    chosen[static_cast<std::size_t>(q)] = (2 * q + 1) * features.rows / (2 * queries);
  }
  Context host;  // features are host memory
  const Neighbours found =
      nearest_neighbours(host, features, select_rows(features, chosen), kNeighbours + 1);
  for (std::int64_t q = 0; q < queries; ++q) {
    report::NeighbourRow row;
    const auto self = static_cast<std::int32_t>(chosen[static_cast<std::size_t>(q)]);
    row.query = labelled_picture(bank, set.ids[static_cast<std::size_t>(self)]);
    for (int i = 0; i <= kNeighbours; ++i) {
      const std::int32_t index = found.indices_of(q)[static_cast<std::size_t>(i)];
      if (index == self || row.neighbours.size() == kNeighbours) continue;
      row.neighbours.push_back(labelled_picture(bank, set.ids[static_cast<std::size_t>(index)]));
      row.neighbours.back().similarity =
          static_cast<double>(found.similarities_of(q)[static_cast<std::size_t>(i)]);
    }
    data.neighbours.push_back(std::move(row));
  }
  data.neighbours_note =
      str("Nearest of ", report::grouped(features.rows), " training pictures of ",
          data::printable(bank.catalog().source), " by the cosine of their embeddings.");
  if (bank.labelled()) {
    data.neighbours_note +=
        " Labels are shown for the reader, in red where they differ; training never saw them.";
  }
}

// The charts and the filters as files of their own, for slides and front pages.
void write_figures(const RunFolder& folder, const report::ReportData& data) {
  const std::filesystem::path figures = folder.file("figures");
  std::error_code error;
  std::filesystem::create_directories(figures, error);
  if (error) throw_io_error(figures, "create folder", error.value());
  if (!data.results.empty()) {
    write_durably(figures / "results.svg",
                  report::standalone(report::comparison_chart(report::result_chart(data.results))));
  }
  int number = 0;
  for (const report::LineChart& chart : report::training_charts(data.curves)) {
    write_durably(figures / str("curve-", ++number, ".svg"),
                  report::standalone(report::line_chart(chart)));
  }
  constexpr int kColumns = 16, kGap = 2, kMagnify = 5;
  std::vector<report::Picture> tiles;
  for (const report::Picture& filter : data.filters)
    tiles.push_back(report::enlarge(filter, kMagnify));
  write_durably(figures / "filters.png",
                report::encode_png(report::contact_sheet(tiles, kColumns, kGap)));
}

// "runs/mine" and "runs/mine/" are the same folder, and "." has a name too.
std::string name_of(const std::filesystem::path& folder) {
  const std::filesystem::path whole = std::filesystem::absolute(folder).lexically_normal();
  return (whole.has_filename() ? whole : whole.parent_path()).filename().string();
}

// What only the network and its pictures can say. Returns the step of the run.
std::int64_t add_network(const RunFolder& folder, const Options& options, const data::Dataset& bank,
                         report::ReportData& data) {
  const auto ctx = make_context(options);
  auto [network, step] = load_trained(*ctx, folder, options, bank.shape());
  add_filters(*ctx, network, data);
  add_neighbours(*ctx, options, network, bank, data);
  data.summary =
      str("Noise As Targets on ", options.data, ": ", options.network, ", ", options.dimension,
          "-dimensional ", options.targets == "basis" ? "one-hot targets, " : "targets, ", step,
          " steps of ", options.batch, " pictures, trained without labels.");
  return step;
}

report::ReportData collect(const RunFolder& folder, const Options& options,
                           const data::Dataset& bank) {
  report::ReportData data;
  data.title = name_of(folder.path());
  data.command = "nat report " + shell_quoted(folder.path().string());
  data.curves = report::training_curves(read_csv(folder.file("metrics.csv")));
  add_timing(folder, data);
  const Options of_run = folder.options();
  visit_options(of_run, [&](const char* name, const auto& value, const char*, const char*) {
    data.configuration.push_back({name, str(std::boolalpha, value)});
  });
  const std::int64_t step = add_network(folder, options, bank, data);
  add_judged(folder, options, step, data);
  add_judgements(folder, options, step, data);
  return data;
}

}  // namespace

report::LabelledPicture labelled_picture(const data::Dataset& pictures, std::int32_t id) {
  const data::PictureShape& shape = pictures.shape();
  report::LabelledPicture result;
  result.picture = {shape.width, shape.height, shape.channels,
                    std::vector<std::uint8_t>(static_cast<std::size_t>(shape.bytes()))};
  pictures.read(id, result.picture.pixels.data());
  if (pictures.labelled()) {
    result.label = pictures.catalog().class_names[static_cast<std::size_t>(pictures.label(id))];
  }
  return result;
}

WrittenReport write_report(const RunFolder& folder, const Options& options,
                           const std::string& pictures) {
  Options opening = options;
  const bool are_own = pictures.empty() || data::name_the_same(pictures, options.data);
  if (!are_own) opening.limit = -1;  // it is one of the run's own pictures
  const auto bank = open_data(opening, data::Split::train, pictures, kBankPictures);
  const report::ReportData data = collect(folder, options, *bank);
  write_figures(folder, data);
  const std::filesystem::path page = folder.file("report.html");
  write_durably(page, report::html_report(data));
  return {page, remark_lines(*bank) + unreadable_line(*bank)};
}

}  // namespace nat::tools
