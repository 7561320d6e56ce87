// Progress on stderr, as all commands that take long show it.
#pragma once

#include "engine/progress.h"

namespace nat::tools {

Progress progress_on_stderr();

}  // namespace nat::tools
