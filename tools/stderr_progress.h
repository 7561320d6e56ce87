// Progress on stderr, as all commands that take long show it.
#pragma once

#include <string>

#include "engine/progress.h"

namespace nat::tools {

Progress progress_on_stderr();

// The same under a title, but only where stderr is a terminal and there is a title: for what is
// often over before anybody asks.
Progress progress_on_terminal(const std::string& title);

}  // namespace nat::tools
