// Where a command may write what it was asked for by name.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/run_folder.h"

namespace nat::tools {

// Before the work, not after it. Error(usage) when `output` is empty, a file of the run or one that
// is read: a file of a data set in `data`, or named there itself; Error(io) when it cannot be
// written. Pictures may be gone by now, and an empty name of them stands for none.
void require_output(const RunFolder& folder, const std::string& output,
                    const std::vector<std::string>& data);

// Error(usage) where `folder`, of `option`, would lie among pictures in files of their own: it
// would be taken for a class of them. `data` is what --data says.
void require_outside(const char* option, const std::string& folder, const std::string& data);

// Error(io) where the disk behind a folder has less than so many bytes free: "FOLDER: .. MiB are
// needed and .. MiB are free; ADVICE".
void require_space(const std::string& folder, std::int64_t bytes, const std::string& advice);

}  // namespace nat::tools
