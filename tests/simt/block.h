// One resident block: its threads as fibers, its barriers and warps. An operating-system thread
// owns one BlockRunner and runs one block after another on it.
#pragma once

#include <vector_types.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <source_location>
#include <string>
#include <vector>

#include "tests/simt/fiber.h"

namespace simt {

using Where = std::source_location;
std::string to_string(const Where& where);
bool same_line(const Where& a, const Where& b);

inline constexpr unsigned kWarpSize = 32;
inline constexpr unsigned kMaxBlockThreads = 1024;
inline constexpr std::size_t kMaxDynamicShared = 227 << 10;
inline constexpr unsigned kPortableClusterBlocks = 8;
inline constexpr unsigned kMaxClusterBlocks = 16;  // with permission

struct Launch {
  dim3 grid, block;
  std::size_t shared_bytes = 0;
  bool cooperative = false;
  unsigned cluster = 1;          // blocks, neighbours in x
  std::function<void()> kernel;  // what one thread executes
};

enum class BarrierOp { sync, count, all, any, grid, cluster };
constexpr bool across_blocks(BarrierOp op) {
  return op == BarrierOp::grid || op == BarrierOp::cluster;
}
enum class WarpOp {
  sync,
  shuffle,
  ballot,
  all,
  any,
  add,
  min,
  max,
  bit_and,
  bit_or,
  bit_xor,
  match
};

// Where a block waits for the others of its group: of the cooperative launch, or of its cluster.
class GroupGate {
 public:
  virtual ~GroupGate() = default;
  // From the line `where`, the same for all. False: the launch has failed in another block.
  virtual bool arrive_and_wait(const Where& where) = 0;
  virtual void* sync_object() = 0;  // of this generation, for happens_before and happens_after
  // Where the dynamic shared memory of another block of the cluster lies; null before it has begun
  // and after it has ended.
  virtual unsigned char* shared_of(unsigned rank) const = 0;
};

class BlockRunner {
 public:
  BlockRunner();
  ~BlockRunner();
  BlockRunner(const BlockRunner&) = delete;
  BlockRunner& operator=(const BlockRunner&) = delete;

  static BlockRunner& of_this_thread();

  // Runs every thread of one block to its end. Returns what went wrong, empty when nothing did.
  std::string run(const Launch& launch, uint3 block, GroupGate* gate, std::uint64_t seed);

  // The rest is called by the running thread, from device code.
  int barrier(BarrierOp op, int predicate, const Where& where);
  // `source` is the lane that a shuffle reads. Returns the result of this lane.
  std::uint64_t collective(WarpOp op, unsigned mask, std::uint64_t value, unsigned source,
                           const Where& where);
  void yield();  // every other thread that is ready goes first
  unsigned lane() const { return current_ % kWarpSize; }
  unsigned cluster_blocks() const { return launch_->cluster; }
  // Where a variable in the shared memory of this block lies in that of another of the cluster.
  void* in_block(void* own, unsigned rank, const Where& where);

 private:
  enum class State : std::uint8_t { ready, at_barrier, in_warp, done };
  struct Thread {
    uint3 index;
    State state;
    Where where;  // of the barrier or collective it waits in
    WarpOp op;    // with mask, source and value: what it posted to its warp
    unsigned mask, source;
    std::uint64_t value, result;
  };
  struct Warp {
    unsigned existing, live, posted;  // one bit a lane
    unsigned phase;                   // counts __syncwarp, modulo 2
    std::array<char, 2> sync;
  };

  void reset(const Launch& launch, uint3 block, GroupGate* gate, std::uint64_t seed);
  void blame(unsigned thread, const std::string& what);  // sets the fault of the block
  [[noreturn]] void give_up();                           // ends it
  static void thread_main();
  void end_thread();

  void push(unsigned thread);
  template <class Predicate>
  void push_all(Predicate predicate);
  unsigned pop();
  void suspend();  // hands over to the next ready thread, or to the scheduler when there is none

  void release_barrier();
  void check_partners(const Warp& warp, const Thread& self);
  void try_complete(unsigned index, unsigned mask);
  static std::uint64_t matches(const Thread* threads, unsigned lanes, std::uint64_t value);
  static std::uint64_t fold(WarpOp op, const Thread* threads, unsigned lanes);

  std::string name_of(unsigned thread) const;
  std::string wait_states() const;
  void poison_shared_memory() const;
  void unpoison_shared_memory() const;
  bool shared_memory_overrun() const;

  Fiber scheduler_;
  std::unique_ptr<Fiber[]> fibers_;    // kMaxBlockThreads, of which `stacks_` have stacks
  std::unique_ptr<Thread[]> threads_;  // kMaxBlockThreads
  unsigned stacks_ = 0;
  std::vector<Warp> warps_;
  std::vector<unsigned> ready_;  // a ring
  std::size_t ready_begin_ = 0, ready_count_ = 0;

  const Launch* launch_ = nullptr;
  GroupGate* gate_ = nullptr;
  unsigned count_ = 0, live_ = 0, current_ = 0;  // threads; the running one
  std::uint64_t random_ = 0;
  std::string fault_;

  BarrierOp barrier_op_ = BarrierOp::sync;
  unsigned arrived_ = 0, predicates_ = 0, first_arrival_ = 0, barrier_phase_ = 0;
  std::array<char, 2> barrier_sync_{};

  // Orders the blocks of this runner, which share static memory: a block begins after the one
  // before, but its threads do not wait for each other. Hence two objects, again.
  unsigned block_phase_ = 0;
  std::array<char, 2> block_sync_{};
};

unsigned char* dynamic_shared_of_this_thread();
BlockRunner& running_block();  // whose thread is running on this operating-system thread

// For ThreadSanitizer: every thread of a launch sees what the host did before it, and the host sees
// after it what the threads did.
extern char launch_begin, launch_end;

}  // namespace simt
