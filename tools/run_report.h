// Gathers what a run left behind into report.html.
#pragma once

#include <filesystem>
#include <string>

#include "data/dataset.h"
#include "tools/report/report_data.h"
#include "tools/run_folder.h"

namespace nat::tools {

struct WrittenReport {
  std::filesystem::path page;
  std::string remarks;  // on the pictures, lines to be printed (remark_lines)
};

// Results appear when RUN/results.json exists ('nat eval all'), other judges where judgements.jsonl
// names them. `options` are those of the run, but for the device and the precision to compute with;
// neighbours are looked for among the run's own pictures, or those of `pictures` when given.
WrittenReport write_report(const RunFolder& folder, const Options& options,
                           const std::string& pictures = "");

// A stored picture and the name of its class, where it has one.
report::LabelledPicture labelled_picture(const data::Dataset& pictures, std::int32_t id);

}  // namespace nat::tools
