// A sweep: the runs of a grid of options, and what they have won, side by side.
#pragma once

#include <string>
#include <vector>

#include "tools/options.h"
#include "tools/verdict.h"

namespace nat::tools {

// --over period=1,2,3
struct Axis {
  std::string name;  // of an option
  std::vector<std::string> values;
};

// Whether runs that differ in this option may learn different things. Not: what a run is called,
// where its pictures lie, how it is computed and what is kept of it.
bool tells_recipes_apart(const std::string& option);

// Error(usage): no such option, one that is no part of the recipe, no value, or a value twice.
Axis parse_axis(const std::string& text);

struct SweepRun {
  std::vector<std::string> values;  // one of each axis
  Options options;                  // out: a folder below that of the sweep, "period=1,seed=2"
};

// All combinations, the last axis fastest. Error(usage) names a combination that cannot be, before
// any of them has begun.
std::vector<SweepRun> runs_of(const Options& base, const std::vector<Axis>& axes);

// Markdown: for each place of the network a table with a row for each combination of the axes but
// the seed, whose runs are one row: mean (smallest .. largest). `verdicts` are those of the runs.
std::string comparison(const std::vector<Axis>& axes, const std::vector<SweepRun>& runs,
                       const std::vector<Verdict>& verdicts);

}  // namespace nat::tools
