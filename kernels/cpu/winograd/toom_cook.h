// The matrices of Winograd's convolution F(m, r): m neighbouring outputs of a correlation with r
// taps by t = m + r - 1 multiplications instead of m r (Winograd 1980; Lavin and Gray 2016). For
// data d (t), taps g (r) and outputs y (m), with o for the product of elements,
//
//   y_i = sum_k g_k d_{i+k}          is          y = A' [(G g) o (B' d)]
//
// It is the transpose of a product of polynomials as Toom and Cook compute it: evaluate both at
// t - 1 points and at infinity, multiply the values, interpolate. A has a row (1, p, p^2, ...) for
// each point p, G the same divided by the product of p's distances to the other points, and B' the
// coefficients of the polynomial whose roots are the other points. The row of infinity takes the
// highest coefficient in A and G, and in B' the polynomial whose roots are all points.
//
// Two-dimensional tiles are transformed by columns and by rows: Y = A' [(G g G') o (B' d B)] A. The
// gradient with respect to the taps is the transposed map, G' [(A dy A') o (B' d B)] G.
#pragma once

#include <array>
#include <cstddef>

namespace nat::cpu {

template <std::size_t kRows, std::size_t kColumns>
using Matrix = std::array<std::array<float, kColumns>, kRows>;

template <std::size_t kRows, std::size_t kColumns>
constexpr auto transposed(const Matrix<kRows, kColumns>& matrix) {
  Matrix<kColumns, kRows> result{};
  for (std::size_t i = 0; i < kRows; ++i) {
    for (std::size_t j = 0; j < kColumns; ++j) result[j][i] = matrix[i][j];
  }
  return result;
}

// The finite points of a tile with kCount of them: of multiples of 1/8 up to 3, in pairs p and -p
// as far as they go, among those that let rounding errors grow least (the gain in the bound of
// tests/kernels_conv2d_test.cpp), with 5 points to a quarter of that at 0, 1, -1, 2, -2.
template <std::size_t kCount>
constexpr std::array<double, kCount> points() {
  if constexpr (kCount == 5) return {0, 0.625, -0.625, 1.5, -1.5};
  if constexpr (kCount == 6) return {0, 0.5, -0.5, 1.125, -1.125, 2.625};
  if constexpr (kCount == 7) return {0, 0.5, -0.5, 1, -1, 2, -2};
}

template <std::size_t kOutputs, std::size_t kTaps>
struct ToomCook {
  static constexpr std::size_t kTile = kOutputs + kTaps - 1;
  static constexpr std::size_t kFinite = kTile - 1;  // points, without infinity
  static constexpr auto kPoints = points<kFinite>();

  static constexpr double distances(std::size_t point) {
    double product = 1;
    for (std::size_t k = 0; k < kFinite; ++k) {
      if (k != point) product *= kPoints[point] - kPoints[k];
    }
    return product;
  }

  // Coefficients of the product of (x - p) over all points but `left_out`.
  static constexpr auto polynomial(std::size_t left_out) {
    std::array<double, kTile> coefficients{1};
    std::size_t degree = 0;
    for (std::size_t k = 0; k < kFinite; ++k) {
      if (k == left_out) continue;
      ++degree;
      for (std::size_t i = degree; i > 0; --i) {
        coefficients[i] = coefficients[i - 1] - kPoints[k] * coefficients[i];
      }
      coefficients[0] *= -kPoints[k];
    }
    return coefficients;
  }

  template <std::size_t kPowers>
  static constexpr auto powers(bool divided) {
    Matrix<kTile, kPowers> result{};
    for (std::size_t i = 0; i < kFinite; ++i) {
      double power = divided ? 1 / distances(i) : 1;
      for (std::size_t j = 0; j < kPowers; ++j, power *= kPoints[i]) {
        result[i][j] = static_cast<float>(power);
      }
    }
    result[kFinite][kPowers - 1] = 1;
    return result;
  }

  static constexpr auto data() {  // B'
    Matrix<kTile, kTile> result{};
    for (std::size_t i = 0; i < kTile; ++i) {
      const auto coefficients = polynomial(i);  // no finite point is number kFinite
      for (std::size_t j = 0; j < kTile; ++j) result[i][j] = static_cast<float>(coefficients[j]);
    }
    return result;
  }

  // The five linear maps of a tile, each by a type that carries its matrix: compilers unroll them.
  struct Data {
    static constexpr auto matrix = data();  // B'
  };
  struct Taps {
    static constexpr auto matrix = powers<kTaps>(true);  // G
  };
  struct Outputs {
    static constexpr auto matrix = transposed(powers<kOutputs>(false));  // A'
  };
  struct OutputGradients {
    static constexpr auto matrix = powers<kOutputs>(false);  // A
  };
  struct TapGradients {
    static constexpr auto matrix = transposed(powers<kTaps>(true));  // G'
  };
};

}  // namespace nat::cpu
