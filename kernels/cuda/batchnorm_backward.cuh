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
  return {load_whole_lanes<N>(from.gain + channel), load_whole_lanes<N>(from.slope + channel),
          load_whole_lanes<N>(from.offset + channel)};
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

  // What there is of a channel beforehand. To be read early, all at once.
  struct Before {
    C gamma, mean, inv_std, dgamma, dbeta;  // the gradients only where they are added to
  };
  __device__ Before before(int c) const {
    const bool adds = grad == Grad::accumulate;
    return {gamma[c], mean[c], inv_std[c], adds ? dgamma[c] : C{0}, adds ? dbeta[c] : C{0}};
  }

  // From sum g and sum g (x - mean).
  __device__ InputGradient<C> finish(int c, const Before& old, double sum, double moment) const {
    const double scale_x = static_cast<double>(old.inv_std);
    dbeta[c] = static_cast<C>(static_cast<double>(old.dbeta) + sum);
    dgamma[c] = static_cast<C>(static_cast<double>(old.dgamma) + moment * scale_x);
    const double gain = static_cast<double>(old.gamma) * scale_x;
    const C slope = static_cast<C>(-gain * per_row * scale_x * scale_x * moment);
    const double center = static_cast<double>(old.mean) * static_cast<double>(slope);
    return {static_cast<C>(gain), slope, static_cast<C>(-gain * per_row * sum - center)};
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
__global__ void __launch_bounds__(kCombineThreads, 1)
    finish_gradient_sums(PartialSums<C> sums, BackwardChannels<C> channels,
                         InputGradients<C> input) {
  using Before = typename BackwardChannels<C>::Before;
  combine_chunks(
      sums, [&](int c) { return channels.before(c); },
      [&](int c, const Before& before, double sum, double moment) {
        input.set(c, channels.finish(c, before, sum, moment));
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
  const Walk walk = Walk::in_reverse(grid, N);
  input_gradient_rows<T, N>(walk, gradient, load_lanes<N>(input, walk.channel), dx);
}

// The whole backward pass of a small batch in one launch: a block owns a tile of channels.
template <class T, int N, class C = Compute<T>>
__global__ void __launch_bounds__(kBlockThreads, 1)
    backward_small_batch(ChannelGrid grid, PlainGradient<T, N> gradient,
                         BackwardChannels<C> channels, T* dx) {
  __shared__ TilePairs<C, N> sums, line;
  __shared__ C gains[kSmallBatchTile * N];
  const Walk walk = Walk::in_order(grid, N);
  gradient.start(walk.channel);
  sums.share(walk, sum_over_lanes(grid.tile, grid.lanes, sum_rows(walk, gradient)));
  __syncthreads();
  for_own_channel(grid, N, [&](int c, int i) {
    const InputGradient<C> value = channels.finish(
        c, channels.before(c), static_cast<double>(sums.a[i]), static_cast<double>(sums.b[i]));
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

// What a window says to the pixels below it.
template <class T, int N>
struct WindowGradient {
  Pack<T, N> dy;
  Pack<std::uint8_t, N> argmax;
};

// The argmax of a window, or what stands for one that does not exist.
template <int N>
__device__ Pack<std::uint8_t, N> argmax_if(bool exists, const Pack<std::uint8_t, N>& argmax) {
  static_assert(kClipped == 255 && N % 4 == 0);
  auto words = __builtin_bit_cast(Pack<unsigned, N / 4>, argmax);
#pragma unroll
  for (int i = 0; i < N / 4; ++i) words.value[i] |= exists ? 0 : ~0u;
  return __builtin_bit_cast(Pack<std::uint8_t, N>, words);
}

// Adds the gradient of a window where its maximum lies at the pixel with this number.
template <class T, int N, class C = Compute<T>>
__device__ void add_where(const WindowGradient<T, N>& window, int number, bool first,
                          Lanes<C, N>& g) {
  const auto dy = widen(window.dy);
#pragma unroll
  for (int k = 0; k < N; ++k) {
    const C here = window.argmax.value[k] == number ? dy[k] : C{0};
    g[k] = first ? here : g[k] + here;
  }
}

// Each pixel gathers from the windows that contain it, in row-major order: no pixel waits for
// another, and none is added to by several threads. x and dx may be the same memory.
template <class T, int N, class C = Compute<T>>
__global__ void __launch_bounds__(kBlockThreads, 1)
    input_gradient_pooled(ChannelGrid grid, Pixels in, Pixels out, AnyWindow window, const T* x,
                          PooledGradient<T> from, InputGradients<C> input, T* dx) {
  const Walk walk = Walk::in_reverse(grid, N);
  const auto gradient = load_lanes<N>(input, walk.channel);
  for (std::uint32_t row = walk.row; row < walk.end; row += walk.step) {
    const Position at = in.position(row);
    const int last_row = at.row / window.stride, last_column = at.column / window.stride;
    Lanes<C, N> g{};
    for (int p = last_row - window.reach + 1; p <= last_row; ++p) {
      for (int q = last_column - window.reach + 1; q <= last_column; ++q) {
        const int a = at.row - p * window.stride, b = at.column - q * window.stride;
        if (!out.contain(p, q) || a >= window.size || b >= window.size) continue;
        const std::int64_t place = out.index(at.image, p, q) * walk.channels + walk.channel;
        add_where<T, N>({load_pack<N>(from.dy + place), load_pack<N>(from.argmax + place)},
                        a * window.size + b, false, g);
      }
    }
    store_pack(gradient(g, load_pack<N>(x + walk.at(row))), dx + walk.at(row));
  }
}

// The windows that contain pixels of a cell: windows[i][j] begins i rows and j columns of windows
// before the last. All reads are under way at once; those that would leave the picture are moved
// inside, and what they bring goes nowhere.
template <class T, int N, class Window>
struct CellWindows {
  static constexpr int kReach = Window::reach;
  WindowGradient<T, N> windows[kReach][kReach];

  __device__ void read(const PooledGradient<T>& from, const Pixels& out, const Position& cell,
                       const Walk& walk) {
#pragma unroll
    for (int i = 0; i < kReach; ++i) {
      const int p = cell.row - i;
      const std::int64_t line = out.nearest(cell.image, p, 0) * walk.channels;
#pragma unroll
      for (int j = 0; j < kReach; ++j) {
        const int q = cell.column - j;
        const std::int64_t column = std::int64_t{out.nearest_column(q)} * walk.channels;
        const std::int64_t at = line + column + walk.channel;
        windows[i][j] = {load_pack<N>(from.dy + at), load_pack<N>(from.argmax + at)};
      }
    }
#pragma unroll
    for (int i = 0; i < kReach; ++i) {
#pragma unroll
      for (int j = 0; j < kReach; ++j) {
        auto& argmax = windows[i][j].argmax;
        argmax = argmax_if(out.contain(cell.row - i, cell.column - j), argmax);
      }
    }
  }
  // The gradient of pixel (a, b) of the cell. Its number in each window is a constant.
  __device__ Lanes<Compute<T>, N> gather(int a, int b) const {
    Lanes<Compute<T>, N> g{};
    bool first = true;  // known to the compiler: nothing is added to zeros
#pragma unroll
    for (int i = kReach - 1; i >= 0; --i) {
#pragma unroll
      for (int j = kReach - 1; j >= 0; --j) {
        const int row = i * Window::stride + a, column = j * Window::stride + b;
        if (row >= Window::size || column >= Window::size) continue;
        add_where(windows[i][j], row * Window::size + column, first, g);
        first = false;
      }
    }
    return g;
  }
};

// The same for windows known to the compiler: a thread takes a cell of stride x stride pixels, and
// looks once at each window that contains some of them.
template <class T, int N, class Window, class C = Compute<T>>
__global__ void __launch_bounds__(kBlockThreads, 2)
    input_gradient_pooled_cells(ChannelGrid grid, Pixels cells, Pixels in, Pixels out, const T* x,
                                PooledGradient<T> from, InputGradients<C> input, T* dx) {
  constexpr int kStride = Window::stride;
  const Walk walk = Walk::in_reverse(grid, N);
  const auto gradient = load_lanes<N>(input, walk.channel);
  for (std::uint32_t row = walk.row; row < walk.end; row += walk.step) {
    const Position cell = cells.position(row);
    const int top = cell.row * kStride, left = cell.column * kStride;
    CellWindows<T, N, Window> windows;
    windows.read(from, out, cell, walk);
    std::int64_t at[kStride][kStride];
    Pack<T, N> value[kStride][kStride];
#pragma unroll
    for (int a = 0; a < kStride; ++a) {  // the nearest pixel lies in the same cell
      const std::int64_t line = in.nearest(cell.image, top + a, 0) * walk.channels;
#pragma unroll
      for (int b = 0; b < kStride; ++b) {
        const std::int64_t column = std::int64_t{in.nearest_column(left + b)} * walk.channels;
        at[a][b] = line + column + walk.channel;
        value[a][b] = load_pack<N>(x + at[a][b]);
      }
    }
#pragma unroll
    for (int a = 0; a < kStride; ++a) {
#pragma unroll
      for (int b = 0; b < kStride; ++b) {
        // The first pixel is always there. Asking would let the compiler read what only it needs
        // after all the rest has come.
        if (a + b > 0 && !in.contain(top + a, left + b)) continue;
        store_pack(gradient(windows.gather(a, b), value[a][b]), dx + at[a][b]);
      }
    }
  }
}

}  // namespace nat::gpu
