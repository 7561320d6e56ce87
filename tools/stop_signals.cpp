#include "tools/stop_signals.h"

#include <algorithm>
#include <ctime>

namespace nat::tools {

StopSignals::StopSignals() {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals_, &blocked_before_);
  std::signal(SIGPIPE, SIG_IGN);
}

StopSignals::~StopSignals() {
  if (!taken_) pthread_sigmask(SIG_SETMASK, &blocked_before_, nullptr);
}

int StopSignals::take() {
  const timespec at_once{};
  const int signal = std::max(sigtimedwait(&signals_, nullptr, &at_once), 0);
  taken_ = taken_ || signal != 0;
  return signal;
}

}  // namespace nat::tools
