// Winograd's convolution on the CPU: its matrices, and which tile serves which convolution. What it
// computes is compared with the formula in kernels_conv2d_test.cpp.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "kernels/cpu/lanes.h"
#include "kernels/cpu/winograd/toom_cook.h"
#include "kernels/cpu/winograd/winograd.h"
#include "kernels/cpu_info.h"
#include "tests/opcases/tensor.h"

namespace nat::test {
namespace {

using Values = std::vector<double>;

template <class Matrix>
Values times(const Matrix& matrix, const Values& vector) {
  Values result;
  for (const auto& row : matrix) {
    REQUIRE(row.size() == vector.size());
    double sum = 0;
    for (std::size_t j = 0; j < row.size(); ++j) sum += static_cast<double>(row[j]) * vector[j];
    result.push_back(sum);
  }
  return result;
}

Values product(Values a, const Values& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] *= b[i];
  return a;
}

// The elements of G are rounded to float, so results are as exact as that.
void check_close(const Values& actual, const Values& expected) {
  REQUIRE(actual.size() == expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    CHECK(std::abs(actual[i] - expected[i]) <= 1e-5);
  }
}

// The correlation of `data` with `taps`, wherever they cover each other.
Values correlation(const Values& data, const Values& taps) {
  Values result(data.size() - taps.size() + 1);
  for (std::size_t i = 0; i < result.size(); ++i) {
    for (std::size_t k = 0; k < taps.size(); ++k) result[i] += data[i + k] * taps[k];
  }
  return result;
}

template <std::size_t kOutputs, std::size_t kTaps>
void check_matrices() {
  CAPTURE(kOutputs);
  CAPTURE(kTaps);
  using Maps = cpu::ToomCook<kOutputs, kTaps>;
  const Values data = random_values(1, Maps::kTile), taps = random_values(2, kTaps),
               gradients = random_values(3, kOutputs);
  check_close(times(Maps::Outputs::matrix,
                    product(times(Maps::Taps::matrix, taps), times(Maps::Data::matrix, data))),
              correlation(data, taps));
  // The gradient with respect to tap k is sum_i dy_i d_{i+k}.
  check_close(
      times(Maps::TapGradients::matrix, product(times(Maps::OutputGradients::matrix, gradients),
                                                times(Maps::Data::matrix, data))),
      correlation(data, gradients));
}

std::string tile_of(const Conv2d& conv, const Shape& x, std::int64_t channels,
                    DType dtype = DType::f32) {
  const Shape y = conv2d_output(conv, x, channels);
  const auto tile =
      cpu::winograd_tile(conv, ConstView(nullptr, dtype, x), ConstView(nullptr, dtype, y));
  return tile ? cpu::winograd_name(tile) : "none";
}

}  // namespace

TEST_CASE("the matrices of every tile give the correlation and its gradient") {
  check_matrices<4, 3>();
  check_matrices<5, 3>();
  check_matrices<6, 3>();
  check_matrices<3, 5>();
  check_matrices<4, 5>();
}

TEST_CASE("the tile with the fewest multiplications is taken") {
  const std::int64_t c = 32;
  CHECK(tile_of({3, 1, 1}, {1, 7, 7, c}, c) == "Winograd F(4x4, 3x3)");
  CHECK(tile_of({3, 1, 1}, {1, 13, 13, c}, c) == "Winograd F(5x5, 3x3)");
  CHECK(tile_of({3, 1, 1}, {1, 14, 14, c}, c) == "Winograd F(5x5, 3x3)");
  CHECK(tile_of({3, 1, 1}, {1, 18, 18, c}, c) == "Winograd F(6x6, 3x3)");
  CHECK(tile_of({5, 1, 2}, {1, 9, 9, c}, c) == "Winograd F(3x3, 5x5)");
  CHECK(tile_of({5, 1, 2}, {1, 27, 27, c}, c) == "Winograd F(4x4, 5x5)");
  CHECK(tile_of({5, 1, 4}, {1, 1, 1, c}, c) != "none");
}

TEST_CASE("other convolutions have no tile") {
  const std::int64_t c = 32;
  CHECK(tile_of({1, 1, 0}, {1, 7, 7, c}, c) == "none");
  CHECK(tile_of({7, 1, 3}, {1, 7, 7, c}, c) == "none");
  CHECK(tile_of({3, 2, 1}, {1, 7, 7, c}, c) == "none");
  CHECK(tile_of({3, 1, 3}, {1, 7, 7, c}, c) == "none");  // its gradient has negative padding
  CHECK(tile_of({3, 1, 1}, {1, 7, 7, cpu::kLanes / 2}, c) == "none");
  CHECK(tile_of({3, 1, 1}, {1, 7, 7, c}, cpu::kLanes + 1) == "none");
  // AMX tiles multiply bfloat16 many times as fast.
  CHECK(tile_of({3, 1, 1}, {1, 7, 7, c}, c, DType::bf16) ==
        (cpu_info().amx ? "none" : "Winograd F(4x4, 3x3)"));
  CHECK(tile_of({3, 1, 1}, {1, 7, 7, c}, c, DType::f64) == "none");
}

}  // namespace nat::test
