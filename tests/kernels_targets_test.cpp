// Rows of the target matrix (kernels/targets.h).
#include "kernels/targets.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/opcases/determinism.h"
#include "tests/opcases/device.h"
#include "tests/reference/targets.h"

namespace nat::test {
namespace {

Tensor ids_of(const std::vector<double>& values) {
  Tensor ids(Shape(static_cast<std::int64_t>(values.size())), DType::i32);
  ids.assign(values);
  return ids;
}

Tensor first_ids(std::int64_t n) {
  Tensor ids(Shape(n), DType::i32);
  for (std::int64_t i = 0; i < n; ++i) ids.set(i, static_cast<double>(i));
  return ids;
}

Tensor make_targets(std::uint64_t seed, const Tensor& ids, std::int64_t d, DType dtype = DType::f32,
                    TargetKind kind = TargetKind::sphere) {
  Context ctx(kDevice);
  Tensor targets(Shape(ids.size(), d), dtype);
  target_rows(ctx, kind, seed, ids.view(), targets.view());
  CHECK(targets.canaries_intact());
  return targets;
}

// Dot product of rows i and k.
double row_product(const Tensor& t, std::int64_t i, std::int64_t k) {
  const std::int64_t d = t.shape()[1];
  double total = 0;
  for (std::int64_t j = 0; j < d; ++j) total += t.get(i * d + j) * t.get(k * d + j);
  return total;
}

// A seed and a row whose first radius is exactly zero, one row in 2^24.
constexpr std::uint64_t kZeroSeed = 1;
constexpr double kZeroRow = 12643222;

TEST_CASE("target rows have exactly the documented bits, in f32 and f64, for any dimension") {
  const std::vector<double> rows = {0, 1, 41, 65535, 65536, 1281166, 2147483647};
  const std::uint64_t seed = 0x123456789abcdef0u;
  for (const std::int64_t d : {1, 2, 3, 4, 5, 31, 32, 33, 63, 64, 65, 127, 2048, 2049}) {
    CAPTURE(d);
    const Tensor f32 = make_targets(seed, ids_of(rows), d);
    const Tensor f64 = make_targets(seed, ids_of(rows), d, DType::f64);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const std::vector<float> expected = reference::target_row(
          seed, static_cast<std::int32_t>(rows[i]), static_cast<std::size_t>(d));
      std::int64_t different = 0;
      for (std::int64_t j = 0; j < d; ++j) {
        const auto value = static_cast<double>(expected[static_cast<std::size_t>(j)]);
        const std::int64_t at = static_cast<std::int64_t>(i) * d + j;
        if (f32.get(at) != value || f64.get(at) != value) ++different;
      }
      CHECK(different == 0);
    }
  }
}

TEST_CASE("the longest rows have the documented bits, too") {
  for (const std::int64_t d : {12288, 12289, 1 << 17}) {
    CAPTURE(d);
    const Tensor targets = make_targets(5, ids_of({77}), d);
    const std::vector<float> expected = reference::target_row(5, 77, static_cast<std::size_t>(d));
    std::int64_t different = 0;
    for (std::int64_t j = 0; j < d; ++j) {
      const auto value = static_cast<double>(expected[static_cast<std::size_t>(j)]);
      if (targets.get(j) != value) ++different;
    }
    CHECK(different == 0);
  }
}

TEST_CASE("CUDA and the CPU make the same bits" * doctest::skip(!kOnCuda)) {
  Context host;
  for (const TargetKind kind : {TargetKind::sphere, TargetKind::basis}) {
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Tensor ids = first_ids(300), targets = make_targets(8, ids, 130, dtype, kind);
      Tensor from_host(targets.shape(), dtype);
      target_rows(host, kind, 8, ids.view(), from_host.view());
      CHECK(same_bits(targets, from_host));
    }
  }
}

TEST_CASE("target rows have unit norm to 1e-6") {
  for (const std::int64_t d : {1, 2, 7, 64, 2048}) {
    CAPTURE(d);
    const Tensor targets = make_targets(3, first_ids(64), d);
    double worst = 0;
    for (std::int64_t i = 0; i < 64; ++i) {
      worst = std::max(worst, std::abs(std::sqrt(row_product(targets, i, i)) - 1));
    }
    CHECK(worst <= 1e-6);
  }
}

TEST_CASE("a row of zero normals becomes the first unit vector") {
  const Tensor plane = make_targets(kZeroSeed, ids_of({kZeroRow}), 2);
  CHECK(plane.get(0) == 1);
  CHECK(plane.get(1) == 0);
  CHECK(make_targets(kZeroSeed, ids_of({kZeroRow}), 1).get(0) == 1);
}

TEST_CASE("target rows are spread evenly: mean near 0, pairwise products with variance 1/d") {
  const std::int64_t n = 512, d = 64;
  const auto dim = static_cast<double>(d);
  const Tensor targets = make_targets(9, first_ids(n), d);

  // |mean|^2 of n independent unit vectors is 1/n on average; its standard deviation is
  // sqrt(2/d)/n times sqrt(1 - 1/n).
  double mean_squared = 0;
  for (std::int64_t j = 0; j < d; ++j) {
    double mean = 0;
    for (std::int64_t i = 0; i < n; ++i) mean += targets.get(i * d + j) / static_cast<double>(n);
    mean_squared += mean * mean;
  }
  CHECK(std::abs(mean_squared * static_cast<double>(n) - 1) <= 4 * std::sqrt(2 / dim));

  // s = c_i . c_k: E s = 0, E s^2 = 1/d, E s^4 = 3 / (d (d + 2)); the products of different pairs
  // are uncorrelated.
  double sum = 0, squares = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    for (std::int64_t k = 0; k < i; ++k) {
      const double s = row_product(targets, i, k);
      sum += s;
      squares += s * s;
    }
  }
  const double pairs = static_cast<double>(n * (n - 1) / 2);
  const double variance_of_square = 3 / (dim * (dim + 2)) - 1 / (dim * dim);
  CHECK(std::abs(sum / pairs) <= 4 * std::sqrt(1 / dim / pairs));
  CHECK(std::abs(squares / pairs - 1 / dim) <= 4 * std::sqrt(variance_of_square / pairs));
}

TEST_CASE("a target row is the same whatever batch it is asked in") {
  const std::int64_t d = 100;
  const Tensor batch = make_targets(4, ids_of({7, 3, 99999, 3}), d);
  const Tensor alone = make_targets(4, ids_of({3}), d);
  std::int64_t different = 0;
  for (std::int64_t j = 0; j < d; ++j) {
    if (batch.get(d + j) != alone.get(j) || batch.get(3 * d + j) != alone.get(j)) ++different;
  }
  CHECK(different == 0);
}

TEST_CASE("another seed gives unrelated targets") {
  const std::int64_t n = 256, d = 64;
  const Tensor a = make_targets(1, first_ids(n), d), b = make_targets(2, first_ids(n), d);
  double total = 0;
  for (std::int64_t i = 0; i < n * d; ++i) total += a.get(i) * b.get(i);
  CHECK(std::abs(total / static_cast<double>(n)) <= 4 / std::sqrt(static_cast<double>(n * d)));
}

TEST_CASE("row j of the basis is one at column j mod d and zero elsewhere, whatever the seed") {
  const std::vector<double> rows = {0, 1, 41, 65535, 65536, 1281166, 2147483647};
  for (const std::int64_t d : {1, 2, 7, 255, 256, 257, 2049, 1 << 17}) {
    CAPTURE(d);
    for (const DType dtype : {DType::f32, DType::f64}) {
      const Tensor targets = make_targets(3, ids_of(rows), d, dtype, TargetKind::basis);
      std::int64_t different = 0;
      for (std::int64_t i = 0; i < std::ssize(rows); ++i) {
        const std::int64_t one = static_cast<std::int64_t>(rows[static_cast<std::size_t>(i)]) % d;
        for (std::int64_t j = 0; j < d; ++j) {
          if (targets.get(i * d + j) != (j == one ? 1 : 0)) ++different;
        }
      }
      CHECK(different == 0);
      CHECK(same_bits(targets, make_targets(4, ids_of(rows), d, dtype, TargetKind::basis)));
    }
  }
}

TEST_CASE("one thread and two threads give the same targets") {
  const Tensor ids = first_ids(300);
  Tensor one(Shape(300, 200), DType::f32), two(Shape(300, 200), DType::f32);
  Context ctx(kDevice);
  for (const TargetKind kind : {TargetKind::sphere, TargetKind::basis}) {
    with_threads(1, [&] { target_rows(ctx, kind, 6, ids.view(), one.view()); });
    with_threads(2, [&] { target_rows(ctx, kind, 6, ids.view(), two.view()); });
    CHECK(same_bits(one, two));
  }
}

TEST_CASE("more columns than the counter has room for are refused, of either kind") {
  Context ctx(kDevice);
  const Tensor ids = first_ids(1);
  Tensor targets(Shape(1, (1 << 17) + 1), DType::f32);
  for (const TargetKind kind : {TargetKind::sphere, TargetKind::basis}) {
    CHECK_THROWS_AS(target_rows(ctx, kind, 6, ids.view(), targets.view()), Error);
  }
}

}  // namespace
}  // namespace nat::test
