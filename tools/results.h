// RUN/results.json: what 'nat eval all' has found; nat demo and nat sweep write it too.
#pragma once

#include <optional>
#include <string>

#include "tools/run_folder.h"
#include "tools/verdict.h"

namespace nat::tools {

// None where nobody has judged yet. Error(checkpoint) where it is damaged.
std::optional<Verdict> kept_results(const RunFolder& folder);

// Judges the run as 'nat eval all' does, on the device that `options` name. Writes results.json and
// a line of judgements.jsonl; what had to be left out goes to stderr.
Verdict judge_all(const RunFolder& folder, const Options& options);

// What that needs, before anything is trained: one label a picture and a test split. Error(data)
// that begins with the name of the command.
void require_judgeable(const std::string& command, const Options& options);

}  // namespace nat::tools
