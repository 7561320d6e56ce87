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
  const auto add_error = [&](const Score& score, int width) {
    if (score.standard_error) add("%*.2f", width, 100 * *score.standard_error);
    table += "\n";
  };
  add("%-12s %-16s %9s %10s %7s %9s\n", "features", "measure", "trained", "untrained", "gain",
      "+- stderr");
  for (const std::string& tap : verdict.taps) {
    for (const auto& [what, trained] : verdict.trained.at(tap)) {
      const double untrained = verdict.untrained.at(tap).at(what).value;
      add("%-12s %-16s %8.2f%% %9.2f%% %+7.2f", tap.c_str(), what.c_str(), 100 * trained.value,
          100 * untrained, 100 * (trained.value - untrained));
      add_error(trained, 10);
    }
  }
  for (const auto& [what, score] : verdict.raw) {
    add("%-12s %-16s %9s %9.2f%%", "raw pixels", what.c_str(), "", 100 * score.value);
    add_error(score, 18);
  }
  return table;
}

}  // namespace nat::tools
