// Where a command may write what it was asked for by name.
#pragma once

#include <string>
#include <vector>

#include "tools/run_folder.h"

namespace nat::tools {

// Before the work, not after it. Error(usage) when `output` is empty, a file of the run or one that
// is read: a file of a data set in `data`, or named there itself; Error(io) when it cannot be
// written. Pictures may be gone by now, and an empty name of them stands for none.
void require_output(const RunFolder& folder, const std::string& output,
                    const std::vector<std::string>& data);

}  // namespace nat::tools
