#include "tests/opcases/tensor.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>

#include "tests/opcases/device.h"

namespace nat::test {

namespace {
constexpr unsigned char kCanaryByte = 0xA5;
}

Bytes::Bytes(std::size_t size) : size_(size), buffer_(kDevice, size, "a test tensor") {}

Bytes::Bytes(const Bytes& other) : Bytes(other.size_) { std::memcpy(data(), other.data(), size_); }

Bytes& Bytes::operator=(Bytes other) noexcept {
  size_ = other.size_;
  buffer_ = std::move(other.buffer_);
  return *this;
}

Tensor::Tensor(Shape shape, DType dtype)
    : shape_(shape),
      dtype_(dtype),
      bytes_(static_cast<std::size_t>(size()) * size_of(dtype) + 2 * kCanary) {
  std::memset(bytes_.data(), kCanaryByte, bytes_.size());
  poison();
}

void Tensor::poison() {
  const bool real = dtype_ == DType::f32 || dtype_ == DType::f64 || dtype_ == DType::bf16;
  if (real) {
    for (std::int64_t i = 0; i < size(); ++i) set(i, std::numeric_limits<double>::quiet_NaN());
  } else {
    std::memset(data(), 0xCC, static_cast<std::size_t>(size()) * size_of(dtype_));
  }
}

double Tensor::get(std::int64_t i) const {
  switch (dtype_) {
    case DType::f32:
      return static_cast<double>(static_cast<const float*>(data())[i]);
    case DType::f64:
      return static_cast<const double*>(data())[i];
    case DType::bf16:
      return static_cast<double>(to_float(static_cast<const BFloat16*>(data())[i]));
    case DType::i32:
      return static_cast<const std::int32_t*>(data())[i];
    case DType::u8:
      return static_cast<const std::uint8_t*>(data())[i];
  }
  return 0;
}

void Tensor::set(std::int64_t i, double value) {
  switch (dtype_) {
    case DType::f32:
      static_cast<float*>(data())[i] = static_cast<float>(value);
      break;
    case DType::f64:
      static_cast<double*>(data())[i] = value;
      break;
    case DType::bf16:
      static_cast<BFloat16*>(data())[i] = to_bfloat16(static_cast<float>(value));
      break;
    case DType::i32:
      static_cast<std::int32_t*>(data())[i] = static_cast<std::int32_t>(value);
      break;
    case DType::u8:
      static_cast<std::uint8_t*>(data())[i] = static_cast<std::uint8_t>(value);
      break;
  }
}

std::vector<double> Tensor::values() const {
  std::vector<double> out(static_cast<std::size_t>(size()));
  for (std::int64_t i = 0; i < size(); ++i) out[static_cast<std::size_t>(i)] = get(i);
  return out;
}

void Tensor::assign(const std::vector<double>& values) {
  assert(static_cast<std::int64_t>(values.size()) == size());
  for (std::int64_t i = 0; i < size(); ++i) set(i, values[static_cast<std::size_t>(i)]);
}

Tensor& Tensor::fill_uniform(std::uint64_t seed, double low, double high) {
  for (std::int64_t i = 0; i < size(); ++i) {
    const auto word =
        philox(seed, RandomStream::synthetic, 0, static_cast<std::uint64_t>(i)).value[0];
    set(i, low + (high - low) * static_cast<double>(uniform(word)));
  }
  return *this;
}

Tensor& Tensor::fill_grid(std::uint64_t seed, double low, double step) {
  std::vector<std::int64_t> rank(static_cast<std::size_t>(size()));
  for (std::size_t i = 0; i < rank.size(); ++i) rank[i] = static_cast<std::int64_t>(i);
  for (std::size_t i = rank.size(); i > 1; --i) {
    const auto word = philox(seed, RandomStream::synthetic, 1, i).value[0];
    std::swap(rank[i - 1], rank[word % i]);
  }
  for (std::int64_t i = 0; i < size(); ++i) {
    set(i, low + step * static_cast<double>(rank[static_cast<std::size_t>(i)]));
  }
  return *this;
}

Tensor& Tensor::fill(double value) {
  for (std::int64_t i = 0; i < size(); ++i) set(i, value);
  return *this;
}

bool Tensor::canaries_intact() const {
  const auto intact = [](unsigned char byte) { return byte == kCanaryByte; };
  const unsigned char *begin = bytes_.data(), *end = begin + bytes_.size();
  return std::all_of(begin, begin + kCanary, intact) && std::all_of(end - kCanary, end, intact);
}

bool close(const char* what, const Tensor& actual, const std::vector<double>& expected,
           const std::function<double(std::int64_t)>& bound) {
  if (static_cast<std::int64_t>(expected.size()) != actual.size() || !actual.canaries_intact()) {
    std::fprintf(stderr, "%s: size or canaries are wrong\n", what);
    return false;
  }
  double worst = 0;
  std::int64_t worst_at = -1;
  for (std::int64_t i = 0; i < actual.size(); ++i) {
    const double error = std::abs(actual.get(i) - expected[static_cast<std::size_t>(i)]);
    const double ratio = error == 0 ? 0 : error / bound(i);
    if (!(ratio <= worst)) {  // NaN is the worst of all
      worst = ratio;
      worst_at = i;
      if (std::isnan(ratio)) break;
    }
  }
  if (worst_at < 0 || worst <= 1) return true;
  std::fprintf(stderr, "%s: element %lld is %.9g, expected %.9g, off by %.3g x the bound\n", what,
               static_cast<long long>(worst_at), actual.get(worst_at),
               expected[static_cast<std::size_t>(worst_at)], worst);
  return false;
}

double gradient_error(const std::function<double()>& objective, Tensor& variable,
                      const std::vector<double>& analytic) {
  assert(variable.dtype() == DType::f64);
  double scale = 1e-3;
  for (double value : analytic) scale = std::max(scale, std::abs(value));
  double worst = 0;
  for (std::int64_t i = 0; i < variable.size(); ++i) {
    const double x = variable.get(i);
    const double h = 1e-5 * std::max(1.0, std::abs(x));
    variable.set(i, x + h);
    const double above = objective();
    variable.set(i, x - h);
    const double below = objective();
    variable.set(i, x);
    const double numeric = (above - below) / (2 * h);
    const double error = std::abs(numeric - analytic[static_cast<std::size_t>(i)]) / scale;
    if (!(error <= worst)) worst = error;
    if (std::isnan(error)) return error;
  }
  return worst;
}

double dot(const Tensor& a, const std::vector<double>& weights) {
  double total = 0;
  for (std::int64_t i = 0; i < a.size(); ++i)
    total += a.get(i) * weights[static_cast<std::size_t>(i)];
  return total;
}

std::vector<double> random_values(std::uint64_t seed, std::int64_t count) {
  std::vector<double> out(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i] =
        2 * static_cast<double>(uniform(philox(seed, RandomStream::synthetic, 2, i).value[0])) - 1;
  }
  return out;
}

double unit_roundoff(DType dtype) {
  switch (dtype) {
    case DType::f64:
      return 0x1p-53;
    case DType::bf16:
      return 0x1p-8;
    default:
      return 0x1p-24;
  }
}

}  // namespace nat::test
