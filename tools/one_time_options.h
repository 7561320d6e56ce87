// Options of the table (tools/options.h) that a command takes instead of those of the run it works
// on.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <vector>

#include "tools/options.h"

namespace nat::tools {

// For one time: the run's config.toml stays as it is.
class OneTimeOptions {
 public:
  void add_to(CLI::App& command, const std::vector<std::string>& names);
  // Those of the run, with what was given in their place; `data` as train keeps it, absolute.
  // Error(usage) where no run can have it.
  Options instead_of(Options run) const;

 private:
  bool has(const std::string& name) const;

  std::map<std::string, const CLI::Option*> given_;  // by name
};

// A run may be judged and go on elsewhere than it was trained, and on pictures that have suffered
// since.
inline const std::vector<std::string> kElsewhere = {"device", "dtype", "max-bad-percent"};

}  // namespace nat::tools
