// What the demo trains on.
#pragma once

namespace nat::tools {

// Where Debian's package dataset-fashion-mnist puts its files.
inline constexpr const char* kDemoData = "/usr/share/datasets/fashion-mnist";

// Where the demo writes unless told otherwise.
inline constexpr const char* kDemoRun = "runs/demo";

}  // namespace nat::tools
