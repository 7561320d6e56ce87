// Which image holds which target (nat/targets.h).
#include "nat/targets.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "kernels/targets.h"
#include "tests/error_message.h"
#include "tests/opcases/determinism.h"
#include "tests/opcases/device.h"
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

// Targets with the calls that the tests make, from host memory.
struct Held {
  Context ctx;
  Targets targets;

  Held(std::uint64_t seed, std::int64_t images, std::int64_t d,
       TargetKind kind = TargetKind::sphere)
      : ctx(kDevice), targets(ctx, seed, images, d, kind) {}

  Ids state() { return targets.permutation(ctx); }
  void restore(const Ids& permutation) { targets.restore(ctx, permutation); }
  Tensor rows(const Ids& ids) {
    const Tensor id = tensor(ids);
    Tensor held(id.shape(), DType::i32);
    Tensor rows(Shape(id.size(), targets.dimension()), DType::f32);
    targets.held(ctx, id.view(), held.view());
    targets.rows(ctx, held.view(), rows.view());
    CHECK(rows.canaries_intact());
    return rows;
  }
  std::int64_t permute(const Ids& ids, const Ids& column_of_row) {
    const Tensor id = tensor(ids), column = tensor(column_of_row);
    Tensor held(id.shape(), DType::i32), moved(Shape(1), DType::i32);
    targets.held(ctx, id.view(), held.view());
    targets.exchange(ctx, id.view(), column.view(), held.view(), moved.view());
    return static_cast<std::int64_t>(moved.get(0));
  }
  static Tensor tensor(const Ids& values) {
    Tensor tensor(Shape(static_cast<std::int64_t>(values.size())), DType::i32);
    tensor.assign({values.begin(), values.end()});
    return tensor;
  }
};

Tensor rows_of_matrix(std::uint64_t seed, const Ids& rows, std::int64_t d,
                      TargetKind kind = TargetKind::sphere) {
  Context ctx(kDevice);
  Tensor out(Shape(static_cast<std::int64_t>(rows.size()), d), DType::f32);
  target_rows(ctx, kind, seed, Held::tensor(rows).view(), out.view());
  return out;
}

TEST_CASE("at the start image i holds row i of the target matrix") {
  Held held(7, 100, 24);
  CHECK(held.targets.images() == 100);
  CHECK(held.targets.dimension() == 24);
  CHECK(held.state() == numbers(100));
  const Ids ids = {99, 0, 42};
  CHECK(same_bits(held.rows(ids), rows_of_matrix(7, ids, 24)));
}

TEST_CASE("re-assignment hands each image the target that another image of the batch held") {
  Held held(7, 6, 16);
  const Ids batch = {5, 1, 4, 2};
  // 5 takes what 4 held, 1 keeps, 4 takes what 2 held, 2 takes what 5 held.
  CHECK(held.permute(batch, Ids{2, 1, 3, 0}) == 3);
  CHECK(held.state() == Ids{0, 1, 5, 3, 2, 4});
  CHECK(same_bits(held.rows(batch), rows_of_matrix(7, {4, 1, 2, 5}, 16)));

  // A second exchange starts from there: 2 held 5, 0 held 0.
  CHECK(held.permute(Ids{2, 0}, Ids{1, 0}) == 2);
  CHECK(held.state() == Ids{5, 1, 0, 3, 2, 4});
  CHECK(held.permute(batch, Ids{0, 1, 2, 3}) == 0);
  CHECK(held.state() == Ids{5, 1, 0, 3, 2, 4});
}

TEST_CASE("rows change hands by their number where several are one vector of the basis") {
  Held held(7, 6, 3, TargetKind::basis);
  CHECK(same_bits(held.rows(numbers(6)), rows_of_matrix(7, numbers(6), 3, TargetKind::basis)));
  const Tensor before = held.rows(numbers(6));
  // Rows 1 and 4 are the same vector: both pictures count as moved, none has another target.
  CHECK(held.permute(Ids{1, 4}, Ids{1, 0}) == 2);
  CHECK(held.state() == Ids{0, 4, 2, 3, 1, 5});
  CHECK(same_bits(held.rows(numbers(6)), before));
}

TEST_CASE("a hundred re-assignments lose no target") {
  const std::size_t images = 97, batch = 32;
  Held held(1, static_cast<std::int64_t>(images), 8);
  for (std::uint64_t step = 0; step < 100; ++step) {
    Ids ids = shuffled(numbers(images), step);
    ids.resize(batch);
    held.permute(ids, shuffled(numbers(batch), 1000 + step));
  }
  Ids state = held.state();
  CHECK(state != numbers(images));
  std::sort(state.begin(), state.end());
  CHECK(state == numbers(images));
}

TEST_CASE("a restored permutation gives the same targets") {
  Held before(3, 50, 8), after(3, 50, 8);
  before.permute(numbers(50), shuffled(numbers(50), 5));
  after.restore(before.state());
  CHECK(after.state() == before.state());
  CHECK(same_bits(after.rows(numbers(50)), before.rows(numbers(50))));
}

TEST_CASE("what is not a permutation of the images is refused and changes nothing") {
  Held held(3, 4, 8);
  held.restore(Ids{3, 1, 0, 2});
  const std::string damaged = "; it is damaged, resume from an earlier one";
  const std::vector<std::pair<Ids, std::string>> wrongs = {
      {{0, 1, 2}, "targets to 3 images but the data set has 4"},
      {{0, 1, 2, 3, 4}, "targets to 5 images but the data set has 4"},
      {{0, 1, 1, 3}, "the checkpoint gives target 1 to two images" + damaged},
      {{0, 1, 2, 4}, "the checkpoint names target 4, which does not exist" + damaged},
      {{0, -1, 2, 3}, "the checkpoint names target -1, which does not exist" + damaged}};
  for (const auto& wrong : wrongs) {
    CAPTURE(wrong.second);
    const std::string message =
        message_of(ErrorKind::checkpoint, [&] { held.restore(wrong.first); });
    CHECK(message.find(wrong.second) != std::string::npos);
    CHECK(held.state() == Ids{3, 1, 0, 2});
  }
}

TEST_CASE("counts and dimensions that cannot be are refused") {
  CHECK(message_of(ErrorKind::usage, [] { Held(0, -1, 8); }) ==
        "targets for -1 images; at most 2147483647 are possible");
  CHECK_THROWS_AS(Held(0, std::int64_t{1} << 31, 8), Error);
  CHECK_THROWS_AS(Held(0, 8, 0), Error);
}

}  // namespace
}  // namespace nat::test
