// Device tensors with contents for the benchmarks. Values are random: zeros would make products
// faster than they are, because they switch fewer transistors and so raise the clock.
#pragma once

#include <vector>

#include "kernels/cast.h"
#include "kernels/memory.h"
#include "kernels/random.h"

namespace nat::bench {

class DeviceTensor {
 public:
  DeviceTensor(Context& ctx, Shape shape, DType dtype)
      : memory_(ctx.device, View(nullptr, dtype, shape).bytes(), "benchmark"),
        view_(memory_.data(), dtype, shape) {}
  View view() const { return view_; }

 private:
  Buffer memory_;
  View view_;
};

// Uniform in [low, high). A block of values is drawn and repeated; its length is prime, so that
// repetitions fall differently into the rows of any tensor.
inline std::vector<float> random_floats(std::int64_t count, std::uint64_t seed, float low,
                                        float high) {
  constexpr std::int64_t kBlock = 1048583;
  std::vector<float> values(static_cast<std::size_t>(count));
  const std::int64_t drawn = std::min(count, kBlock);
  for (std::int64_t i = 0; i < drawn; ++i) {
    const auto at = static_cast<std::uint64_t>(i);
    const Random4 words = philox(seed, RandomStream::synthetic, 0, at / 4);
    values[at] = low + (high - low) * uniform(words.value[at % 4]);
  }
  for (std::int64_t i = drawn; i < count; ++i) {
    values[static_cast<std::size_t>(i)] = values[static_cast<std::size_t>(i - kBlock)];
  }
  return values;
}

// Host values as they lie in a tensor of this type.
inline std::vector<char> encode(const std::vector<float>& values, DType dtype) {
  std::vector<char> bytes(values.size() * size_of(dtype));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::f32) reinterpret_cast<float*>(bytes.data())[i] = values[i];
    if (dtype == DType::bf16) reinterpret_cast<BFloat16*>(bytes.data())[i] = to_bfloat16(values[i]);
    if (dtype == DType::u8) bytes[i] = static_cast<char>(static_cast<std::uint8_t>(values[i]));
    if (dtype == DType::i32) {
      reinterpret_cast<std::int32_t*>(bytes.data())[i] = static_cast<std::int32_t>(values[i]);
    }
  }
  return bytes;
}

inline void upload(Context& ctx, const std::vector<float>& values, View view) {
  const std::vector<char> bytes = encode(values, view.dtype);
  copy_to_device(ctx, ConstView(bytes.data(), view.dtype, view.shape), view);
  synchronize(ctx);
}

inline DeviceTensor random_tensor(Context& ctx, Shape shape, DType dtype, std::uint64_t seed,
                                  float low = -1, float high = 1) {
  DeviceTensor tensor(ctx, shape, dtype);
  upload(ctx, random_floats(shape.elements(), seed, low, high), tensor.view());
  return tensor;
}

inline std::vector<float> download(Context& ctx, ConstView view) {
  std::vector<char> bytes(view.bytes());
  copy_to_host(ctx, view, View(bytes.data(), view.dtype, view.shape));
  synchronize(ctx);
  std::vector<float> values(static_cast<std::size_t>(view.shape.elements()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (view.dtype == DType::f32) values[i] = reinterpret_cast<const float*>(bytes.data())[i];
    if (view.dtype == DType::bf16) {
      values[i] = to_float(reinterpret_cast<const BFloat16*>(bytes.data())[i]);
    }
    if (view.dtype == DType::u8) values[i] = static_cast<std::uint8_t>(bytes[i]);
    if (view.dtype == DType::i32) {
      values[i] = static_cast<float>(reinterpret_cast<const std::int32_t*>(bytes.data())[i]);
    }
  }
  return values;
}

}  // namespace nat::bench
