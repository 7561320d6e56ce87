// Kernels of gpu::batchnorm_backward. N is the number of channels of a pack, T the type of storage,
// C = Compute<T>.
#pragma once

#include "kernels/batchnorm.h"
#include "kernels/cuda/channel_grid.cuh"
#include "kernels/cuda/pooling.cuh"

namespace nat::gpu {

// dx = gain g + slope x + offset, the formula of the header collected by powers of x.
template <class C>
struct InputGradient {
  C gain, slope, offset;
};
template <class C>
struct InputGradients {  // of all channels
  C *gain, *slope, *offset;

  InputGradients(Scratch::Frame& frame, std::int64_t channels)
      : gain(frame.take<C>(static_cast<std::size_t>(channels))),
        slope(frame.take<C>(static_cast<std::size_t>(channels))),
        offset(frame.take<C>(static_cast<std::size_t>(channels))) {}
  __device__ void set(int channel, const InputGradient<C>& value) const {
    gain[channel] = value.gain;
    slope[channel] = value.slope;
    offset[channel] = value.offset;
  }
};
template <class C, int N>
struct InputGradientLanes {
  Lanes<C, N> gain, slope, offset;

  template <class T>
  __device__ Pack<T, N> operator()(const Lanes<C, N>& g, const Pack<T, N>& x) const {
    const auto value = widen(x);
    Lanes<C, N> dx;
#pragma unroll
    for (int i = 0; i < N; ++i) dx[i] = g[i] * gain[i] + (value[i] * slope[i] + offset[i]);
    return narrow<T>(dx);
  }
};
template <int N, class C>
__device__ InputGradientLanes<C, N> load_lanes(const InputGradients<C>& from, int channel) {
  return {load_lanes<N>(from.gain + channel), load_lanes<N>(from.slope + channel),
          load_lanes<N>(from.offset + channel)};
}

// What a backward pass knows and finds out about each channel.
template <class C>
struct BackwardChannels {
  const C *gamma, *mean, *inv_std;
  C *dgamma, *dbeta;
  Grad grad;
  double per_row;  // 1/m in training; 0 in evaluation, where the statistics are constants

  BackwardChannels(Mode mode, Grad grad_, const ConstView& x, const ConstView& gamma_,
                   const BatchNormSaved& saved, const View& dgamma_, const View& dbeta_)
      : gamma(gamma_.as<C>()),
        mean(saved.mean.as<C>()),
        inv_std(saved.inv_std.as<C>()),
        dgamma(dgamma_.as<C>()),
        dbeta(dbeta_.as<C>()),
        grad(grad_),
        per_row(mode == Mode::train ? static_cast<double>(x.shape.channels()) /
                                          static_cast<double>(x.shape.elements())
                                    : 0) {}

  // From sum g and sum g (x - mean).
  __device__ InputGradient<C> finish(int c, double sum, double moment) const {
    const double scale_x = static_cast<double>(inv_std[c]);
    put(dbeta[c], sum);
    put(dgamma[c], moment * scale_x);
    const double gain = static_cast<double>(gamma[c]) * scale_x;
    const C slope = static_cast<C>(-gain * per_row * scale_x * scale_x * moment);
    const double center = static_cast<double>(mean[c]) * static_cast<double>(slope);
    return {static_cast<C>(gain), slope, static_cast<C>(-gain * per_row * sum - center)};
  }

 private:
  __device__ void put(C& target, double value) const {
    const double before = grad == Grad::accumulate ? static_cast<double>(target) : 0;
    target = static_cast<C>(before + value);
  }
};

// ---- sums ---------------------------------------------------------------------------------------

// g and g (x - mean), for values x in any order.
template <class C, int N>
__device__ Sums<C, N> gradient_sums(const Lanes<C, N>& g, const Lanes<C, N>& x,
                                    const Lanes<C, N>& mean) {
  Sums<C, N> sums;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    sums.a[i] = g[i];
    sums.b[i] = g[i] * (x[i] - mean[i]);
  }
  return sums;
}

// The gradient in front of ReLU and dropout. y > 0 tells what passed; without ReLU y is nullptr.
template <class T, int N, class C = Compute<T>>
struct PlainGradient {
  using Sum = Sums<C, N>;
  static constexpr int kPack = N;
  const T *x, *y, *dy;
  const C* mean;
  C kept;  // 1 / (1 - dropout)
  Lanes<C, N> center{};

  struct Values {
    Pack<T, N> x, y, dy;
  };
  __device__ void start(int channel) { center = load_lanes<N>(mean + channel); }
  __device__ Values read(std::int64_t at) const {
    const Pack<T, N> gradient = load_pack<N>(dy + at);
    return {load_pack<N>(x + at), y == nullptr ? gradient : load_pack<N>(y + at), gradient};
  }
  __device__ Lanes<C, N> gradient(const Values& values) const {
    auto g = widen(values.dy);
    if (y == nullptr) return g;
    const auto passed = widen(values.y);
#pragma unroll
    for (int i = 0; i < N; ++i) g[i] = passed[i] > 0 ? g[i] * kept : C{0};
    return g;
  }
  __device__ Sum sums(const Values& values) const {
    return gradient_sums(gradient(values), widen(values.x), center);
  }
};

// The gradient at the maximum of each window: a look at the pooled tensors says all.
template <class T, int N, class C = Compute<T>>
struct PickedGradient {
  using Sum = Sums<C, N>;
  static constexpr int kPack = N;
  const T *picked, *dy;
  const std::uint8_t* argmax;
  const C* mean;
  Lanes<C, N> center{};

  struct Values {
    Pack<T, N> picked, dy;
    Pack<std::uint8_t, N> argmax;
  };
  __device__ void start(int channel) { center = load_lanes<N>(mean + channel); }
  __device__ Values read(std::int64_t at) const {
    return {load_pack<N>(picked + at), load_pack<N>(dy + at), load_pack<N>(argmax + at)};
  }
  __device__ Sum sums(const Values& values) const {
    auto g = widen(values.dy);
#pragma unroll
    for (int i = 0; i < N; ++i) g[i] = values.argmax.value[i] == kClipped ? C{0} : g[i];
    return gradient_sums(g, widen(values.picked), center);
  }
};

template <class C>
__global__ void __launch_bounds__(kBlockThreads, 1)
    finish_gradient_sums(PartialSums<C> sums, BackwardChannels<C> channels,
                         InputGradients<C> input) {
  combine_chunks(sums, [&](int c, double sum, double moment) {
    input.set(c, channels.finish(c, sum, moment));
  });
}

// ---- input gradient -----------------------------------------------------------------------------

// x and dx may be the same memory: a thread reads each row before it writes it.
template <class T, int N, class C = Compute<T>>
__device__ void input_gradient_rows(const Walk& walk, const PlainGradient<T, N>& gradient,
                                    const InputGradientLanes<C, N>& input, T* dx) {
  for_each_row(
      walk, [&](std::int64_t at) { return gradient.read(at); },
      [&](std::int64_t at, const auto& values) {
        store_pack(input(gradient.gradient(values), values.x), dx + at);
      });
}

template <class T, int N, class C = Compute<T>>
__global__ void __launch_bounds__(kBlockThreads, 1)
    input_gradient(ChannelGrid grid, PlainGradient<T, N> gradient, InputGradients<C> input, T* dx) {
  const Walk walk = Walk::backward(grid, N);
  input_gradient_rows<T, N>(walk, gradient, load_lanes<N>(input, walk.channel), dx);
}

// The whole backward pass of a small batch in one launch: a block owns a tile of channels.
template <class T, int N, class C = Compute<T>>
__global__ void __launch_bounds__(kBlockThreads, 1)
    backward_small_batch(ChannelGrid grid, PlainGradient<T, N> gradient,
                         BackwardChannels<C> channels, T* dx) {
  __shared__ TilePairs<C, N> sums, line;
  __shared__ C gains[kSmallBatchTile * N];
  const Walk walk = Walk::forward(grid, N);
  gradient.start(walk.channel);
  sums.share(walk, sum_over_lanes(grid.tile, grid.lanes, sum_rows(walk, gradient)));
  __syncthreads();
  for_own_channel(grid, N, [&](int c, int i) {
    const InputGradient<C> value =
        channels.finish(c, static_cast<double>(sums.a[i]), static_cast<double>(sums.b[i]));
    gains[i] = value.gain;
    line.a[i] = value.slope;
    line.b[i] = value.offset;
  });
  __syncthreads();
  if (dx == nullptr) return;
  const int first = walk.channel_in_tile;
  input_gradient_rows<T, N>(
      walk, gradient,
      {load_lanes<N>(gains + first), load_lanes<N>(line.a + first), load_lanes<N>(line.b + first)},
      dx);
}

template <class T>
struct PooledGradient {
  const T* dy;
  const std::uint8_t* argmax;
};

// Each pixel gathers from the windows that contain it, in row-major order: no pixel waits for
// another, and none is added to by several threads. x and dx may be the same memory.
template <class T, int N, class Window, class C = Compute<T>>
__global__ void __launch_bounds__(kBlockThreads, 1)
    input_gradient_pooled(ChannelGrid grid, Pixels in, Pixels out, Window window, const T* x,
                          PooledGradient<T> from, InputGradients<C> input, T* dx) {
  const Walk walk = Walk::backward(grid, N);
  const auto gradient = load_lanes<N>(input, walk.channel);
  for (std::uint32_t row = walk.row; row < walk.end; row += walk.step) {
    const Position at = in.position(row);
    const int last_row = at.row / window.stride, last_column = at.column / window.stride;
    const Pack<T, N> value = load_pack<N>(x + walk.at(row));
    Lanes<C, N> g{};
#pragma unroll
    for (int i = window.reach - 1; i >= 0; --i) {
#pragma unroll
      for (int j = window.reach - 1; j >= 0; --j) {
        const int p = last_row - i, q = last_column - j;
        const int a = at.row - p * window.stride, b = at.column - q * window.stride;
        if (p < 0 || p >= out.rows() || a >= window.size || q < 0 || q >= out.columns() ||
            b >= window.size) {
          continue;
        }
        const std::int64_t place = out.index(at.image, p, q) * walk.channels + walk.channel;
        const auto dy = widen(load_pack<N>(from.dy + place));
        const auto argmax = load_pack<N>(from.argmax + place);
#pragma unroll
        for (int k = 0; k < N; ++k) {
          g[k] += argmax.value[k] == a * window.size + b ? dy[k] : C{0};
        }
      }
    }
    store_pack(gradient(g, value), dx + walk.at(row));
  }
}

}  // namespace nat::gpu
