// Which image holds which target (nat/targets.h).
#include "nat/targets.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "kernels/targets.h"
#include "tests/opcases/determinism.h"
#include "tests/opcases/tensor.h"

namespace nat::test {
namespace {

using Ids = std::vector<std::int32_t>;

Ids numbers(std::size_t count) {
  Ids ids(count);
  std::iota(ids.begin(), ids.end(), 0);
  return ids;
}

// A Fisher-Yates shuffle from a counter.
Ids shuffled(Ids ids, std::uint64_t seed) {
  for (std::size_t i = ids.size(); i > 1; --i) {
    std::swap(ids[i - 1], ids[philox(seed, RandomStream::synthetic, 0, i).value[0] % i]);
  }
  return ids;
}

Ids state_of(const Targets& targets) {
  return {targets.permutation().begin(), targets.permutation().end()};
}

Tensor rows_of(Targets& targets, const Ids& ids) {
  Context ctx;
  Tensor rows(Shape(static_cast<std::int64_t>(ids.size()), targets.dimension()), DType::f32);
  targets.rows(ctx, ids, rows.view());
  CHECK(rows.canaries_intact());
  return rows;
}

Tensor rows_of_matrix(std::uint64_t seed, const Ids& rows, std::int64_t d) {
  Context ctx;
  const Shape count(static_cast<std::int64_t>(rows.size()));
  Tensor out(Shape(count[0], d), DType::f32);
  target_rows(ctx, seed, ConstView(rows.data(), DType::i32, count), out.view());
  return out;
}

TEST_CASE("at the start image i holds row i of the target matrix") {
  Targets targets(7, 100, 24);
  CHECK(targets.images() == 100);
  CHECK(targets.dimension() == 24);
  CHECK(state_of(targets) == numbers(100));
  const Ids ids = {99, 0, 42};
  CHECK(same_bits(rows_of(targets, ids), rows_of_matrix(7, ids, 24)));
}

TEST_CASE("re-assignment hands each image the target that another image of the batch held") {
  Targets targets(7, 6, 16);
  const Ids batch = {5, 1, 4, 2};
  // 5 takes what 4 held, 1 keeps, 4 takes what 2 held, 2 takes what 5 held.
  CHECK(targets.permute(batch, Ids{2, 1, 3, 0}) == 3);
  CHECK(state_of(targets) == Ids{0, 1, 5, 3, 2, 4});
  CHECK(same_bits(rows_of(targets, batch), rows_of_matrix(7, {4, 1, 2, 5}, 16)));

  // A second exchange starts from there: 2 held 5, 0 held 0.
  CHECK(targets.permute(Ids{2, 0}, Ids{1, 0}) == 2);
  CHECK(state_of(targets) == Ids{5, 1, 0, 3, 2, 4});
  CHECK(targets.permute(batch, Ids{0, 1, 2, 3}) == 0);
  CHECK(state_of(targets) == Ids{5, 1, 0, 3, 2, 4});
}

TEST_CASE("a hundred re-assignments lose no target") {
  const std::size_t images = 97, batch = 32;
  Targets targets(1, static_cast<std::int64_t>(images), 8);
  for (std::uint64_t step = 0; step < 100; ++step) {
    Ids ids = shuffled(numbers(images), step);
    ids.resize(batch);
    targets.permute(ids, shuffled(numbers(batch), 1000 + step));
  }
  Ids state = state_of(targets);
  CHECK(state != numbers(images));
  std::sort(state.begin(), state.end());
  CHECK(state == numbers(images));
}

TEST_CASE("a restored permutation gives the same targets") {
  Targets before(3, 50, 8), after(3, 50, 8);
  before.permute(numbers(50), shuffled(numbers(50), 5));
  after.restore(before.permutation());
  CHECK(state_of(after) == state_of(before));
  CHECK(same_bits(rows_of(after, numbers(50)), rows_of(before, numbers(50))));
}

TEST_CASE("what is not a permutation of the images is refused and changes nothing") {
  Targets targets(3, 4, 8);
  targets.restore(Ids{3, 1, 0, 2});
  for (const Ids& wrong :
       {Ids{0, 1, 2}, Ids{0, 1, 2, 3, 4}, Ids{0, 1, 1, 3}, Ids{0, 1, 2, 4}, Ids{0, -1, 2, 3}}) {
    try {
      targets.restore(wrong);
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(error.kind() == ErrorKind::checkpoint);
    }
    CHECK(state_of(targets) == Ids{3, 1, 0, 2});
  }
}

TEST_CASE("counts and dimensions that cannot be are refused") {
  CHECK_THROWS_AS(Targets(0, -1, 8), Error);
  CHECK_THROWS_AS(Targets(0, std::int64_t{1} << 31, 8), Error);
  CHECK_THROWS_AS(Targets(0, 8, 0), Error);
}

}  // namespace
}  // namespace nat::test
