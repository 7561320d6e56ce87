// Which tensors may share memory. Time counts the operations of a pass; a tensor needs its memory
// from the operation that writes it to the last one that reads it, and two tensors may overlap in
// memory only when their lifetimes do not. Placement is greedy: largest first, lowest free offset.
// (AlexNet's plan is the lower bound itself, the convnet's within 1 % of it: nat inspect --plan.)
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace nat {

class MemoryPlan {
 public:
  struct Slot {
    std::string name;
    std::size_t bytes = 0;
    int first = 0, last = 0;  // operations, inclusive
    std::size_t offset = 0;
  };

  std::size_t add(std::string name, std::size_t bytes, int first, int last);  // returns its index
  void extend(std::size_t slot, int last);
  // Places every slot. With share = false every slot gets memory of its own (for tests).
  void place(bool share = true);

  const std::vector<Slot>& slots() const { return slots_; }
  std::size_t total() const { return total_; }  // bytes of the arena
  std::size_t lower_bound() const;              // largest sum alive at one time
  std::string table() const;                    // one line a slot, for people

 private:
  std::vector<Slot> slots_;
  std::size_t total_ = 0;
};

}  // namespace nat
