// Parallel loops: every index once, and what is thrown in one.
#include "kernels/parallel.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <limits>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "kernels/cpu_info.h"

namespace nat::cpu {
namespace {

constexpr std::int64_t kAlwaysInTeam = std::numeric_limits<std::int64_t>::max();

}  // namespace

TEST_CASE("a parallel loop calls its body once for every index") {
  for (const std::int64_t count : {0, 1, 2, 3, 7, 1000}) {
    CAPTURE(count);
    for (const std::int64_t work : {std::int64_t{1}, kAlwaysInTeam}) {
      std::vector<std::atomic<int>> calls(static_cast<std::size_t>(count));
      parallel_for(count, work, [&](std::int64_t i) { ++calls[static_cast<std::size_t>(i)]; });
      for (const std::atomic<int>& called : calls) CHECK(called == 1);
    }
  }
}

TEST_CASE("what the body of a parallel loop throws reaches the caller, from any thread") {
  for (const std::int64_t thrower : {0, 63, 99}) {
    for (const std::int64_t work : {std::int64_t{1}, kAlwaysInTeam}) {
      CAPTURE(thrower);
      CHECK_THROWS_WITH_AS(parallel_for(100, work,
                                        [&](std::int64_t i) {
                                          if (i == thrower) throw std::runtime_error("no memory");
                                        }),
                           "no memory", std::runtime_error);
    }
  }
  CHECK_THROWS_AS(
      parallel_for(100, kAlwaysInTeam, [](std::int64_t) { throw std::runtime_error("each"); }),
      std::runtime_error);
}

TEST_CASE("a parallel loop is shared by as many threads as were asked for") {
#if defined(_OPENMP)
  const int before = thread_count();
  for (const int threads : {3, 1, 2}) {
    CAPTURE(threads);
    set_compute_threads(threads);
    std::set<std::thread::id> team;
    std::mutex mutex;
    parallel_for(60, kAlwaysInTeam, [&](std::int64_t) {
      const std::lock_guard lock(mutex);
      team.insert(std::this_thread::get_id());
    });
    CHECK(std::ssize(team) == threads);
    CHECK(cpu_info().threads == threads);
    set_compute_threads(0);  // changes nothing
    CHECK(thread_count() == threads);
  }
  set_compute_threads(before);
#else
  MESSAGE("skipped: built without OpenMP");
#endif
}

TEST_CASE("chunks cover the whole and depend on its size alone") {
  for (const std::int64_t total : {1, 63, 64, 65, 1000}) {
    CAPTURE(total);
    const Chunks chunks(total);
    CHECK(chunks.count <= 64);
    std::int64_t next = 0;
    for (std::int64_t chunk = 0; chunk < chunks.count; ++chunk) {
      CHECK(chunks.begin(chunk) == next);
      CHECK(chunks.end(chunk) > next);
      next = chunks.end(chunk);
    }
    CHECK(next == total);
  }
}

}  // namespace nat::cpu
