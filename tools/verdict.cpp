#include "tools/verdict.h"

#include <cstdio>

#include "nat/evaluate/features.h"

namespace nat::tools {

namespace {

void add_certainty(const Score& score, nlohmann::ordered_json& entry) {
  if (score.standard_error) entry["stderr"] = *score.standard_error;
  entry["n_test"] = score.n_test;
}

// {"cat": {"trained": .., "untrained": ..}, ...}
nlohmann::ordered_json classes_to_json(const Score& trained, const Score& untrained) {
  nlohmann::ordered_json json;
  for (const auto& [name, value] : trained.of_class) {
    json[name] = {{"trained", value}, {"untrained", untrained.of_class.at(name)}};
  }
  return json;
}

// `value` names the member of the figure, also in the entries of classes where they have several.
Score score(const nlohmann::ordered_json& entry, const char* value) {
  Score score{entry.at(value).get<double>(), {}, entry.at("n_test").get<std::int64_t>(), {}};
  if (entry.contains("stderr")) score.standard_error = entry.at("stderr").get<double>();
  if (!entry.contains("classes")) return score;
  for (const auto& [name, of_class] : entries(entry.at("classes"))) {
    score.of_class[name] = (of_class.is_object() ? of_class.at(value) : of_class).get<double>();
  }
  return score;
}

Scores scores(const nlohmann::ordered_json& measures, const char* value) {
  Scores scores;
  for (const auto& [what, entry] : entries(measures)) scores[what] = score(entry, value);
  return scores;
}

Scores untrained_scores(const nlohmann::ordered_json& measures) {
  Scores found = scores(measures, "untrained");
  for (auto& [what, score] : found) {
    if (!score.standard_error) continue;
    score.standard_error.reset();
    if (what != "map") score.standard_error = standard_error(score.value, score.n_test);
  }
  return found;
}

}  // namespace

nlohmann::ordered_json to_json(const Verdict& verdict) {
  nlohmann::ordered_json json;
  json["judged"] = {{"data", verdict.data}, {"step", verdict.step}};
  if (verdict.labels > 0) json["judged"]["labels"] = verdict.labels;
  for (const std::string& tap : verdict.taps) {
    for (const auto& [what, trained] : verdict.trained.at(tap)) {
      const Score& untrained = verdict.untrained.at(tap).at(what);
      auto& entry = json[tap][what];
      entry = {{"trained", trained.value}, {"untrained", untrained.value}};
      add_certainty(trained, entry);
      if (!trained.of_class.empty()) entry["classes"] = classes_to_json(trained, untrained);
    }
  }
  for (const auto& [what, score] : verdict.raw) {
    auto& entry = json["raw"][what];
    entry = {{"value", score.value}};
    add_certainty(score, entry);
    if (!score.of_class.empty()) entry["classes"] = score.of_class;
  }
  return json;
}

const nlohmann::ordered_json::object_t& entries(const nlohmann::ordered_json& json) {
  return json.get_ref<const nlohmann::ordered_json::object_t&>();
}

Verdict from_json(const nlohmann::ordered_json& json) {
  Verdict verdict;
  json.at("judged").at("data").get_to(verdict.data);
  json.at("judged").at("step").get_to(verdict.step);
  verdict.labels = json.at("judged").value("labels", verdict.labels);
  for (const auto& [place, measures] : entries(json)) {
    if (place == "judged") continue;
    if (place == "raw") {
      verdict.raw = scores(measures, "value");
      continue;
    }
    verdict.taps.push_back(place);
    verdict.trained[place] = scores(measures, "trained");
    verdict.untrained[place] = untrained_scores(measures);
  }
  return verdict;
}

std::string to_table(const Verdict& verdict) {
  std::string table;
  const auto add = [&](const char* format, auto... values) {
    char line[160];
    std::snprintf(line, sizeof line, format, values...);
    table += line;
  };
  // Of a figure, or as many blanks.
  const auto add_error = [&](const Score& score) {
    if (score.standard_error) {
      add(" +- %4.2f", 100 * *score.standard_error);
    } else {
      add("%8s", "");
    }
  };
  const bool whole = verdict.taps == std::vector<std::string>{"network"};
  add("%-12s %-16s %9s %7s %12s %7s\n", "features", "measure", whole ? "finetuned" : "trained",
      "stderr", whole ? "from scratch" : "untrained", "gain");
  for (const std::string& tap : verdict.taps) {
    for (const auto& [what, trained] : verdict.trained.at(tap)) {
      const double untrained = verdict.untrained.at(tap).at(what).value;
      add("%-12s %-16s %8.2f%%", tap.c_str(), what.c_str(), 100 * trained.value);
      add_error(trained);
      add("%12.2f%% %+7.2f\n", 100 * untrained, 100 * (trained.value - untrained));
    }
  }
  for (const auto& [what, score] : verdict.raw) {
    add("%-12s %-16s %8.2f%%", "raw pixels", what.c_str(), 100 * score.value);
    add_error(score);
    table += "\n";
  }
  return table;
}

}  // namespace nat::tools
