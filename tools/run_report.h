// Gathers what a run left behind into report.html.
#pragma once

#include "tools/run_folder.h"

namespace nat::tools {

// Results appear when RUN/results.json exists ('nat eval all'), other judges where judgements.jsonl
// names them, neighbours when the data is at hand. Returns the path of the page.
std::filesystem::path write_report(const RunFolder& folder);

}  // namespace nat::tools
