// What this device reaches at best, measured in the run whose results are judged by it.
#pragma once

#include "bench/measure.h"
#include "bench/tensors.h"
#include "kernels/gemm.h"

namespace nat::bench {

// By all threads of the CPU: one alone does not get all that memory can give.
inline void copy_by_all(Context& ctx, ConstView from, View to) {
  if (ctx.device == Device::cuda) return copy(ctx, from, to);
  for_share_of_each_thread(static_cast<std::int64_t>(to.bytes()),
                           [&](std::int64_t begin, std::int64_t end) {
                             std::memcpy(to.as<char>() + begin, from.as<char>() + begin,
                                         static_cast<std::size_t>(end - begin));
                           });
}

// Bytes read and written a second by a copy of `bytes` bytes within the device. Copies far beyond
// the caches need no scrub; a recorded one is slower on CUDA, so they are simply enqueued.
inline double copy_rate(Context& ctx, std::int64_t bytes) {
  const std::int64_t count = bytes / static_cast<std::int64_t>(sizeof(float));
  const DeviceTensor from = random_tensor(ctx, Shape(count), DType::f32, 1);
  const DeviceTensor to(ctx, Shape(count), DType::f32);
  constexpr int kCopies = 5, kSamples = 7;
  std::vector<double> times;
  for (int sample = 0; sample <= kSamples; ++sample) {  // the first warms up
    const double began = now();
    for (int i = 0; i < kCopies; ++i) copy_by_all(ctx, from.view(), to.view());
    synchronize(ctx);
    if (sample > 0) times.push_back((now() - began) / kCopies);
  }
  return 2 * static_cast<double>(to.view().bytes()) / median(times);
}

// Operations a second of a product of two n x n matrices, as a linear layer computes it.
inline double product_rate(Device device, Math math, std::int64_t n) {
  Context ctx(device, math);
  const DType dtype = math == Math::bf16 ? DType::bf16 : DType::f32;
  const DType weights = device == Device::cuda ? dtype : DType::f32;  // oneDNN rounds for itself
  const DeviceTensor x = random_tensor(ctx, Shape(n, n), dtype, 1);
  const DeviceTensor w = random_tensor(ctx, Shape(n, n), weights, 2);
  const DeviceTensor y(ctx, Shape(n, n), dtype);
  const double seconds =
      Timer(ctx).seconds([&] { linear_forward(ctx, x.view(), w.view(), ConstView(), y.view()); });
  const auto side = static_cast<double>(n);
  return 2 * side * side * side / seconds;
}

// Large enough for the device, small enough for a test of the program on a CPU.
inline std::int64_t copy_bytes(Device device) {
  return std::int64_t{device == Device::cuda ? 1024 : 128} << 20;
}
inline std::int64_t product_side(Device device) { return device == Device::cuda ? 8192 : 1024; }

}  // namespace nat::bench
