#include "tests/simt/arena.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <sstream>

#include "tests/simt/options.h"

#if defined(NAT_SIMT_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace simt {

namespace {

constexpr std::size_t kAlignment = 256;
constexpr std::size_t kGuard = 256;
constexpr unsigned char kPoison = 0xFF, kGuardByte = 0xA5;

// AddressSanitizer has guards of its own: memory that is poisoned.
void fill_guard([[maybe_unused]] unsigned char* guard, [[maybe_unused]] std::size_t bytes) {
#if !defined(NAT_SIMT_ASAN)
  std::memset(guard, kGuardByte, bytes);
#endif
}

#if !defined(NAT_SIMT_ASAN)
struct sigaction previous_action;

// Names the mistake, then lets the fault happen again under the action that was set before.
void on_segmentation_fault(int, siginfo_t* info, void*) {
  if (arena().contains(info->si_addr)) {
    char line[160];
    const int length = std::snprintf(line, sizeof line,
                                     "simt: host code touched device memory at %p; copy it first\n",
                                     info->si_addr);
    if (write(STDERR_FILENO, line, static_cast<std::size_t>(length)) < 0) _exit(1);
  }
  sigaction(SIGSEGV, &previous_action, nullptr);
}

// Test frameworks install handlers of their own now and then: ours goes on top again.
void watch_for_faults() {
  struct sigaction action {};
  action.sa_sigaction = on_segmentation_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  struct sigaction before {};
  sigaction(SIGSEGV, &action, &before);
  if (before.sa_sigaction != on_segmentation_fault) previous_action = before;
}
#endif

}  // namespace

Arena::Arena() {
  void* range =
      mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (range == MAP_FAILED) std::abort();
  base_ = static_cast<unsigned char*>(range);
}

Arena& arena() {
  static Arena& memory = *new Arena;  // outlives every static object that frees device memory
  return memory;
}

// First fit among the freed blocks, else at the end.
void* Arena::allocate(std::size_t bytes) {
  if (bytes == 0 || bytes > kBytes) return nullptr;
  const std::size_t capacity = (bytes + kAlignment - 1) / kAlignment * kAlignment + kGuard;
  auto block = std::find_if(blocks_.begin(), blocks_.end(), [&](const auto& entry) {
    return entry.second.bytes == 0 && entry.second.capacity >= capacity;
  });
  if (block == blocks_.end()) {
    if (end_ + capacity > kBytes) return nullptr;
    block = blocks_.emplace(end_, Block{0, capacity}).first;
    end_ += capacity;
  } else if (block->second.capacity > capacity) {
    blocks_.emplace(block->first + capacity, Block{0, block->second.capacity - capacity});
    block->second.capacity = capacity;
  }
  block->second.bytes = bytes;
  set_access(true);
  unsigned char* data = at(block->first);
  std::memset(data, kPoison, bytes);
  fill_guard(data + bytes, capacity - bytes);
  set_access(depth_ > 0);
  return data;
}

bool Arena::release(void* data) {
  const auto offset = static_cast<std::size_t>(static_cast<unsigned char*>(data) - base_);
  auto block = blocks_.find(offset);
  if (!contains(data) || block == blocks_.end() || block->second.bytes == 0) return false;
  set_access(true);
  std::memset(data, kPoison, block->second.bytes);
  block->second.bytes = 0;
  set_access(depth_ > 0);
  if (const auto next = std::next(block); next != blocks_.end() && next->second.bytes == 0) {
    block->second.capacity += next->second.capacity;
    blocks_.erase(next);
  }
  if (block != blocks_.begin() && std::prev(block)->second.bytes == 0) {
    std::prev(block)->second.capacity += block->second.capacity;
    blocks_.erase(block);
  }
  return true;
}

std::size_t Arena::free_bytes() const {
  std::size_t used = 0;
  for (const auto& [offset, block] : blocks_) used += block.bytes == 0 ? 0 : block.capacity;
  return kBytes - used;
}

bool Arena::contains(const void* address) const {
  const auto* byte = static_cast<const unsigned char*>(address);
  return byte >= base_ && byte < base_ + kBytes;
}

bool Arena::owns(const void* address, std::size_t bytes) const {
  if (!contains(address)) return false;
  const auto offset = static_cast<std::size_t>(static_cast<const unsigned char*>(address) - base_);
  auto block = blocks_.upper_bound(offset);
  if (block == blocks_.begin()) return false;
  --block;
  return offset + bytes <= block->first + block->second.bytes;
}

void Arena::open() {
  if (depth_++ == 0) set_access(true);
}
void Arena::close() {
  if (--depth_ == 0) set_access(false);
}

#if defined(NAT_SIMT_ASAN)
// AddressSanitizer reports any access to poisoned memory, guards and freed blocks included.
void Arena::set_access(bool allowed) {
  const long page = sysconf(_SC_PAGESIZE);
  const std::size_t pages = (end_ + static_cast<std::size_t>(page) - 1) /
                            static_cast<std::size_t>(page) * static_cast<std::size_t>(page);
  mprotect(base_, pages, PROT_READ | PROT_WRITE);
  __asan_poison_memory_region(base_, end_);
  for (const auto& [offset, block] : blocks_) {
    if (allowed) __asan_unpoison_memory_region(at(offset), block.bytes);
  }
}
std::string Arena::overruns() { return ""; }
#else
void Arena::set_access(bool allowed) {
  if (end_ == 0) return;
  mprotect(base_, end_, allowed || !options().protect ? PROT_READ | PROT_WRITE : PROT_NONE);
  if (!allowed) watch_for_faults();
}
std::string Arena::overruns() {
  std::ostringstream text;
  for (const auto& [offset, block] : blocks_) {
    if (block.bytes == 0) continue;
    unsigned char* end = at(offset) + block.bytes;
    unsigned char* limit = at(offset) + block.capacity;
    if (std::all_of(end, limit, [](unsigned char byte) { return byte == kGuardByte; })) continue;
    text << "memory behind the end of an allocation of " << block.bytes << " bytes was written\n";
    fill_guard(end, static_cast<std::size_t>(limit - end));
  }
  return text.str();
}
#endif

}  // namespace simt
