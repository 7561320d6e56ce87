// View and ConstView: a pointer with a data type and a shape. Views never own memory.
//
// Everything is row-major, and images are stored channels-last (NHWC):
//
//   element (n, h, w, c)  at  ((n * H + h) * W + w) * C + c
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "kernels/check.h"
#include "kernels/host_device.h"

namespace nat {

enum class DType : std::uint8_t { f32, f64, bf16, i32, u8 };

constexpr std::size_t size_of(DType type) {
  switch (type) {
    case DType::f32:
      return 4;
    case DType::f64:
      return 8;
    case DType::bf16:
      return 2;
    case DType::i32:
      return 4;
    case DType::u8:
      return 1;
  }
  return 0;
}

const char* name(DType type);

// The dtype of parameters, statistics and sums beside activations of this dtype.
constexpr DType parameter_dtype(DType activation) {
  return activation == DType::f64 ? DType::f64 : DType::f32;
}

// Up to four sizes: {n}, {rows, columns} or {n, height, width, channels}.
struct Shape {
  int rank = 0;
  std::array<std::int64_t, 4> dim{};

  constexpr Shape() = default;
  constexpr Shape(std::int64_t a) : rank(1), dim{a} {}  // NOLINT(google-explicit-constructor)
  constexpr Shape(std::int64_t rows, std::int64_t columns) : rank(2), dim{rows, columns} {}
  constexpr Shape(std::int64_t n, std::int64_t h, std::int64_t w, std::int64_t c)
      : rank(4), dim{n, h, w, c} {}

  constexpr std::int64_t operator[](int i) const { return dim[static_cast<std::size_t>(i)]; }
  constexpr std::int64_t elements() const {
    std::int64_t product = 1;
    for (int i = 0; i < rank; ++i) product *= dim[static_cast<std::size_t>(i)];
    return product;
  }
  // Elements of one row (everything but the first dimension).
  constexpr std::int64_t row() const { return dim[0] == 0 ? 0 : elements() / dim[0]; }
  constexpr std::int64_t channels() const { return dim[static_cast<std::size_t>(rank - 1)]; }
  friend constexpr bool operator==(const Shape&, const Shape&) = default;
};

std::string to_string(const Shape& shape);  // "256x28x28x2"

template <class Pointer>
struct BasicView {
  Pointer data = nullptr;
  DType dtype = DType::f32;
  Shape shape;

  constexpr BasicView() = default;
  constexpr BasicView(Pointer data_, DType dtype_, Shape shape_)
      : data(data_), dtype(dtype_), shape(shape_) {}
  // A View converts to a ConstView, never back. NOLINTBEGIN(google-explicit-constructor)
  template <class Other>
  requires(std::is_const_v<std::remove_pointer_t<Pointer>> &&
           !std::is_const_v<
               std::remove_pointer_t<Other>>) constexpr BasicView(const BasicView<Other>& other)
      : data(other.data), dtype(other.dtype), shape(other.shape) {}
  // NOLINTEND(google-explicit-constructor)

  constexpr bool empty() const { return data == nullptr; }
  constexpr std::size_t bytes() const {
    return static_cast<std::size_t>(shape.elements()) * size_of(dtype);
  }
  template <class T>
  auto as() const {
    if constexpr (std::is_const_v<std::remove_pointer_t<Pointer>>) {
      return static_cast<const T*>(data);
    } else {
      return static_cast<T*>(data);
    }
  }
};

using View = BasicView<void*>;
using ConstView = BasicView<const void*>;

// The rows [begin, end) of a view, and a view seen as a matrix.
View rows(View view, std::int64_t begin, std::int64_t end);
ConstView rows(ConstView view, std::int64_t begin, std::int64_t end);
template <class Pointer>
BasicView<Pointer> as_matrix(BasicView<Pointer> view) {
  return {view.data, view.dtype, Shape(view.shape[0], view.shape.row())};
}

// bfloat16 is the upper half of a float32; arithmetic happens in float32.
struct BFloat16 {
  std::uint16_t bits;
};
NAT_HOST_DEVICE constexpr float to_float(BFloat16 value) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(value.bits) << 16);
}
// Round to nearest, ties to even; NaN stays NaN.
NAT_HOST_DEVICE constexpr BFloat16 to_bfloat16(float value) {
  const auto bits = __builtin_bit_cast(std::uint32_t, value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>((bits >> 16) | 0x40u)};
  return {static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}
// The same with a single rounding. Here double -> float is rounded to odd: an inexact result is
// truncated and its last bit set, which no later tie can mistake for an exact value.
NAT_HOST_DEVICE constexpr BFloat16 to_bfloat16(double value) {
  const auto nearest = static_cast<float>(value);
  const auto widened = static_cast<double>(nearest);
  auto bits = __builtin_bit_cast(std::uint32_t, nearest);
  const bool away_from_zero = value < 0 ? widened < value : widened > value;
  if (away_from_zero) --bits;
  if (widened != value) bits |= 1u;
  return to_bfloat16(__builtin_bit_cast(float, bits));
}

}  // namespace nat
