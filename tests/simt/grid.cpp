#include "tests/simt/grid.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <numeric>
#include <random>
#include <thread>

#include "tests/simt/options.h"

namespace simt {

namespace {

// Threads that live as long as the program: fibers are costly to create under ThreadSanitizer.
class WorkerPool {
 public:
  ~WorkerPool() {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    work_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  // Calls task(0) ... task(count - 1), each on its own thread; task(0) on the calling one.
  void run(std::size_t count, const std::function<void(std::size_t)>& task) {
    {
      const std::lock_guard lock(mutex_);
      while (threads_.size() + 1 < count) {
        threads_.emplace_back(&WorkerPool::serve, this, threads_.size() + 1, generation_);
      }
      task_ = &task;
      count_ = count;
      busy_ = count - 1;
      ++generation_;
    }
    work_.notify_all();
    task(0);
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return busy_ == 0; });
  }

 private:
  void serve(std::size_t index, std::uint64_t seen) {
    std::unique_lock lock(mutex_);
    for (;;) {
      work_.wait(lock, [&] { return stop_ || generation_ != seen; });
      if (stop_) return;
      seen = generation_;
      if (index >= count_) continue;
      lock.unlock();
      (*task_)(index);
      lock.lock();
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable work_, done_;
  std::vector<std::thread> threads_;
  const std::function<void(std::size_t)>* task_ = nullptr;
  std::size_t count_ = 0, busy_ = 0;
  std::uint64_t generation_ = 0;
  bool stop_ = false;
};

WorkerPool& pool() {
  static WorkerPool workers;
  return workers;
}

// The baton of a cooperative launch. Blocks run one after another in a fixed order; when all of
// them have arrived at grid.sync(), the first goes on.
class Baton {
 public:
  explicit Baton(std::size_t blocks) : arrived_(blocks, false) {}

  bool wait_turn(std::size_t block) {
    std::unique_lock lock(mutex_);
    turn_.wait(lock, [&] { return turn_of_ == block || failed_; });
    return !failed_;
  }
  bool arrive_and_wait(std::size_t block) {
    {
      const std::lock_guard lock(mutex_);
      arrived_[block] = true;
      pass(block);
    }
    turn_.notify_all();
    return wait_turn(block);
  }
  void end(std::size_t block) {
    {
      const std::lock_guard lock(mutex_);
      pass(block);
    }
    turn_.notify_all();
  }
  void fail() {
    {
      const std::lock_guard lock(mutex_);
      failed_ = true;
    }
    turn_.notify_all();
  }
  void* sync_object() { return &sync_[generation_ % 2]; }

  // Blocks that wait for blocks which have ended: a GPU would hang.
  std::string deadlock() const {
    return failed_ && stranded_ > 0 ? "deadlock: " + std::to_string(stranded_) +
                                          " blocks wait in grid.sync, the others have ended"
                                    : "";
  }

 private:
  void pass(std::size_t block) {
    turn_of_ = block + 1;
    if (turn_of_ < arrived_.size()) return;
    const auto waiting =
        static_cast<std::size_t>(std::count(arrived_.begin(), arrived_.end(), true));
    if (waiting > 0 && waiting < arrived_.size()) {
      stranded_ = waiting;
      failed_ = true;
    }
    std::fill(arrived_.begin(), arrived_.end(), false);
    ++generation_;
    turn_of_ = 0;
  }

  std::mutex mutex_;
  std::condition_variable turn_;
  std::vector<bool> arrived_;
  std::size_t turn_of_ = 0, stranded_ = 0;
  std::uint64_t generation_ = 0;
  bool failed_ = false;
  std::array<char, 2> sync_{};
};

class BatonGate final : public GridGate {
 public:
  BatonGate(Baton& baton, std::size_t block) : baton_(baton), block_(block) {}
  bool arrive_and_wait() override { return baton_.arrive_and_wait(block_); }
  void* sync_object() override { return baton_.sync_object(); }

 private:
  Baton& baton_;
  std::size_t block_;
};

std::vector<std::size_t> block_order(std::size_t count) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (options().order == Order::reverse) std::reverse(order.begin(), order.end());
  if (options().order == Order::shuffle) {
    std::shuffle(order.begin(), order.end(), std::mt19937_64(options().seed));
  }
  return order;
}

uint3 block_index(const dim3& grid, std::size_t linear) {
  return {static_cast<unsigned>(linear % grid.x), static_cast<unsigned>(linear / grid.x % grid.y),
          static_cast<unsigned>(linear / grid.x / grid.y)};
}

// Keeps the first fault of several workers.
class FirstFault {
 public:
  void add(const std::string& fault) {
    if (fault.empty()) return;
    const std::lock_guard lock(mutex_);
    if (fault_.empty()) fault_ = fault;
    failed_ = true;
  }
  bool failed() const { return failed_; }
  const std::string& text() const { return fault_; }

 private:
  std::mutex mutex_;
  std::string fault_;
  std::atomic<bool> failed_{false};
};

std::string run_ordinary(const Launch& launch, const std::vector<std::size_t>& order) {
  const auto workers =
      std::clamp<std::size_t>(static_cast<std::size_t>(options().workers), 1, order.size());
  FirstFault fault;
  pool().run(workers, [&](std::size_t worker) {
    for (std::size_t i = worker; i < order.size() && !fault.failed(); i += workers) {
      fault.add(BlockRunner::of_this_thread().run(launch, block_index(launch.grid, order[i]),
                                                  nullptr, options().seed + order[i]));
    }
  });
  return fault.text();
}

std::string run_cooperative(const Launch& launch, const std::vector<std::size_t>& order) {
  Baton baton(order.size());
  FirstFault fault;
  pool().run(order.size(), [&](std::size_t i) {
    BatonGate gate(baton, i);
    if (!baton.wait_turn(i)) return;
    const std::string text = BlockRunner::of_this_thread().run(
        launch, block_index(launch.grid, order[i]), &gate, options().seed + order[i]);
    fault.add(text);
    if (text.empty()) {
      baton.end(i);
    } else {
      baton.fail();
    }
  });
  return fault.failed() ? fault.text() : baton.deadlock();
}

}  // namespace

std::string run_grid(const Launch& launch) {
  const std::vector<std::size_t> order =
      block_order(std::size_t{launch.grid.x} * launch.grid.y * launch.grid.z);
  happens_before(&launch_begin);
  const std::string fault =
      launch.cooperative ? run_cooperative(launch, order) : run_ordinary(launch, order);
  happens_after(&launch_end);
  return fault;
}

}  // namespace simt
