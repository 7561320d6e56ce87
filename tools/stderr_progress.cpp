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

Progress progress_on_terminal(const std::string& title) {
  const bool is_shown = !title.empty() && detect_terminal(2).terminal;
  Progress progress = is_shown ? progress_on_stderr()
                               : Progress(
                                     {}, [](std::string_view) {}, steady_clock());
  progress.note(title);
  return progress;
}

}  // namespace nat::tools
