#include "tools/verdict.h"

#include <cstdio>

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

}  // namespace

nlohmann::ordered_json to_json(const Verdict& verdict) {
  nlohmann::ordered_json json;
  json["judged"] = {{"data", verdict.data}, {"step", verdict.step}};
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
