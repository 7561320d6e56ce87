// The maximum of scale x over the pixels of a pooling window, for a pack of channels at once.
//
// Only the sign of scale matters, and multiplying by it is exact, so values compare as they are
// stored. The first of equal maxima wins, NaN included if it comes first. Where scale is 0 (or NaN)
// every pixel is the same, and the first wins.
#pragma once

#include <cstring>

#include "kernels/cuda/pack.cuh"

namespace nat::gpu {

// Values compare in the type of computation.
template <class T, int N>
class WindowMaximum {
  using C = Compute<T>;

 public:
  __device__ explicit WindowMaximum(const Lanes<C, N>& scale) {
#pragma unroll
    for (int i = 0; i < N; ++i) sign_[i] = scale[i] > 0 ? C{1} : scale[i] < 0 ? C{-1} : C{0};
  }
  __device__ void start(const Pack<T, N>& values) {
    picked_ = values;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      best_[i] = widen(values.value[i]) * sign_[i];
      argmax_[i] = 0;
    }
  }
  __device__ void offer(const Pack<T, N>& values, int tap) {
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const C candidate = widen(values.value[i]) * sign_[i];
      if (candidate > best_[i]) {
        best_[i] = candidate;
        picked_.value[i] = values.value[i];
        argmax_[i] = tap;
      }
    }
  }
  __device__ Pack<T, N> picked() const { return picked_; }
  __device__ int argmax(int i) const { return argmax_[i]; }

 private:
  Lanes<C, N> sign_, best_;
  Lanes<int, N> argmax_;
  Pack<T, N> picked_;
};

// bf16 values compare in pairs, four instructions a pair: the pooled pass of a large bf16 layer
// would otherwise wait for arithmetic rather than for memory.
template <int N>
requires(N % 2 == 0) class WindowMaximum<BFloat16, N> {
 public:
  __device__ explicit WindowMaximum(const Lanes<float, N>& scale) {
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      const float low = scale[2 * i], high = scale[2 * i + 1];
      negative_.pair[i] = both(low < 0, high < 0) * 0x8000u;
      live_.pair[i] = both(low < 0 || low > 0, high < 0 || high > 0) * 0xffffu;
    }
  }
  __device__ void start(const Pack<BFloat16, N>& values) {
    first_ = __builtin_bit_cast(Pairs, values);
    argmax_ = {};
#pragma unroll
    for (int i = 0; i < kPairs; ++i) best_.pair[i] = oriented(first_, i);
  }
  __device__ void offer(const Pack<BFloat16, N>& values, int tap) {
    const Pairs pairs = __builtin_bit_cast(Pairs, values);
    const unsigned taps = static_cast<unsigned>(tap) * 0x10001u;
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      const unsigned candidate = oriented(pairs, i);
      const unsigned better = __hgt2_mask(values_of(candidate), values_of(best_.pair[i]));
      best_.pair[i] = (candidate & better) | (best_.pair[i] & ~better);
      argmax_.pair[i] = (taps & better) | (argmax_.pair[i] & ~better);
    }
  }
  __device__ Pack<BFloat16, N> picked() const {
    Pairs picked;
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
      const unsigned stored = best_.pair[i] ^ negative_.pair[i];
      picked.pair[i] = (stored & live_.pair[i]) | (first_.pair[i] & ~live_.pair[i]);
    }
    return __builtin_bit_cast(Pack<BFloat16, N>, picked);
  }
  __device__ int argmax(int i) const {
    return static_cast<int>(argmax_.pair[i / 2] >> (16 * (i % 2)) & 0xffffu);
  }

 private:
  static constexpr int kPairs = N / 2;
  struct Pairs {
    unsigned pair[kPairs];
  };
  __device__ static __nv_bfloat162 values_of(unsigned pair) {
    __nv_bfloat162 values;
    std::memcpy(static_cast<void*>(&values), &pair, sizeof pair);
    return values;
  }
  __device__ static unsigned both(bool low, bool high) {
    return static_cast<unsigned>(low) | static_cast<unsigned>(high) << 16;
  }
  // Times the sign of scale; where that is 0, all values become equal.
  __device__ unsigned oriented(const Pairs& values, int i) const {
    return (values.pair[i] & live_.pair[i]) ^ negative_.pair[i];
  }

  Pairs live_, negative_, first_, best_, argmax_;
};

}  // namespace nat::gpu
