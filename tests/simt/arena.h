// Device memory of the executor: one reserved range of addresses that can be touched only while an
// operation of the device runs. Fresh and freed memory holds 0xFF bytes; every allocation is
// followed by a guard.
#pragma once

#include <cstddef>
#include <map>
#include <string>

namespace simt {

class Arena {
 public:
  static constexpr std::size_t kBytes = std::size_t{16} << 30;  // of the modelled device

  Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  void* allocate(std::size_t bytes);  // aligned to 256; null when the device is full
  bool release(void* data);           // false when it is no allocation
  std::size_t free_bytes() const;

  bool contains(const void* address) const;
  // Whether [address, address + bytes) lies within one live allocation.
  bool owns(const void* address, std::size_t bytes) const;

  // Around every operation of the device; may be nested.
  void open();
  void close();

  // Which allocations were written beyond their end since the last call; repairs the guards.
  std::string overruns();

 private:
  struct Block {
    std::size_t bytes;     // asked for; 0 when free
    std::size_t capacity;  // taken, guard included
  };
  void set_access(bool allowed);
  unsigned char* at(std::size_t offset) const { return base_ + offset; }

  unsigned char* base_ = nullptr;
  std::map<std::size_t, Block> blocks_;  // by offset; they cover [0, end_)
  std::size_t end_ = 0;
  int depth_ = 0;
};

Arena& arena();

}  // namespace simt
