// How the executor schedules, and what it has to say.
#pragma once

#include <cstdint>
#include <string>

namespace simt {

// The order in which threads that may run do run, and in which blocks start.
enum class Order { forward, reverse, shuffle };

struct Options {
  Order order = Order::forward;
  std::uint64_t seed = 1;  // of shuffle
  int workers = 1;         // operating-system threads that run the blocks of an ordinary launch
  bool protect = true;     // device memory cannot be touched by host code
  bool clusters = true;    // the device has thread-block clusters
  unsigned largest_cluster = 16;  // for which it has room, in blocks
  int compiled_for = 90;          // compute capability of the code that the device runs, 90 for 9.0
};

// Read from NAT_SIMT_ORDER=forward|reverse|shuffle:SEED and NAT_SIMT_WORKERS=N at first use; tests
// change it between launches.
Options& options();

// What went wrong since the last call, empty when nothing did. Every report has also been printed
// to stderr, and the runtime call that ran the kernel has returned an error.
std::string take_report();
void report(const std::string& text);

}  // namespace simt
