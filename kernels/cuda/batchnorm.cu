// Batch norm as few passes over memory. Small batches (the fully connected layers) take one launch
// each way; a layer of pictures takes three, in kernels/cuda/batchnorm_forward.cuh and _backward:
//
//   forward    channel_sums             x -> partial sums of each chunk of pixels
//              finish_batch_statistics  -> mean, inv_std, running statistics, scale and shift
//              normalize[_pooled]       x -> y, and where the maxima were
//   backward   channel_sums             dy and x (pooled: dy, argmax and picked) -> partial sums
//              finish_gradient_sums     -> dgamma, dbeta, what they make of dx
//              input_gradient...        dy and x -> dx; not for the first layer
//
// How a launch is laid over channels and pixels, and sums in a fixed order: channel_grid.cuh.
#include "kernels/batchnorm.h"

#include <limits>
#include <type_traits>

#include "kernels/batchnorm_check.h"
#include "kernels/cuda/batchnorm_backward.cuh"
#include "kernels/cuda/batchnorm_forward.cuh"
#include "kernels/dispatch.h"

namespace nat::gpu {

namespace {

// How many rows a thread takes in passes that only map; with windows, a row is more work.
constexpr ChannelGrid::RowsPerThread kMapRows{1, 8}, kWindowRows{1, 4};

void check_size(const ConstView& x) {
  constexpr std::int64_t kMostRows = std::int64_t{1} << 31, kMostChannels = 1 << 21;
  const std::int64_t channels = x.shape.channels(), rows = x.shape.elements() / channels;
  NAT_CHECK(rows < kMostRows && channels < kMostChannels, ErrorKind::usage, "batch norm: x is ",
            to_string(x.shape),
            "; on CUDA it may have at most 2^31 - 1 pixels and 2^21 - 1 channels");
}

bool is_small_batch(const BatchNorm& norm, const ConstView& x) {
  constexpr std::int64_t kMostTiles = 65535;  // the limit of a grid in y
  const std::int64_t channels = x.shape.channels(), rows = x.shape.elements() / channels;
  return norm.pool == 0 && rows <= kSmallBatch && channels <= kMostTiles * kSmallBatchTile;
}

// Calls body(window) with the sizes as constants where the networks have them.
template <int N, class Body>
void with_window(const BatchNorm& norm, Body&& body) {
  if constexpr (N > 1) {
    if (norm.pool == 2 && norm.pool_stride == 2) return body(FixedWindow<2, 2>{});
    if (norm.pool == 3 && norm.pool_stride == 2) return body(FixedWindow<3, 2>{});
  }
  body(AnyWindow{norm.pool, norm.pool_stride});
}

// ---- forward ------------------------------------------------------------------------------------

// Mean and variance of the batch (or the running ones), and what they make of gamma and beta.
template <class T, int N, class C = Compute<T>>
void statistics(Context& ctx, Scratch::Frame& frame, Mode mode, const ConstView& x,
                const ForwardChannels<C>& channels, const ScaleShifts<C>& affine) {
  const int count = static_cast<int>(x.shape.channels());
  if (mode == Mode::eval) {
    launch(ctx, {.grid = dim3(blocks_for(count, kBlockThreads)), .block = dim3(kBlockThreads)},
           use_running_statistics<C>, count, channels, affine);
    return;
  }
  const ChannelGrid grid(x.shape, N, kSumRows);
  const PartialSums<C> sums(frame, grid);
  launch(ctx, grid.launch_shape(), channel_sums<Deviations<T, N>, C>, grid,
         Deviations<T, N>{x.as<T>()}, sums);
  launch(ctx, combine_shape(count), finish_batch_statistics<T, C>, sums, x.as<T>(), channels,
         affine);
}

// Calls body(dropout) with what multiplies the output.
template <class C, class Body>
void with_dropout(const BatchNorm& norm, Mode mode, const DropoutKey& key, Body&& body) {
  if (norm.dropout > 0 && mode == Mode::train) return body(DropoutMask<C>(key, norm.dropout));
  body(NoDropout{});
}

template <class T, int N>
void forward(Context& ctx, const BatchNorm& norm, Mode mode, const DropoutKey& key,
             const ConstView& x, const BatchNormParameters& parameters, const BatchNormSaved& saved,
             const View& y) {
  using C = Compute<T>;
  const ForwardChannels<C> channels(norm, x, parameters, saved);
  const C floor = norm.relu ? C{0} : -std::numeric_limits<C>::infinity();
  if (is_small_batch(norm, x)) {
    const ChannelGrid grid = small_batch_grid(x.shape, N);
    return with_dropout<C>(norm, mode, key, [&]<class Dropout>(const Dropout& dropout) {
      launch(ctx, grid.launch_shape(), normalize_small_batch<T, N, Dropout>, grid,
             mode == Mode::train, x.as<T>(), channels, floor, dropout, y.as<T>());
    });
  }
  Scratch::Frame frame(ctx.scratch);
  const ScaleShifts<C> affine(frame, x.shape.channels());
  statistics<T, N>(ctx, frame, mode, x, channels, affine);
  const ChannelGrid grid(y.shape, N, norm.pool == 0 ? kMapRows : kWindowRows);
  if (norm.pool == 0) {
    return with_dropout<C>(norm, mode, key, [&]<class Dropout>(const Dropout& dropout) {
      launch(ctx, grid.launch_shape(), normalize<T, N, Dropout>, grid, x.as<T>(), affine, floor,
             dropout, y.as<T>());
    });
  }
  const PooledOutput<T> to{y.as<T>(), saved.picked.as<T>(), saved.argmax.as<std::uint8_t>()};
  with_window<N>(norm, [&]<class Window>(const Window& window) {
    const auto kernel = saved.has_picks() ? normalize_pooled<T, N, true, Window>
                                          : normalize_pooled<T, N, false, Window>;
    launch(ctx, grid.launch_shape(), kernel, grid, Pixels(x.shape), Pixels(y.shape), window,
           x.as<T>(), affine, floor, to);
  });
}

// ---- backward -----------------------------------------------------------------------------------

// dgamma, dbeta and what they make of the input gradient, from the sums that `terms` says.
template <class Terms, class C>
InputGradients<C> parameter_gradients(Context& ctx, Scratch::Frame& frame, const ConstView& summed,
                                      const Terms& terms, const BackwardChannels<C>& channels) {
  const ChannelGrid grid(summed.shape, Terms::kPack, kSumRows);
  const InputGradients<C> input(frame, summed.shape.channels());
  const PartialSums<C> sums(frame, grid);
  launch(ctx, grid.launch_shape(), channel_sums<Terms, C>, grid, terms, sums);
  launch(ctx, combine_shape(grid.channels), finish_gradient_sums<C>, sums, channels, input);
  return input;
}

template <class T, int N, class C = Compute<T>>
void backward_plain(Context& ctx, const ConstView& x, const PlainGradient<T, N>& gradient,
                    const BackwardChannels<C>& channels, const View& dx) {
  Scratch::Frame frame(ctx.scratch);
  const InputGradients<C> input = parameter_gradients(ctx, frame, x, gradient, channels);
  if (dx.empty()) return;
  const ChannelGrid grid(x.shape, N, kMapRows);
  launch(ctx, grid.launch_shape(), input_gradient<T, N>, grid, gradient, input, dx.as<T>());
}

template <class T, int N, class C = Compute<T>>
void backward_pooled(Context& ctx, const BatchNorm& norm, const ConstView& x,
                     const BatchNormSaved& saved, const ConstView& dy,
                     const BackwardChannels<C>& channels, const View& dx) {
  Scratch::Frame frame(ctx.scratch);
  const PooledGradient<T> from{dy.as<T>(), saved.argmax.as<std::uint8_t>()};
  const PickedGradient<T, N> picked{saved.picked.as<T>(), from.dy, from.argmax, channels.mean};
  const InputGradients<C> input = parameter_gradients(ctx, frame, dy, picked, channels);
  if (dx.empty()) return;
  const Pixels in(x.shape), out(dy.shape);
  with_window<N>(norm, [&]<class Window>(const Window& window) {
    if constexpr (std::is_same_v<Window, AnyWindow>) {
      const ChannelGrid grid(x.shape, N, kWindowRows);
      launch(ctx, grid.launch_shape(), input_gradient_pooled<T, N>, grid, in, out, window,
             x.as<T>(), from, input, dx.as<T>());
    } else {
      const Shape cells = cells_of(x.shape, window.stride);
      const ChannelGrid grid(cells, N, kWindowRows);
      launch(ctx, grid.launch_shape(), input_gradient_pooled_cells<T, N, Window>, grid,
             Pixels(cells), in, out, x.as<T>(), from, input, dx.as<T>());
    }
  });
}

template <class T, int N>
void backward(Context& ctx, const BatchNorm& norm, Mode mode, const ConstView& x,
              const ConstView& y, const ConstView& gamma, const BatchNormSaved& saved,
              const ConstView& dy, Grad grad, const View& dgamma, const View& dbeta,
              const View& dx) {
  using C = Compute<T>;
  const BackwardChannels<C> channels(mode, grad, x, gamma, saved, dgamma, dbeta);
  if (norm.pool > 0) return backward_pooled<T, N>(ctx, norm, x, saved, dy, channels, dx);
  const bool dropped = norm.dropout > 0 && mode == Mode::train;
  const C kept = dropped ? C{1} / (C{1} - static_cast<C>(norm.dropout)) : C{1};
  const PlainGradient<T, N> gradient{x.as<T>(), norm.relu ? y.as<T>() : nullptr, dy.as<T>(),
                                     channels.mean, kept};
  if (!is_small_batch(norm, x)) return backward_plain<T, N>(ctx, x, gradient, channels, dx);
  const ChannelGrid grid = small_batch_grid(x.shape, N);
  launch(ctx, grid.launch_shape(), backward_small_batch<T, N>, grid, gradient, channels,
         dx.as<T>());
}

}  // namespace

void batchnorm_forward(Context& ctx, const BatchNorm& norm, Mode mode, const DropoutKey& key,
                       ConstView x, const BatchNormParameters& parameters,
                       const BatchNormSaved& saved, View y) {
  check_batchnorm_forward(norm, mode, key, x, parameters, saved, y);
  check_size(x);
  dispatch_storage(x.dtype, "batch norm", [&]<class T>(Tag<T>) {
    const bool full = fits_pack<T>(kFullPack<T>, x.shape.channels(),
                                   {x.data, y.data, saved.picked.data}, saved.argmax.data);
    with_pack<T>(
        full, [&](auto pack) { forward<T, pack>(ctx, norm, mode, key, x, parameters, saved, y); });
  });
}

void batchnorm_backward(Context& ctx, const BatchNorm& norm, Mode mode, ConstView x, ConstView y,
                        ConstView gamma, const BatchNormSaved& saved, ConstView dy, Grad grad,
                        View dgamma, View dbeta, View dx) {
  check_batchnorm_backward(norm, x, y, gamma, saved, dy, dgamma, dbeta, dx);
  check_size(x);
  dispatch_storage(x.dtype, "batch norm", [&]<class T>(Tag<T>) {
    const bool full =
        fits_pack<T>(kFullPack<T>, x.shape.channels(),
                     {x.data, y.data, saved.picked.data, dy.data, dx.data}, saved.argmax.data);
    with_pack<T>(full, [&](auto pack) {
      backward<T, pack>(ctx, norm, mode, x, y, gamma, saved, dy, grad, dgamma, dbeta, dx);
    });
  });
}

}  // namespace nat::gpu
