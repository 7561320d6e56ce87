#include "tools/stop_signals.h"

#include <algorithm>
#include <ctime>

namespace nat::tools {

StopSignals::StopSignals(Begin begin) {
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGINT);
  sigaddset(&signals_, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals_, &blocked_before_);
  if (begin == Begin::held) return;
  victim_ = std::thread([this] {
    pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
    released_.get_future().wait();
  });
}

StopSignals::~StopSignals() {
  hold();
  if (taken_) return;
  while (pending() != 0) {
  }
  pthread_sigmask(SIG_SETMASK, &blocked_before_, nullptr);
}

void StopSignals::hold() {
  if (!victim_.joinable()) return;
  released_.set_value();
  victim_.join();
}

int StopSignals::take() {
  const int signal = pending();
  taken_ = taken_ || signal != 0;
  return signal;
}

int StopSignals::pending() {
  const timespec at_once{};
  return std::max(sigtimedwait(&signals_, nullptr, &at_once), 0);
}

}  // namespace nat::tools
