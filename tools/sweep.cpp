#include "tools/sweep.h"

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <type_traits>

#include "data/files.h"
#include "engine/run_log.h"

namespace nat::tools {

namespace {

constexpr const char* kSeed = "seed";

std::vector<std::string> axis_names() {
  std::vector<std::string> names;
  const Options any;
  visit_options(any, [&](const std::string& name, const auto&, const char*, const char*) {
    if (tells_recipes_apart(name)) names.push_back(name);
  });
  return names;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

void set(Options& options, const std::string& name, const std::string& value) {
  CLI::App parser;
  add_options(parser, options);
  std::vector<std::string> arguments = {"--" + name + "=" + value};
  try {
    parser.parse(arguments);
  } catch (const CLI::ParseError& error) {
    throw Error(ErrorKind::usage, str("--over ", name, ": ", error.what()));
  }
}

// As the option has it, so that 0.1 and 0.10 are one value.
std::string canonical(const std::string& name, const std::string& value) {
  Options any;
  set(any, name, value);
  std::string text;
  visit_options(any, [&](const std::string& option, const auto& member, const char*, const char*) {
    if (option != name) return;
    if constexpr (std::is_floating_point_v<std::decay_t<decltype(member)>>) {
      text = shortest(member);  // all digits: this is what is trained with
    } else {
      text = str(std::boolalpha, member);
    }
  });
  return text;
}

SweepRun run_of(const Options& base, const std::vector<Axis>& axes,
                const std::vector<std::string>& values) {
  SweepRun run{values, base};
  std::string folder;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    set(run.options, axes[i].name, values[i]);
    folder += str(i == 0 ? "" : ",", axes[i].name, "=", values[i]);
  }
  run.options.out = (std::filesystem::path(base.out) / folder).string();
  try {
    validate(run.options);
  } catch (const Error& error) {
    throw Error(error.kind(), str(folder, ": ", error.what()));
  }
  return run;
}

// ---- the table ----------------------------------------------------------------------------------

// The rows of the tables in the order of their first runs: what they are called, and which runs.
struct Row {
  std::vector<std::string> values;
  std::vector<std::size_t> runs;
};

std::vector<std::string> without_seed(const std::vector<Axis>& axes,
                                      const std::vector<std::string>& values) {
  std::vector<std::string> kept;
  for (std::size_t i = 0; i < axes.size(); ++i) {
    if (axes[i].name != kSeed) kept.push_back(values[i]);
  }
  return kept;
}

std::vector<Row> rows_of(const std::vector<Axis>& axes, const std::vector<SweepRun>& runs) {
  std::vector<Row> rows;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::vector<std::string> values = without_seed(axes, runs[i].values);
    auto row = std::find_if(rows.begin(), rows.end(),
                            [&](const Row& other) { return other.values == values; });
    if (row == rows.end()) row = rows.insert(row, {values, {}});
    row->runs.push_back(i);
  }
  return rows;
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", 100 * share);
  return text;
}

// "-" where no run has the figure: a judge leaves out what the pictures do not allow.
std::string spread(const std::vector<double>& values) {
  if (values.empty()) return "-";
  const auto [least, most] = std::minmax_element(values.begin(), values.end());
  const double mean =
      std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
  if (values.size() == 1) return percent(mean);
  return str(percent(mean), " (", percent(*least), " .. ", percent(*most), ")");
}

std::string line(const std::vector<std::string>& cells) {
  std::string text = "|";
  for (const std::string& cell : cells) text += " " + cell + " |";
  return text + "\n";
}

std::string table(const std::string& tap, const std::vector<Axis>& axes,
                  const std::vector<Row>& rows, const std::vector<Verdict>& verdicts) {
  std::vector<std::string> head, measures;
  for (const Axis& axis : axes) {
    if (axis.name != kSeed) head.push_back(axis.name);
  }
  for (const Verdict& verdict : verdicts) {
    for (const auto& [measure, score] : verdict.trained.at(tap)) {
      if (std::find(measures.begin(), measures.end(), measure) == measures.end()) {
        measures.push_back(measure);
      }
    }
  }
  head.insert(head.end(), measures.begin(), measures.end());
  std::string text = str("**", tap, "**\n\n", line(head), "|");
  for (std::size_t i = 0; i < head.size(); ++i) text += "---|";
  text += "\n";
  for (const Row& row : rows) {
    std::vector<std::string> cells = row.values;
    for (const std::string& measure : measures) {
      std::vector<double> values;
      for (const std::size_t run : row.runs) {
        const Scores& scores = verdicts[run].trained.at(tap);
        if (const auto found = scores.find(measure); found != scores.end()) {
          values.push_back(found->second.value);
        }
      }
      cells.push_back(spread(values));
    }
    text += line(cells);
  }
  return text;
}

// What all figures have in common.
std::string caption(const std::vector<Axis>& axes, const std::vector<Verdict>& verdicts) {
  double least = 1, most = 0;
  std::int64_t pictures = 0;
  for (const Verdict& verdict : verdicts) {
    for (const auto& [tap, scores] : verdict.trained) {
      for (const auto& [measure, score] : scores) {
        least = std::min(least, score.standard_error.value_or(least));
        most = std::max(most, score.standard_error.value_or(most));
        pictures = score.n_test;
      }
    }
  }
  std::string seeds;
  for (const Axis& axis : axes) {
    if (axis.name != kSeed || axis.values.size() < 2) continue;
    for (const std::string& seed : axis.values) seeds += (seeds.empty() ? "" : ", ") + seed;
  }
  return str("Trained features, accuracy in percent on ", pictures, " test pictures",
             seeds.empty() ? "" : "; mean (smallest .. largest) of seeds " + seeds,
             ". One standard error of a single figure is ", percent(least), " to ", percent(most),
             ".\n");
}

}  // namespace

bool tells_recipes_apart(const std::string& option) {
  static const std::vector<std::string> kSameRecipe = {"preset",
                                                       "data",
                                                       "out",
                                                       "device",
                                                       "threads",
                                                       "loaders",
                                                       "checkpoint-every-steps",
                                                       "keep-checkpoints",
                                                       "knn-every",
                                                       "max-bad-percent"};
  return std::find(kSameRecipe.begin(), kSameRecipe.end(), option) == kSameRecipe.end();
}

Axis parse_axis(const std::string& text) {
  const std::size_t equals = text.find('=');
  NAT_CHECK(equals != std::string::npos, ErrorKind::usage, "--over ", data::printable(text),
            ": give an option and its values, as in period=1,2,3");
  Axis axis{text.substr(0, equals), split(text.substr(equals + 1), ',')};
  const std::vector<std::string> names = axis_names();
  NAT_CHECK(std::find(names.begin(), names.end(), axis.name) != names.end(), ErrorKind::usage,
            "--over ", data::printable(axis.name), ": is no option of the recipe",
            suggestion(axis.name, names));
  NAT_CHECK(std::find(axis.values.begin(), axis.values.end(), "") == axis.values.end(),
            ErrorKind::usage, "--over ", axis.name, ": a value is missing; give them as in ",
            axis.name, "=a,b,c");
  for (std::string& value : axis.values) value = canonical(axis.name, value);
  require_once("over", axis.values);
  return axis;
}

std::vector<SweepRun> runs_of(const Options& base, const std::vector<Axis>& axes) {
  std::vector<std::vector<std::string>> combinations = {{}};
  for (const Axis& axis : axes) {
    std::vector<std::vector<std::string>> longer;
    for (const auto& combination : combinations) {
      for (const std::string& value : axis.values) {
        longer.push_back(combination);
        longer.back().push_back(value);
      }
    }
    combinations = std::move(longer);
  }
  std::vector<SweepRun> runs;
  runs.reserve(combinations.size());
  for (const auto& values : combinations) runs.push_back(run_of(base, axes, values));
  return runs;
}

std::string comparison(const std::vector<Axis>& axes, const std::vector<SweepRun>& runs,
                       const std::vector<Verdict>& verdicts) {
  const std::vector<Row> rows = rows_of(axes, runs);
  std::string text = caption(axes, verdicts);
  for (const std::string& tap : verdicts.front().taps) {
    text += "\n" + table(tap, axes, rows, verdicts);
  }
  return text;
}

}  // namespace nat::tools
