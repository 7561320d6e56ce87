// Kernels of gpu::batchnorm_forward. N is the number of channels of a pack, T the type of storage,
// C = Compute<T>.
#pragma once

#include <cmath>

#include "kernels/batchnorm.h"
#include "kernels/cuda/channel_grid.cuh"
#include "kernels/cuda/pooling.cuh"
#include "kernels/cuda/window_maximum.cuh"
#include "kernels/random.h"

namespace nat::gpu {

// v = scale x + shift.
template <class C>
struct ScaleShift {
  C scale, shift;
};
template <class C>
struct ScaleShifts {  // of all channels
  C *scale, *shift;

  explicit ScaleShifts(Scratch::Frame& frame, std::int64_t channels)
      : scale(frame.take<C>(static_cast<std::size_t>(channels))),
        shift(frame.take<C>(static_cast<std::size_t>(channels))) {}
  __device__ void set(int channel, const ScaleShift<C>& value) const {
    scale[channel] = value.scale;
    shift[channel] = value.shift;
  }
};

// What a forward pass keeps for each channel.
template <class C>
struct ForwardChannels {
  const C *gamma, *beta;
  C *running_mean, *running_var, *mean, *inv_std;
  double eps, momentum, count;

  ForwardChannels(const BatchNorm& norm, const ConstView& x, const BatchNormParameters& parameters,
                  const BatchNormSaved& saved)
      : gamma(parameters.gamma.as<C>()),
        beta(parameters.beta.as<C>()),
        running_mean(parameters.running_mean.as<C>()),
        running_var(parameters.running_var.as<C>()),
        mean(saved.mean.as<C>()),
        inv_std(saved.inv_std.as<C>()),
        eps(static_cast<double>(norm.eps)),
        momentum(static_cast<double>(norm.momentum)),
        count(static_cast<double>(x.shape.elements() / x.shape.channels())) {}

  // What there is of a channel beforehand. To be read early, all at once.
  struct Before {
    C gamma, beta, running_mean, running_var;
  };
  __device__ Before before(int c) const {
    return {gamma[c], beta[c], running_mean[c], running_var[c]};
  }

  // From the sums of x - pivot and of its square over the batch.
  __device__ ScaleShift<C> from_batch(int c, const Before& old, double pivot, double sum,
                                      double squares) const {
    const double offset = sum / count, batch_mean = pivot + offset;
    const double difference = squares / count - offset * offset;
    const double var = difference < 0 ? 0 : difference;  // NaN stays NaN
    if (momentum != 0) {
      running_mean[c] = moved(old.running_mean, batch_mean);
      running_var[c] = moved(old.running_var, count > 1 ? var * count / (count - 1) : var);
    }
    return keep(c, old, batch_mean, var);
  }
  __device__ ScaleShift<C> from_running(int c) const {
    const Before old = before(c);
    return keep(c, old, static_cast<double>(old.running_mean),
                static_cast<double>(old.running_var));
  }

 private:
  __device__ C moved(C running, double value) const {
    const double old = static_cast<double>(running);
    return static_cast<C>(old + momentum * (value - old));
  }
  __device__ ScaleShift<C> keep(int c, const Before& old, double mean_, double var) const {
    const C kept_mean = static_cast<C>(mean_);
    const C kept_inv_std = static_cast<C>(1 / std::sqrt(var + eps));
    mean[c] = kept_mean;
    inv_std[c] = kept_inv_std;
    const C scale = old.gamma * kept_inv_std;
    const double shift = static_cast<double>(kept_mean) * static_cast<double>(scale);
    return {scale, static_cast<C>(static_cast<double>(old.beta) - shift)};
  }
};

// ---- statistics ---------------------------------------------------------------------------------

// x - pivot and its square. The pivot is the first row: a mean far from 0 cancels nothing.
template <class T, int N>
struct Deviations {
  using Sum = Sums<Compute<T>, N>;
  static constexpr int kPack = N;
  const T* x;
  Lanes<Compute<T>, N> pivot{};

  __device__ void start(int channel) {
#pragma unroll
    for (int i = 0; i < N; ++i) pivot[i] = widen(x[channel + i]);
  }
  __device__ Pack<T, N> read(std::int64_t at) const { return load_pack<N>(x + at); }
  __device__ Sum sums(const Pack<T, N>& values) const {
    const auto value = widen(values);
    Sum sum;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      const Compute<T> d = value[i] - pivot[i];
      sum.a[i] = d;
      sum.b[i] = d * d;
    }
    return sum;
  }
};

template <class T, class C>
__global__ void __launch_bounds__(kCombineThreads, 1)
    finish_batch_statistics(PartialSums<C> sums, const T* x, ForwardChannels<C> channels,
                            ScaleShifts<C> affine) {
  struct Loaded {
    typename ForwardChannels<C>::Before before;
    C pivot;
  };
  combine_chunks(
      sums,
      [&](int c) {
        return Loaded{channels.before(c), widen(x[c])};
      },
      [&](int c, const Loaded& loaded, double sum, double squares) {
        affine.set(c, channels.from_batch(c, loaded.before, static_cast<double>(loaded.pivot), sum,
                                          squares));
      });
}

template <class C>
__global__ void __launch_bounds__(kBlockThreads, 1)
    use_running_statistics(int count, ForwardChannels<C> channels, ScaleShifts<C> affine) {
  const int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (c < count) affine.set(c, channels.from_running(c));
}

// ---- without pool -------------------------------------------------------------------------------

// Multiplies elements by 0 or 1 / (1 - dropout), as kernels/batchnorm.h says.
template <class C>
struct DropoutMask {
  DropoutKey key;
  float dropout;
  C kept;
  std::uint32_t step = 0;

  DropoutMask(const DropoutKey& key_, float dropout_)
      : key(key_), dropout(dropout_), kept(C{1} / (C{1} - static_cast<C>(dropout_))) {}

  __device__ void start() { step = *key.step; }

  // `element` is a multiple of N, which divides 4 or is divided by it.
  template <int N>
  __device__ void apply(std::int64_t element, Lanes<C, N>& v) const {
    constexpr int kWords = 4;
#pragma unroll
    for (int first = 0; first < N; first += kWords) {
      const std::uint64_t index =
          (std::uint64_t{key.layer} << 40) + static_cast<std::uint64_t>(element + first) / kWords;
      const Random4 random = philox(key.seed, RandomStream::dropout, step, index);
      if constexpr (N >= kWords) {
#pragma unroll
        for (int i = 0; i < kWords; ++i) v[first + i] *= factor(random.value[i]);
      } else {
        static_assert(N == 1);
        const int word = static_cast<int>(element % kWords);
        const std::uint32_t low = word == 0 ? random.value[0] : random.value[1];
        const std::uint32_t high = word == 2 ? random.value[2] : random.value[3];
        v[0] *= factor(word < 2 ? low : high);
      }
    }
  }

 private:
  __device__ C factor(std::uint32_t word) const { return uniform(word) >= dropout ? kept : C{0}; }
};
struct NoDropout {
  __device__ void start() {}
  template <class V>
  __device__ void apply(std::int64_t, V&) const {}
};

// y = dropout(max(scale x + shift, floor)) for the rows of a walk.
template <class T, int N, class Dropout, class C = Compute<T>>
__device__ void normalize_rows(const Walk& walk, const T* x, const Lanes<C, N>& scale,
                               const Lanes<C, N>& shift, C floor, const Dropout& dropout, T* y) {
  for_each_row(
      walk, [&](std::int64_t at) { return load_pack<N>(x + at); },
      [&](std::int64_t at, const Pack<T, N>& values) {
        auto v = widen(values);
#pragma unroll
        for (int i = 0; i < N; ++i) {
          v[i] = v[i] * scale[i] + shift[i];
          v[i] = v[i] < floor ? floor : v[i];
        }
        dropout.apply(at, v);
        store_pack(narrow<T>(v), y + at);
      });
}

template <class T, int N, class Dropout, class C = Compute<T>>
__global__ void __launch_bounds__(kBlockThreads, 1)
    normalize(ChannelGrid grid, const T* x, ScaleShifts<C> affine, C floor, Dropout dropout, T* y) {
  const Walk walk = Walk::in_reverse(grid, N);
  dropout.start();
  normalize_rows<T, N>(walk, x, load_whole_lanes<N>(affine.scale + walk.channel),
                       load_whole_lanes<N>(affine.shift + walk.channel), floor, dropout, y);
}

// The whole forward pass of a small batch in one launch: a block owns a tile of channels.
template <class T, int N, class Dropout, class C = Compute<T>>
__global__ void __launch_bounds__(kBlockThreads, 1)
    normalize_small_batch(ChannelGrid grid, bool train, const T* x, ForwardChannels<C> channels,
                          C floor, Dropout dropout, T* y) {
  __shared__ TilePairs<C, N> sums, affine;
  const Walk walk = Walk::in_order(grid, N);
  dropout.start();
  if (train) {
    Deviations<T, N> deviations{x};
    deviations.start(walk.channel);
    sums.share(walk, sum_over_lanes(grid.tile, grid.lanes, sum_rows(walk, deviations)));
  }
  __syncthreads();
  for_own_channel(grid, N, [&](int c, int i) {
    const ScaleShift<C> value =
        train ? channels.from_batch(c, channels.before(c), static_cast<double>(widen(x[c])),
                                    static_cast<double>(sums.a[i]), static_cast<double>(sums.b[i]))
              : channels.from_running(c);
    affine.a[i] = value.scale;
    affine.b[i] = value.shift;
  });
  __syncthreads();
  normalize_rows<T, N>(walk, x, load_lanes<N>(affine.a + walk.channel_in_tile),
                       load_lanes<N>(affine.b + walk.channel_in_tile), floor, dropout, y);
}

// ---- with pool ----------------------------------------------------------------------------------

template <class T>
struct PooledOutput {
  T *y, *picked;
  std::uint8_t* argmax;  // like `picked` only where a backward pass may follow
};

// v is monotone in x, so the maximum of v lies at the maximum of scale x.
template <class T, int N, bool kKeepsPicks, class Window, class C = Compute<T>>
__global__ void __launch_bounds__(kBlockThreads, 1)
    normalize_pooled(ChannelGrid grid, Pixels in, Pixels out, Window window, const T* x,
                     ScaleShifts<C> affine, C floor, PooledOutput<T> to) {
  const Walk walk = Walk::in_reverse(grid, N);
  const auto scale = load_whole_lanes<N>(affine.scale + walk.channel);
  const auto shift = load_whole_lanes<N>(affine.shift + walk.channel);
  const std::int64_t line = std::int64_t{in.columns()} * walk.channels;
  WindowMaximum<T, N> maximum(scale);
  for (std::uint32_t row = walk.row; row < walk.end; row += walk.step) {
    const Position p = out.position(row);
    const T* corner =
        x + in.index(p.image, p.row * window.stride, p.column * window.stride) * walk.channels +
        walk.channel;
    maximum.start(load_pack<N>(corner));
#pragma unroll
    for (int a = 0; a < window.size; ++a) {
#pragma unroll
      for (int b = a == 0 ? 1 : 0; b < window.size; ++b) {
        maximum.offer(load_pack<N>(corner + a * line + b * walk.channels), a * window.size + b);
      }
    }
    const Pack<T, N> picked = maximum.picked();
    auto v = widen(picked);
    Pack<std::uint8_t, N> argmax;
#pragma unroll
    for (int i = 0; i < N; ++i) {
      v[i] = v[i] * scale[i] + shift[i];
      argmax.value[i] = v[i] <= floor ? kClipped : static_cast<std::uint8_t>(maximum.argmax(i));
      v[i] = v[i] < floor ? floor : v[i];
    }
    const std::int64_t at = walk.at(row);
    store_pack(narrow<T>(v), to.y + at);
    if constexpr (kKeepsPicks) {
      store_pack_streaming(picked, to.picked + at);
      store_pack_streaming(argmax, to.argmax + at);
    }
  }
}

}  // namespace nat::gpu
