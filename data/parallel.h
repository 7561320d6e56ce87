// A plain parallel loop over independent items, for work that reads or decodes files. Where the
// machine has no threads left, it is done by those that there are: the caller is always one.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace nat::data {

// `threads`, or one thread a processor when it is 0.
inline int worker_count(int threads) {
  if (threads > 0) return threads;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

// Calls work(i) once for each i in [0, n). The first exception stops the loop and is thrown again
// here.
template <class Work>
void parallel_for(std::int64_t n, int threads, const Work& work) {
  std::atomic<std::int64_t> next{0};
  std::mutex failure_mutex;
  std::exception_ptr failure;
  const auto run = [&] {
    for (std::int64_t i = next++; i < n; i = next++) {
      try {
        work(i);
      } catch (...) {
        const std::lock_guard lock(failure_mutex);
        if (!failure) failure = std::current_exception();
        next = n;
      }
    }
  };
  {
    std::vector<std::jthread> helpers;
    const std::int64_t wanted = std::min<std::int64_t>(worker_count(threads), n) - 1;
    try {
      for (std::int64_t t = 0; t < wanted; ++t) helpers.emplace_back(run);
    } catch (const std::system_error&) {  // the machine has no more
    }
    run();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace nat::data
