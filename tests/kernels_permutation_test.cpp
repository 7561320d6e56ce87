// The permutation of targets as a batch sees it (kernels/permutation.h).
#include "kernels/permutation.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "kernels/random.h"
#include "tests/opcases/device.h"
#include "tests/opcases/tensor.h"

namespace nat::test {
namespace {

// A shuffled 0..n-1: the order of random words.
std::vector<double> shuffled(std::int64_t n, std::uint32_t part) {
  std::vector<std::uint32_t> key(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < key.size(); ++i) {
    key[i] = philox(3, RandomStream::synthetic, part, i).value[0];
  }
  std::vector<double> order(key.size());
  std::iota(order.begin(), order.end(), 0.0);
  std::sort(order.begin(), order.end(), [&](double a, double b) {
    return key[static_cast<std::size_t>(a)] < key[static_cast<std::size_t>(b)];
  });
  return order;
}

struct Example {
  Tensor row_of_image, ids, column_of_row, held, moved;

  Example(std::int64_t images, std::int64_t n)
      : row_of_image(Shape(images), DType::i32),
        ids(Shape(n), DType::i32),
        column_of_row(Shape(n), DType::i32),
        held(Shape(n), DType::i32),
        moved(Shape(1), DType::i32) {
    row_of_image.assign(shuffled(images, 0));
    std::vector<double> some = shuffled(images, 1);
    some.resize(static_cast<std::size_t>(n));
    ids.assign(some);
    column_of_row.assign(shuffled(n, 2));
  }
  std::int64_t id(std::int64_t i) const { return static_cast<std::int64_t>(ids.get(i)); }
  bool canaries_intact() const {
    return row_of_image.canaries_intact() && held.canaries_intact() && moved.canaries_intact();
  }
};

TEST_CASE("a batch holds the rows of its images") {
  Context ctx(kDevice);
  for (const std::int64_t n : {1, 31, 256, 1000}) {
    CAPTURE(n);
    Example example(1003, n);
    held_targets(ctx, example.row_of_image.view(), example.ids.view(), example.held.view());
    for (std::int64_t i = 0; i < n; ++i) {
      CHECK(example.held.get(i) == example.row_of_image.get(example.id(i)));
    }
    CHECK(example.canaries_intact());
  }
}

TEST_CASE("an exchange moves rows between the images of the batch and touches no other") {
  Context ctx(kDevice);
  for (const std::int64_t n : {1, 2, 33, 256, 1000}) {
    CAPTURE(n);
    Example example(1003, n);
    held_targets(ctx, example.row_of_image.view(), example.ids.view(), example.held.view());
    const std::vector<double> before = example.held.values();
    std::vector<double> expected = example.row_of_image.values();
    double moved = 0;
    for (std::int64_t i = 0; i < n; ++i) {
      const double row = before[static_cast<std::size_t>(example.column_of_row.get(i))];
      expected[static_cast<std::size_t>(example.id(i))] = row;
      if (row != before[static_cast<std::size_t>(i)]) ++moved;
    }
    exchange_targets(ctx, example.ids.view(), example.column_of_row.view(),
                     example.row_of_image.view(), example.held.view(), example.moved.view());
    CHECK(example.row_of_image.values() == expected);
    CHECK(example.moved.get(0) == moved);
    for (std::int64_t i = 0; i < n; ++i) {
      CHECK(example.held.get(i) == example.row_of_image.get(example.id(i)));
    }
    CHECK(example.canaries_intact());
  }
}

TEST_CASE("the identity exchanges nothing") {
  Context ctx(kDevice);
  Example example(100, 64);
  std::vector<double> identity(64);
  std::iota(identity.begin(), identity.end(), 0.0);
  example.column_of_row.assign(identity);
  held_targets(ctx, example.row_of_image.view(), example.ids.view(), example.held.view());
  const std::vector<double> before = example.row_of_image.values();
  exchange_targets(ctx, example.ids.view(), example.column_of_row.view(),
                   example.row_of_image.view(), example.held.view(), example.moved.view());
  CHECK(example.row_of_image.values() == before);
  CHECK(example.moved.get(0) == 0);
}

}  // namespace
}  // namespace nat::test
