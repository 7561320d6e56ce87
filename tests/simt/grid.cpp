#include "tests/simt/grid.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
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

// The baton of a group of blocks. They run one after another in a fixed order; when all of them
// have arrived where they wait for each other, the first goes on.
class Baton {
 public:
  // grid.sync() also waits for blocks that have ended, hence for ever; cluster.sync() does not.
  Baton(std::size_t blocks, bool waits_for_ended)
      : waits_for_ended_(waits_for_ended),
        arrived_(blocks, false),
        ended_(blocks, false),
        shared_(blocks, nullptr) {}

  // By the thread that is about to run the block of this rank, in its turn.
  void begin(std::size_t rank) { shared_[rank] = dynamic_shared_of_this_thread(); }
  // In the turn of any block; null before that block has begun and after it has ended.
  unsigned char* shared_of(std::size_t rank) const { return shared_[rank]; }

  bool wait_turn(std::size_t block) {
    std::unique_lock lock(mutex_);
    turn_.wait(lock, [&] { return turn_of_ == block || failed_; });
    return !failed_;
  }
  bool arrive_and_wait(std::size_t block, const Where& where) {
    {
      const std::lock_guard lock(mutex_);
      const bool first = std::none_of(arrived_.begin(), arrived_.end(), [](bool is) { return is; });
      if (first) {
        where_ = where;
      } else if (!same_line(where, where_)) {
        fail("divergent barrier: blocks that wait for each other do so at " + to_string(where_) +
             " and at " + to_string(where));
      }
      arrived_[block] = true;
      pass(block);
    }
    turn_.notify_all();
    return wait_turn(block);
  }
  void end(std::size_t block, std::size_t rank) {
    {
      const std::lock_guard lock(mutex_);
      shared_[rank] = nullptr;
      ended_[block] = true;
      pass(block);
    }
    turn_.notify_all();
  }
  void stop() {
    {
      const std::lock_guard lock(mutex_);
      fail("");
    }
    turn_.notify_all();
  }
  void* sync_object() { return &sync_[generation_ % 2]; }
  const std::string& fault() const { return fault_; }  // of the group as a whole

 private:
  void fail(const std::string& fault) {
    failed_ = true;
    fault_ = fault;
  }
  std::size_t next_running(std::size_t block) const {
    while (block < ended_.size() && ended_[block]) ++block;
    return block;
  }
  void pass(std::size_t block) {
    turn_of_ = next_running(block + 1);
    if (turn_of_ < ended_.size()) return;
    const auto waiting = std::count(arrived_.begin(), arrived_.end(), true);
    if (waits_for_ended_ && waiting > 0 && static_cast<std::size_t>(waiting) < arrived_.size()) {
      fail("deadlock: " + std::to_string(waiting) +
           " blocks wait in grid.sync, the others have ended");
    }
    std::fill(arrived_.begin(), arrived_.end(), false);
    ++generation_;
    turn_of_ = next_running(0);
  }

  const bool waits_for_ended_;
  std::mutex mutex_;
  std::condition_variable turn_;
  std::vector<bool> arrived_, ended_;
  std::vector<unsigned char*> shared_;
  Where where_;  // of the first that arrived
  std::size_t turn_of_ = 0;
  std::uint64_t generation_ = 0;
  bool failed_ = false;
  std::string fault_;
  std::array<char, 2> sync_{};
};

class BatonGate final : public GroupGate {
 public:
  BatonGate(Baton& baton, std::size_t block) : baton_(baton), block_(block) {}
  bool arrive_and_wait(const Where& where) override {
    return baton_.arrive_and_wait(block_, where);
  }
  void* sync_object() override { return baton_.sync_object(); }
  unsigned char* shared_of(unsigned rank) const override { return baton_.shared_of(rank); }

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

// Clusters in the order of blocks, and in each its blocks in that order.
std::vector<std::size_t> cluster_order(std::size_t count, std::size_t size) {
  std::vector<std::size_t> order;
  for (const std::size_t cluster : block_order(count / size)) {
    for (const std::size_t rank : block_order(size)) order.push_back(cluster * size + rank);
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

// One block of a group, when its turn comes.
void run_in_group(const Launch& launch, std::size_t block, Baton& baton, std::size_t place,
                  FirstFault& fault) {
  BatonGate gate(baton, place);
  if (!baton.wait_turn(place)) return;
  if (!fault.failed()) {
    if (launch.cluster > 1) baton.begin(block % launch.cluster);
    fault.add(BlockRunner::of_this_thread().run(launch, block_index(launch.grid, block), &gate,
                                                options().seed + block));
  }
  if (fault.failed()) {
    baton.stop();
  } else {
    baton.end(place, block % launch.cluster);
  }
}

// Groups of `size` blocks that wait for each other, `at_once` of them at the same time.
std::string run_groups(const Launch& launch, const std::vector<std::size_t>& order,
                       std::size_t size, std::size_t at_once) {
  const std::size_t groups = order.size() / size;
  std::deque<Baton> batons;
  for (std::size_t g = 0; g < groups; ++g) batons.emplace_back(size, launch.cooperative);
  FirstFault fault;
  pool().run(at_once * size, [&](std::size_t thread) {
    for (std::size_t g = thread / size, place = thread % size; g < groups; g += at_once) {
      run_in_group(launch, order[g * size + place], batons[g], place, fault);
      fault.add(batons[g].fault());
    }
  });
  return fault.text();
}

std::string run_all(const Launch& launch) {
  const std::size_t blocks = std::size_t{launch.grid.x} * launch.grid.y * launch.grid.z;
  if (launch.cooperative) return run_groups(launch, block_order(blocks), blocks, 1);
  if (launch.cluster == 1) return run_ordinary(launch, block_order(blocks));
  const std::size_t at_once = std::clamp<std::size_t>(static_cast<std::size_t>(options().workers),
                                                      1, blocks / launch.cluster);
  return run_groups(launch, cluster_order(blocks, launch.cluster), launch.cluster, at_once);
}

}  // namespace

std::string run_grid(const Launch& launch) {
  happens_before(&launch_begin);
  const std::string fault = run_all(launch);
  happens_after(&launch_end);
  return fault;
}

}  // namespace simt
