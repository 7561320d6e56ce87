// SIGINT and SIGTERM as requests that a run polls between two steps.
//
// They are blocked, not handled: no handler may run on the stack of a thread that multiplies
// matrices (onednn::sgemm in kernels/cpu/onednn/onednn.h says why).
#pragma once

#include <csignal>
#include <future>
#include <thread>

namespace nat::tools {

class StopSignals {
 public:
  // Until hold() a signal ends the process at once, as it would without this class: as long as
  // there is nothing to save.
  enum class Begin { held, deadly };

  // Blocks both for this thread and for every thread that it starts from now on: make it before the
  // first one.
  explicit StopSignals(Begin begin = Begin::held);
  // Lets them through again. One that came too late to be taken is forgotten: what it asked to stop
  // is done, and has still to say so. After one was taken they stay blocked: the process is then
  // about to end, in its own way, and those that follow ask for the same once more.
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

  // From now on they wait for take().
  void hold();

  // SIGINT or SIGTERM if one came since the last call, otherwise 0. Never waits.
  int take();

 private:
  int pending();

  sigset_t signals_, blocked_before_;
  bool taken_ = false;
  // The one thread that does not block them, as long as they are deadly; it does nothing else.
  std::promise<void> released_;
  std::thread victim_;
};

}  // namespace nat::tools
