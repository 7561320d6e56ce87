#include "tests/simt/block.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <map>
#include <sstream>
#include <tuple>

#include "tests/simt/include/cuda_runtime.h"
#include "tests/simt/options.h"

#if defined(NAT_SIMT_ASAN)
#include <sanitizer/asan_interface.h>
#endif

constinit thread_local uint3 threadIdx{}, blockIdx{};
constinit thread_local dim3 blockDim{}, gridDim{};

namespace {
constexpr std::size_t kSharedGuard = 256;  // bytes behind the dynamic shared memory of a block
}

namespace nat::gpu {
// Declared in kernels/cuda/launch.cuh; one for every operating-system thread, so one a block.
constinit thread_local unsigned char nat_dynamic_shared[simt::kMaxDynamicShared + kSharedGuard]{};
}  // namespace nat::gpu

namespace simt {

using nat::gpu::nat_dynamic_shared;

char launch_begin, launch_end;

namespace {

constexpr unsigned char kPoison = 0xFF;  // NaN as floating point, -1 as an integer
constinit thread_local BlockRunner* running = nullptr;

const char* name(BarrierOp op) {
  static constexpr const char* kNames[] = {"__syncthreads",     "__syncthreads_count",
                                           "__syncthreads_and", "__syncthreads_or",
                                           "grid.sync",         "cluster.sync"};
  return kNames[static_cast<int>(op)];
}
const char* name(WarpOp op) {
  static constexpr const char* kNames[] = {
      "__syncwarp",        "__shfl_sync",       "__ballot_sync",     "__all_sync",
      "__any_sync",        "__reduce_add_sync", "__reduce_min_sync", "__reduce_max_sync",
      "__reduce_and_sync", "__reduce_or_sync",  "__reduce_xor_sync", "__match_any_sync"};
  return kNames[static_cast<int>(op)];
}

template <class... Parts>
std::string join(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}
std::string hexadecimal(unsigned mask) {
  std::ostringstream text;
  text << "0x" << std::hex << mask;
  return text.str();
}

bool has(unsigned mask, unsigned lane) { return (mask >> lane & 1u) != 0; }

// xorshift64*: which of the ready threads goes next.
std::uint64_t next_random(std::uint64_t& state) {
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545F4914F6CDD1Dull;
}

}  // namespace

std::string to_string(const Where& where) {
  return std::string(where.file_name()) + ":" + std::to_string(where.line());
}
bool same_line(const Where& a, const Where& b) {
  return a.line() == b.line() &&
         (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

BlockRunner& BlockRunner::of_this_thread() {
  thread_local const std::unique_ptr<BlockRunner> runner = std::make_unique<BlockRunner>();
  return *runner;
}
unsigned char* dynamic_shared_of_this_thread() { return nat_dynamic_shared; }

BlockRunner& running_block() { return *running; }

void yield_sometimes() {
  constexpr unsigned kPeriod = 1024;
  constinit thread_local static unsigned calls = 0;
  if (++calls % kPeriod == 0) running->yield();
}

BlockRunner::BlockRunner()
    : fibers_(std::make_unique<Fiber[]>(kMaxBlockThreads)),
      threads_(std::make_unique<Thread[]>(kMaxBlockThreads)),
      ready_(kMaxBlockThreads) {
  adopt_thread(scheduler_);
}
BlockRunner::~BlockRunner() {
  for (unsigned first = 0; first < stacks_; first += kWarpSize) {
    release_stacks(&fibers_[first], kWarpSize);
  }
}

// ---- a block from begin to end ------------------------------------------------------------------

std::string BlockRunner::run(const Launch& launch, uint3 block, GroupGate* gate,
                             std::uint64_t seed) {
  running = this;
  reset(launch, block, gate, seed);
  poison_shared_memory();
  while (fault_.empty()) {
    if (ready_count_ > 0) {
      current_ = pop();
      switch_to(scheduler_, fibers_[current_]);  // returns when no thread is ready
    } else if (live_ == 0) {
      break;
    } else if (across_blocks(barrier_op_) && arrived_ == live_) {
      if (!gate_->arrive_and_wait(threads_[first_arrival_].where)) break;
      release_barrier();
    } else {
      fault_ = "deadlock" + wait_states();
    }
  }
  happens_after(&fault_);
  if (fault_.empty() && shared_memory_overrun()) {
    fault_ = join("a thread wrote beyond the ", launch_->shared_bytes,
                  " bytes of dynamic shared memory");
  }
  unpoison_shared_memory();
  running = nullptr;
  return fault_.empty() ? "" : join("block (", block.x, ",", block.y, ",", block.z, "): ", fault_);
}

void BlockRunner::reset(const Launch& launch, uint3 block, GroupGate* gate, std::uint64_t seed) {
  launch_ = &launch;
  gate_ = gate;
  random_ = seed * 2 + 1;  // never zero
  fault_.clear();
  block_phase_ ^= 1u;
  arrived_ = predicates_ = 0;
  ready_begin_ = ready_count_ = 0;
  count_ = live_ = launch.block.x * launch.block.y * launch.block.z;
  blockIdx = block;
  blockDim = launch.block;
  gridDim = launch.grid;
  for (; stacks_ < count_; stacks_ += kWarpSize) allocate_stacks(&fibers_[stacks_], kWarpSize);
  warps_.assign((count_ + kWarpSize - 1) / kWarpSize, Warp{});
  for (unsigned t = 0; t < count_; ++t) {
    const dim3& size = launch.block;
    threads_[t].index = {t % size.x, t / size.x % size.y, t / size.x / size.y};
    threads_[t].state = State::ready;
    warps_[t / kWarpSize].live |= 1u << t % kWarpSize;
    prepare(fibers_[t], thread_main);
  }
  for (Warp& warp : warps_) warp.existing = warp.live;
  push_all([](unsigned) { return true; });
}

void BlockRunner::thread_main() {
  arrive();
  happens_after(&launch_begin);
  happens_after(&running->block_sync_[running->block_phase_ ^ 1u]);
  threadIdx = running->threads_[running->current_].index;
  running->launch_->kernel();
  happens_before(&running->block_sync_[running->block_phase_]);
  happens_before(&launch_end);
  running->end_thread();
}

void BlockRunner::end_thread() {
  if (has_overflown(fibers_[current_])) {
    blame(current_, "stack overflow; use less local memory");
    give_up();
  }
  const unsigned warp = current_ / kWarpSize, lane = current_ % kWarpSize;
  threads_[current_].state = State::done;
  warps_[warp].live &= ~(1u << lane);
  --live_;
  // Those who wait for this thread wait no longer.
  for (unsigned waiting = warps_[warp].posted; waiting != 0; waiting &= waiting - 1) {
    const unsigned other = static_cast<unsigned>(std::countr_zero(waiting));
    if (!has(warps_[warp].posted, other)) continue;  // released by an earlier turn of the loop
    const unsigned mask = threads_[warp * kWarpSize + other].mask;
    if (has(mask, lane)) try_complete(warp, mask);
  }
  if (arrived_ > 0 && arrived_ == live_ && !across_blocks(barrier_op_)) release_barrier();
  suspend();
}

void BlockRunner::blame(unsigned thread, const std::string& what) {
  fault_ = name_of(thread) + ": " + what;
}

// What this thread holds is never released: no caller may own memory here.
void BlockRunner::give_up() {
  happens_before(&fault_);
  switch_to(fibers_[current_], scheduler_);
  __builtin_unreachable();
}

// ---- the ready queue ----------------------------------------------------------------------------

void BlockRunner::push(unsigned thread) {
  threads_[thread].state = State::ready;
  ready_[(ready_begin_ + ready_count_++) % ready_.size()] = thread;
}

template <class Predicate>
void BlockRunner::push_all(Predicate predicate) {
  for (unsigned i = 0; i < count_; ++i) {
    const unsigned thread = options().order == Order::reverse ? count_ - 1 - i : i;
    if (predicate(thread)) push(thread);
  }
}

unsigned BlockRunner::pop() {
  if (options().order == Order::shuffle) {
    const std::size_t chosen = next_random(random_) % ready_count_;
    std::swap(ready_[ready_begin_], ready_[(ready_begin_ + chosen) % ready_.size()]);
  }
  const unsigned thread = ready_[ready_begin_];
  ready_begin_ = (ready_begin_ + 1) % ready_.size();
  --ready_count_;
  return thread;
}

void BlockRunner::suspend() {
  const unsigned self = current_;
  if (ready_count_ == 0) {
    switch_to(fibers_[self], scheduler_);
  } else {
    const unsigned next = pop();
    if (next == self) return;
    current_ = next;
    switch_to(fibers_[self], fibers_[next]);
  }
  threadIdx = threads_[self].index;
}

void BlockRunner::yield() {
  push(current_);
  suspend();
}

// ---- barriers -----------------------------------------------------------------------------------

int BlockRunner::barrier(BarrierOp op, int predicate, const Where& where) {
  Thread& self = threads_[current_];
  if (op == BarrierOp::grid && !launch_->cooperative) {
    blame(current_, "grid.sync in a launch that is not cooperative, at " + to_string(where));
    give_up();
  }
  if (op == BarrierOp::cluster && launch_->cluster == 1) {
    blame(current_, "cluster.sync in a launch without clusters, at " + to_string(where));
    give_up();
  }
  if (arrived_ == 0) {
    barrier_op_ = op;
    first_arrival_ = current_;
  } else if (const Where& first = threads_[first_arrival_].where;
             op != barrier_op_ || !same_line(where, first)) {
    blame(current_,
          join("divergent barrier: it waits in ", name(op), " at ", to_string(where), ", while ",
               name_of(first_arrival_), " waits in ", name(barrier_op_), " at ", to_string(first)));
    give_up();
  }
  // Two objects in turn: with one, the next release of a fast thread would leak into the acquire of
  // a slow one and hide races from ThreadSanitizer.
  void* sync = across_blocks(op) ? gate_->sync_object() : &barrier_sync_[barrier_phase_];
  self.where = where;
  self.state = State::at_barrier;
  predicates_ += predicate != 0 ? 1 : 0;
  happens_before(sync);
  if (++arrived_ == live_ && !across_blocks(op)) release_barrier();
  suspend();
  happens_after(sync);
  return static_cast<int>(self.result);
}

void BlockRunner::release_barrier() {
  const std::uint64_t result = barrier_op_ == BarrierOp::all   ? predicates_ == arrived_
                               : barrier_op_ == BarrierOp::any ? predicates_ > 0
                                                               : predicates_;
  arrived_ = predicates_ = 0;
  barrier_phase_ ^= 1u;
  push_all([&](unsigned thread) {
    if (threads_[thread].state != State::at_barrier) return false;
    threads_[thread].result = result;
    return true;
  });
}

// Static and dynamic shared memory are variables of an operating-system thread, which lie equally
// far apart in every one.
void* BlockRunner::in_block(void* own, unsigned rank, const Where& where) {
  if (rank >= launch_->cluster) {
    blame(current_, join("there is no block ", rank, " in the cluster, at ", to_string(where)));
    give_up();
  }
  unsigned char* const there = gate_->shared_of(rank);
  if (there == nullptr) {
    blame(current_,
          join("block ", rank, " of the cluster may not have begun, or may have ended, at ",
               to_string(where), ": cluster.sync must lie between"));
    give_up();
  }
  return there + (static_cast<unsigned char*>(own) - nat_dynamic_shared);
}

// ---- warps --------------------------------------------------------------------------------------

std::uint64_t BlockRunner::collective(WarpOp op, unsigned mask, std::uint64_t value,
                                      unsigned source, const Where& where) {
  Thread& self = threads_[current_];
  Warp& warp = warps_[current_ / kWarpSize];
  const unsigned lane = current_ % kWarpSize;
  self.op = op;
  self.mask = mask;
  self.value = value;
  self.source = source;
  self.where = where;
  if (!has(mask, lane)) {
    blame(current_, join(name(op), " at ", to_string(where), ": the lane is not in its own mask ",
                         hexadecimal(mask)));
    give_up();
  }
  if ((mask & ~warp.existing) != 0) {
    blame(current_,
          join(name(op), " at ", to_string(where), ": mask ", hexadecimal(mask),
               " names lanes that do not exist (the warp has ", hexadecimal(warp.existing), ")"));
    give_up();
  }
  check_partners(warp, self);
  void* sync = op == WarpOp::sync ? &warp.sync[warp.phase] : nullptr;
  if (sync != nullptr) happens_before(sync);
  self.state = State::in_warp;
  warp.posted |= 1u << lane;
  try_complete(current_ / kWarpSize, mask);
  suspend();
  if (sync != nullptr) happens_after(sync);
  return self.result;
}

// Lanes that wait for each other must do the same.
void BlockRunner::check_partners(const Warp& warp, const Thread& self) {
  const unsigned lane = current_ % kWarpSize, first = current_ - lane;
  for (unsigned others = warp.posted & self.mask; others != 0; others &= others - 1) {
    const unsigned thread = first + static_cast<unsigned>(std::countr_zero(others));
    const Thread& other = threads_[thread];
    if (!has(other.mask, lane)) continue;
    if (other.mask == self.mask && other.op == self.op && same_line(other.where, self.where)) {
      return;  // it has checked the others
    }
    blame(current_, join("divergent warp: it is in ", name(self.op), " with mask ",
                         hexadecimal(self.mask), " at ", to_string(self.where), ", while ",
                         name_of(thread), " is in ", name(other.op), " with mask ",
                         hexadecimal(other.mask), " at ", to_string(other.where)));
    give_up();
  }
}

// Releases the lanes of `mask` when all of them that still run have posted that very mask.
void BlockRunner::try_complete(unsigned index, unsigned mask) {
  Warp& warp = warps_[index];
  const unsigned present = mask & warp.live;
  if ((present & ~warp.posted) != 0) return;
  Thread* threads = &threads_[index * kWarpSize];
  for (unsigned lanes = present; lanes != 0; lanes &= lanes - 1) {
    if (threads[std::countr_zero(lanes)].mask != mask) return;
  }
  const WarpOp op = threads[std::countr_zero(present)].op;
  if (op == WarpOp::shuffle || op == WarpOp::match) {
    for (unsigned lanes = present; lanes != 0; lanes &= lanes - 1) {
      const auto lane = static_cast<unsigned>(std::countr_zero(lanes));
      if (op == WarpOp::match) {
        threads[lane].result = matches(threads, present, threads[lane].value);
      } else if (has(present, threads[lane].source)) {
        threads[lane].result = threads[threads[lane].source].value;
      } else {
        blame(index * kWarpSize + lane,
              join("__shfl_sync at ", to_string(threads[lane].where), " reads lane ",
                   threads[lane].source, ", which does not take part (mask ", hexadecimal(mask),
                   ")"));
        give_up();
      }
    }
  } else {
    const std::uint64_t result = fold(op, threads, present);
    for (unsigned lanes = present; lanes != 0; lanes &= lanes - 1) {
      threads[std::countr_zero(lanes)].result = result;
    }
  }
  warp.posted &= ~mask;
  if (op == WarpOp::sync) warp.phase ^= 1u;
  for (unsigned i = 0; i < kWarpSize; ++i) {
    const unsigned lane = options().order == Order::reverse ? kWarpSize - 1 - i : i;
    if (has(present, lane)) push(index * kWarpSize + lane);
  }
}

std::uint64_t BlockRunner::matches(const Thread* threads, unsigned lanes, std::uint64_t value) {
  unsigned equal = 0;
  for (unsigned lane = 0; lane < kWarpSize; ++lane) {
    if (has(lanes, lane) && threads[lane].value == value) equal |= 1u << lane;
  }
  return equal;
}

// The result that all lanes share. Minimum and maximum are taken of 64-bit two's complement, into
// which callers widen signed and unsigned values alike.
std::uint64_t BlockRunner::fold(WarpOp op, const Thread* threads, unsigned lanes) {
  unsigned true_lanes = 0;
  std::uint64_t result = threads[std::countr_zero(lanes)].value;
  for (unsigned lane = 0, first = static_cast<unsigned>(std::countr_zero(lanes)); lane < kWarpSize;
       ++lane) {
    if (!has(lanes, lane)) continue;
    const std::uint64_t value = threads[lane].value;
    true_lanes |= (value != 0 ? 1u : 0u) << lane;
    if (lane == first) continue;
    const auto a = static_cast<std::int64_t>(result), b = static_cast<std::int64_t>(value);
    if (op == WarpOp::add) result += value;
    if (op == WarpOp::min) result = static_cast<std::uint64_t>(std::min(a, b));
    if (op == WarpOp::max) result = static_cast<std::uint64_t>(std::max(a, b));
    if (op == WarpOp::bit_and) result &= value;
    if (op == WarpOp::bit_or) result |= value;
    if (op == WarpOp::bit_xor) result ^= value;
  }
  if (op == WarpOp::ballot) return true_lanes;
  if (op == WarpOp::all) return true_lanes == lanes;
  if (op == WarpOp::any) return true_lanes != 0;
  return result;
}

// ---- reports ------------------------------------------------------------------------------------

std::string BlockRunner::name_of(unsigned thread) const {
  const uint3& index = threads_[thread].index;
  return join("thread (", index.x, ",", index.y, ",", index.z, ")");
}

// One line for each place where threads wait.
std::string BlockRunner::wait_states() const {
  struct Group {
    unsigned first, count;
  };
  std::map<std::string, Group> groups;
  for (unsigned t = 0; t < count_; ++t) {
    const Thread& thread = threads_[t];
    if (thread.state == State::done) continue;
    const char* what = thread.state == State::in_warp ? name(thread.op) : name(barrier_op_);
    const std::string key = join(what, " at ", to_string(thread.where));
    ++groups.try_emplace(key, Group{t, 0}).first->second.count;
  }
  std::string text;
  for (const auto& [place, group] : groups) {
    text += join("\n  ", group.count, " wait in ", place, ", the first is ", name_of(group.first));
  }
  if (live_ < count_) text += join("\n  ", count_ - live_, " have ended");
  return text;
}

// ---- dynamic shared memory ----------------------------------------------------------------------

void BlockRunner::poison_shared_memory() const {
  const Unchecked scope;
  std::memset(nat_dynamic_shared, kPoison, launch_->shared_bytes + kSharedGuard);
#if defined(NAT_SIMT_ASAN)
  __asan_poison_memory_region(nat_dynamic_shared + launch_->shared_bytes,
                              sizeof nat_dynamic_shared - launch_->shared_bytes);
#endif
}

void BlockRunner::unpoison_shared_memory() const {
#if defined(NAT_SIMT_ASAN)
  __asan_unpoison_memory_region(nat_dynamic_shared, sizeof nat_dynamic_shared);
#endif
}

bool BlockRunner::shared_memory_overrun() const {
#if defined(NAT_SIMT_ASAN)
  return false;  // reported when it happened
#else
  const unsigned char* guard = nat_dynamic_shared + launch_->shared_bytes;
  return std::any_of(guard, guard + kSharedGuard, [](unsigned char b) { return b != kPoison; });
#endif
}

}  // namespace simt
