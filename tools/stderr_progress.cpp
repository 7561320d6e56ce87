#include "tools/stderr_progress.h"

#include <cstdio>

namespace nat::tools {

Progress progress_on_stderr() {
  const auto print = [](std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stderr);
    std::fflush(stderr);
  };
  return {detect_terminal(2), print, steady_clock()};
}

}  // namespace nat::tools
