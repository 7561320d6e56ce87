// A fiber: a flow of control with its own stack that runs until it hands over to another one. Every
// CUDA thread is a fiber; all fibers of a block stay on one operating-system thread.
#pragma once

#include <cstddef>

namespace simt {

struct Fiber {
  void* stack_pointer = nullptr;   // where the saved registers lie while it is not running
  unsigned char* stack = nullptr;  // lowest address
  std::size_t stack_bytes = 0;
  void* sanitizer_state = nullptr;  // of AddressSanitizer
  void* race_detector = nullptr;    // its thread in ThreadSanitizer
};

// Gives `count` fibers stacks that are returned by release_stacks.
void allocate_stacks(Fiber* fibers, std::size_t count);
void release_stacks(Fiber* fibers, std::size_t count);

// Describes the calling thread, so that fibers can hand over to it.
void adopt_thread(Fiber& fiber);

// The next switch to the fiber begins `entry` on an empty stack; whatever the fiber did is
// forgotten. `entry` must never return.
void prepare(Fiber& fiber, void (*entry)());

// Saves the running flow of control in `from` and continues `to`. A fiber begun by this calls
// arrive() first.
void switch_to(Fiber& from, Fiber& to);
void arrive();

// Whether the fiber has written beyond the end of its stack.
bool has_overflown(const Fiber& fiber);

// Edges of the happens-before relation that ThreadSanitizer checks; nothing in other builds.
void happens_before(void* object);  // what this fiber did so far ...
void happens_after(void* object);   // ... is visible from here on

// While one lives, ThreadSanitizer ignores what this flow of control writes: the executor's
// own preparation of shared memory.
class Unchecked {
 public:
  Unchecked();
  ~Unchecked();
  Unchecked(const Unchecked&) = delete;
  Unchecked& operator=(const Unchecked&) = delete;
};

}  // namespace simt
