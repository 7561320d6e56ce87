// What every operation stands on: scratch memory, buffers, views, bfloat16 and errors.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "kernels/memory.h"
#include "kernels/op.h"
#include "kernels/view.h"

namespace {
int aligned_allocations = 0;
bool allocations_fail = false;
}  // namespace

// Counts every allocation of kernels/memory.h in this program, and lets them fail on demand.
extern "C" void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
  ++aligned_allocations;
  if (allocations_fail) return nullptr;
  void* data = nullptr;
  return posix_memalign(&data, alignment, bytes) == 0 ? data : nullptr;
}

using namespace nat;

namespace {

bool is_aligned(const void* data) { return reinterpret_cast<std::uintptr_t>(data) % 256 == 0; }

// One step of a program that borrows memory the way operations do.
void borrow(Scratch& scratch) {
  Scratch::Frame outer(scratch);
  std::memset(outer.take<float>(1000), 1, 4000);
  for (const std::size_t bytes : {100u, 50000u, 7u}) {
    Scratch::Frame inner(scratch);
    std::memset(inner.take<char>(bytes), 2, bytes);
    std::memset(inner.take<char>(3 * bytes), 3, 3 * bytes);
  }
}

void throw_for(int value) {
  NAT_CHECK(value > 0, ErrorKind::usage, "--batch: ", value, " is not positive; give at least 1");
}

}  // namespace

TEST_CASE("scratch memory is a stack: what an inner frame took is reused after it") {
  Scratch scratch(Device::cpu);
  { Scratch::Frame(scratch).take<char>(4096); }  // warm up, so that nothing overflows below
  Scratch::Frame outer(scratch);
  char* first = outer.take<char>(300);
  char* second = nullptr;
  {
    Scratch::Frame inner(scratch);
    second = inner.take<char>(10);
    CHECK(second >= first + 300);
    CHECK(inner.take<char>(10) >= second + 10);
  }
  CHECK(outer.take<char>(10) == second);
}

TEST_CASE("scratch memory is aligned to 256 bytes, before and after it is merged") {
  Scratch scratch(Device::cpu);
  for (int round = 0; round < 2; ++round) {
    Scratch::Frame frame(scratch);
    for (const std::size_t bytes : {1u, 255u, 256u, 257u, 1u}) {
      CHECK(is_aligned(frame.take<char>(bytes)));
    }
  }
}

TEST_CASE("scratch memory keeps what lives while it grows") {
  Scratch scratch(Device::cpu);
  { Scratch::Frame(scratch).take<char>(256); }
  Scratch::Frame frame(scratch);
  char* small = frame.take<char>(256);
  std::memset(small, 7, 256);
  const std::uint64_t generation = scratch.generation();
  { Scratch::Frame(scratch).take<char>(1 << 20); }  // ends first
  CHECK(scratch.generation() == generation);        // what lives cannot move
  char* large = frame.take<char>(1 << 20);          // does not fit into the block
  std::memset(large, 8, 1 << 20);
  CHECK(small[0] == 7);
  CHECK(small[255] == 7);
}

TEST_CASE("scratch memory stops allocating once the largest need is known") {
  Scratch scratch(Device::cpu);
  const int before = aligned_allocations;
  borrow(scratch);
  const int warm = aligned_allocations;
  CHECK(warm > before);  // the count works
  const std::size_t high_water = scratch.high_water();
  CHECK(high_water >= 4000 + 4 * 50000);
  CHECK(high_water <= 4000 + 4 * 50000 + 3 * 256);  // frames shared their memory
  for (int step = 0; step < 10; ++step) borrow(scratch);
  CHECK(aligned_allocations == warm);
  CHECK(scratch.high_water() == high_water);
}

TEST_CASE("without memory to merge, a frame still ends, and the next need is an error") {
  Scratch scratch(Device::cpu);
  constexpr std::size_t kBytes = 64 << 20;
  {
    Scratch::Frame frame(scratch);
    frame.take<char>(kBytes);
    frame.take<char>(kBytes);
    allocations_fail = true;
  }
  CHECK_THROWS_WITH_AS(Scratch::Frame(scratch).take<char>(kBytes), doctest::Contains("MiB"), Error);
  allocations_fail = false;
  { Scratch::Frame(scratch).take<char>(kBytes); }
}

TEST_CASE("a buffer is zeroed, aligned and owns its memory") {
  Buffer buffer(Device::cpu, 1000, "test");
  CHECK(buffer.bytes() == 1000);
  CHECK(is_aligned(buffer.data()));
  CHECK(std::count(buffer.as<char>(), buffer.as<char>() + 1000, 0) == 1000);
  void* data = buffer.data();
  Buffer moved(std::move(buffer));
  CHECK(moved.data() == data);
  Buffer assigned;
  CHECK(assigned.data() == nullptr);
  assigned = std::move(moved);
  CHECK(assigned.data() == data);
  CHECK(assigned.bytes() == 1000);
}

TEST_CASE("running out of memory is an error that names what for") {
  try {
    Buffer(Device::cpu, std::size_t{1} << 60, "activations");
    FAIL("2^60 bytes were given");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::memory);
    CHECK(std::string(error.what()) ==
          "activations: cannot get 1099511627776 MiB of memory; free some, or "
          "ask for a smaller batch, pool or network");
  }
  // Nor is the size of a mistake rounded up to a small one.
  CHECK_THROWS_AS(Buffer(Device::cpu, std::numeric_limits<std::size_t>::max(), "all"), Error);
}

TEST_CASE("copies want the same shape and dtype on both sides") {
  Context ctx;
  float from[4] = {1, 2, 3, 4}, to[4] = {};
  copy(ctx, ConstView(from, DType::f32, Shape(2, 2)), View(to, DType::f32, Shape(2, 2)));
  CHECK(std::memcmp(from, to, sizeof from) == 0);
  fill_zero(ctx, View(to, DType::f32, Shape(3)));
  CHECK(to[2] == 0);
  CHECK(to[3] == 4);
  CHECK_THROWS_WITH_AS(
      copy(ctx, ConstView(from, DType::f32, Shape(2, 2)), View(to, DType::f32, Shape(4))),
      "copy: 2x2 f32 does not fit into 4 f32", Error);
}

TEST_CASE("devices and modes that are not in the build are refused") {
  CHECK_THROWS_AS(Context(Device::cpu, Math::tf32), Error);
  if (!kHasCudaKernels) CHECK_THROWS_AS(Context{Device::cuda}, Error);
}

TEST_CASE("rows are a part of a view") {
  float data[24];
  const View view(data, DType::f32, Shape(4, 6));
  const View part = rows(view, 1, 3);
  CHECK(part.data == data + 6);
  CHECK(part.shape == Shape(2, 6));
  CHECK(rows(view, 4, 4).shape.elements() == 0);
  const View flat = rows(View(data, DType::f32, Shape(24)), 5, 9);
  CHECK(flat.data == data + 5);
  CHECK(flat.shape == Shape(4));
  const ConstView pictures(data, DType::bf16, Shape(3, 2, 2, 4));
  const ConstView last = rows(pictures, 2, 3);
  CHECK(last.data == reinterpret_cast<const char*>(data) + 2 * 16 * 2);
  CHECK(last.shape == Shape(1, 2, 2, 4));
  CHECK(as_matrix(pictures).shape == Shape(3, 16));
}

TEST_CASE("shapes print and count") {
  CHECK(to_string(Shape(256, 28, 28, 2)) == "256x28x28x2");
  CHECK(to_string(Shape(7)) == "7");
  CHECK(Shape(2, 3, 4, 5).elements() == 120);
  CHECK(Shape(2, 3, 4, 5).row() == 60);
  CHECK(Shape(0, 3).row() == 0);
  CHECK(View(nullptr, DType::bf16, Shape(2, 3)).bytes() == 12);
  CHECK(View().empty());
}

TEST_CASE("bfloat16 rounds to nearest, ties to even, and keeps infinities and NaN") {
  static_assert(to_bfloat16(1.0f).bits == 0x3f80);
  static_assert(to_bfloat16(-2.0f).bits == 0xc000);
  static_assert(to_float(BFloat16{0x4049}) == 3.140625f);
  static_assert(to_bfloat16(1.0f + 0x1p-8f).bits == 0x3f80);             // tie: down to even
  static_assert(to_bfloat16(1.0f + 0x3p-8f).bits == 0x3f82);             // tie: up to even
  static_assert(to_bfloat16(1.0f + 0x1p-8f + 0x1p-20f).bits == 0x3f81);  // above the tie
  static_assert(to_bfloat16(1.0f + 0x3p-8f - 0x1p-20f).bits == 0x3f81);  // below the tie
  static_assert(to_bfloat16(-0.0f).bits == 0x8000);
  static_assert(to_bfloat16(std::numeric_limits<float>::max()).bits == 0x7f80);  // to infinity
  static_assert(to_bfloat16(std::numeric_limits<float>::infinity()).bits == 0x7f80);
  // A NaN whose payload lies in the dropped half must not become an infinity.
  const std::uint16_t nan = to_bfloat16(__builtin_bit_cast(float, 0x7f800001u)).bits;
  CHECK((nan & 0x7f80) == 0x7f80);
  CHECK((nan & 0x7f) != 0);
  for (std::uint32_t bits = 0; bits < 0x10000;
       ++bits) {  // every bf16 survives the way out and back
    const BFloat16 value{static_cast<std::uint16_t>(bits)};
    if (to_float(value) == to_float(value)) CHECK(to_bfloat16(to_float(value)).bits == value.bits);
  }
}

TEST_CASE("a failed check throws one line and the kind that decides the exit code") {
  CHECK_NOTHROW(throw_for(1));
  try {
    throw_for(-3);
    FAIL("nothing was thrown");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::usage);
    CHECK(static_cast<int>(error.kind()) == 2);
    CHECK(std::string(error.what()) == "--batch: -3 is not positive; give at least 1");
  }
}
