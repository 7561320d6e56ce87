#include "tests/simt/fiber.h"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#if defined(NAT_SIMT_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(NAT_SIMT_TSAN)
#include <sanitizer/tsan_interface.h>
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

namespace simt {

namespace {

// Instrumented code needs more stack.
#if defined(NAT_SIMT_ASAN) || defined(NAT_SIMT_TSAN)
constexpr std::size_t kStackBytes = 256 << 10;
#else
constexpr std::size_t kStackBytes = 64 << 10;
#endif
// Stacks at a distance of a power of two would share the same few lines of the cache.
constexpr std::size_t kStackDistance = kStackBytes + 9 * 64;
constexpr std::uint64_t kCanary = 0x5afe57ac5afe57acu;  // at the lowest address of every stack

}  // namespace

#if defined(__x86_64__)
// Pushes the registers that a call preserves, swaps stacks, pops them again.
asm(R"(
.text
.type simt_swap_stacks, @function
simt_swap_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simt_swap_stacks, .-simt_swap_stacks
)");
extern "C" void simt_swap_stacks(void** save, void* load);

namespace {

void begin_at(Fiber& fiber, void (*entry)()) {
  // Above the entry lies a null return address, where a debugger's backtrace ends. On entry the
  // stack pointer is 8 below a multiple of 16, as after a call.
  constexpr std::size_t kSavedRegisters = 6;
  void** top = reinterpret_cast<void**>(fiber.stack + fiber.stack_bytes) - 1;
  *top = nullptr;
  *--top = reinterpret_cast<void*>(entry);
  for (std::size_t i = 0; i < kSavedRegisters; ++i) *--top = nullptr;
  fiber.stack_pointer = top;
}

void swap_stacks(Fiber& from, Fiber& to) {
  simt_swap_stacks(&from.stack_pointer, to.stack_pointer);
}

}  // namespace
#else
namespace {

ucontext_t& context_of(Fiber& fiber) {
  if (fiber.stack_pointer == nullptr) fiber.stack_pointer = new ucontext_t;
  return *static_cast<ucontext_t*>(fiber.stack_pointer);
}

void begin_at(Fiber& fiber, void (*entry)()) {
  ucontext_t& context = context_of(fiber);
  getcontext(&context);
  context.uc_stack.ss_sp = fiber.stack;
  context.uc_stack.ss_size = fiber.stack_bytes;
  context.uc_link = nullptr;
  makecontext(&context, entry, 0);
}

void swap_stacks(Fiber& from, Fiber& to) { swapcontext(&context_of(from), &context_of(to)); }

}  // namespace
#endif

void allocate_stacks(Fiber* fibers, std::size_t count) {
  void* slab = mmap(nullptr, count * kStackDistance, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (slab == MAP_FAILED) std::abort();
  for (std::size_t i = 0; i < count; ++i) {
    fibers[i].stack = static_cast<unsigned char*>(slab) + i * kStackDistance;
    fibers[i].stack_bytes = kStackBytes;
    std::memcpy(fibers[i].stack, &kCanary, sizeof kCanary);
#if defined(NAT_SIMT_TSAN)
    fibers[i].race_detector = __tsan_create_fiber(0);
#endif
  }
}

void release_stacks(Fiber* fibers, std::size_t count) {
#if defined(NAT_SIMT_TSAN)
  for (std::size_t i = 0; i < count; ++i) __tsan_destroy_fiber(fibers[i].race_detector);
#endif
  munmap(fibers[0].stack, count * kStackDistance);
}

void adopt_thread(Fiber& fiber) {
#if defined(NAT_SIMT_TSAN)
  fiber.race_detector = __tsan_get_current_fiber();
#endif
  pthread_attr_t attributes;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) std::abort();
  void* stack = nullptr;
  pthread_attr_getstack(&attributes, &stack, &fiber.stack_bytes);
  pthread_attr_destroy(&attributes);
  fiber.stack = static_cast<unsigned char*>(stack);
}

void prepare(Fiber& fiber, void (*entry)()) {
#if defined(NAT_SIMT_ASAN)
  __asan_unpoison_memory_region(fiber.stack, fiber.stack_bytes);
#endif
  fiber.sanitizer_state = nullptr;
  begin_at(fiber, entry);
}

void switch_to(Fiber& from, Fiber& to) {
#if defined(NAT_SIMT_ASAN)
  __sanitizer_start_switch_fiber(&from.sanitizer_state, to.stack, to.stack_bytes);
#endif
#if defined(NAT_SIMT_TSAN)
  constexpr unsigned kNoSynchronisation = 1;
  __tsan_switch_to_fiber(to.race_detector, kNoSynchronisation);
#endif
  swap_stacks(from, to);
#if defined(NAT_SIMT_ASAN)
  __sanitizer_finish_switch_fiber(from.sanitizer_state, nullptr, nullptr);
#endif
}

void arrive() {
#if defined(NAT_SIMT_ASAN)
  __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}

bool has_overflown(const Fiber& fiber) {
  return std::memcmp(fiber.stack, &kCanary, sizeof kCanary) != 0;
}

void happens_before([[maybe_unused]] void* object) {
#if defined(NAT_SIMT_TSAN)
  __tsan_release(object);
#endif
}
void happens_after([[maybe_unused]] void* object) {
#if defined(NAT_SIMT_TSAN)
  __tsan_acquire(object);
#endif
}

#if defined(NAT_SIMT_TSAN)
extern "C" {
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
Unchecked::Unchecked() { AnnotateIgnoreWritesBegin(__FILE__, __LINE__); }
Unchecked::~Unchecked() { AnnotateIgnoreWritesEnd(__FILE__, __LINE__); }
#else
Unchecked::Unchecked() = default;
Unchecked::~Unchecked() = default;
#endif

}  // namespace simt
