// Tensors for tests: host memory with canaries on both sides, poisoned with NaN until written, and
// element access by logical index whatever the dtype. The device under test
// reaches the memory, too (page-locked for CUDA), so that the same test serves every device.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/memory.h"
#include "kernels/random.h"
#include "kernels/view.h"

namespace nat::test {

// A HostBuffer that can be copied. The host does not wait before it reads: on a GPU these tests run
// with CUDA_LAUNCH_BLOCKING=1.
class Bytes {
 public:
  explicit Bytes(std::size_t size);
  Bytes(const Bytes& other);
  Bytes(Bytes&&) noexcept = default;
  Bytes& operator=(Bytes other) noexcept;

  std::size_t size() const { return size_; }
  unsigned char* data() const { return buffer_.as<unsigned char>(); }

 private:
  std::size_t size_;
  HostBuffer buffer_;
};

class Tensor {
 public:
  // Integer tensors start as 0xCC bytes.
  Tensor(Shape shape, DType dtype);

  View view() { return {data(), dtype_, shape_}; }
  ConstView view() const { return {data(), dtype_, shape_}; }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  std::int64_t size() const { return shape_.elements(); }

  // `i` counts elements in row-major order (n, h, w, c).
  double get(std::int64_t i) const;
  void set(std::int64_t i, double value);  // rounds to the dtype
  std::vector<double> values() const;
  void assign(const std::vector<double>& values);
  void poison();

  Tensor& fill_uniform(std::uint64_t seed, double low, double high);
  // A shuffled grid low, low + step, ...: all values differ by at least `step`, for kinks and ties.
  Tensor& fill_grid(std::uint64_t seed, double low, double step);
  Tensor& fill(double value);

  bool canaries_intact() const;

 private:
  const void* data() const { return bytes_.data() + kCanary; }
  void* data() { return bytes_.data() + kCanary; }

  static constexpr std::size_t kCanary = 256;
  Shape shape_;
  DType dtype_;
  Bytes bytes_;
};

// Compares element by element against |actual - expected| <= bound(i); prints the worst offender.
// Returns false (after doctest-friendly output to stderr) on the first tensor with any violation,
// NaN included.
bool close(const char* what, const Tensor& actual, const std::vector<double>& expected,
           const std::function<double(std::int64_t)>& bound);

// Central differences of `objective` with respect to every element of the f64 tensor `variable`,
// h = 1e-5 max(1, |x|), against `analytic`. Returns max |numeric - analytic| / max(|analytic|_max,
// 1e-3).
double gradient_error(const std::function<double()>& objective, Tensor& variable,
                      const std::vector<double>& analytic);

// sum_i a_i weights_i, the objective <y, r> of gradient checks (a plain sum hides sign errors).
double dot(const Tensor& a, const std::vector<double>& weights);

// Fixed pseudo-random weights in [-1, 1].
std::vector<double> random_values(std::uint64_t seed, std::int64_t count);

// Machine epsilon of a storage type (half an ulp at 1): f32 2^-24, bf16 2^-8, f64 2^-53.
double unit_roundoff(DType dtype);

}  // namespace nat::test
