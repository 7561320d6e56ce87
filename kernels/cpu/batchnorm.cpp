// Every pass works on vectors of kLanes channels (kernels/cpu/lanes.h) and on tiles of pixels. What
// belongs to a channel (scale, shift, sums) stays in registers within a tile.
#include "kernels/batchnorm.h"

#include <cmath>
#include <limits>

#include "kernels/batchnorm_check.h"
#include "kernels/cpu/channel_grid.h"
#include "kernels/cpu/stored.h"
#include "kernels/dispatch.h"
#include "kernels/random.h"

namespace nat::cpu {

namespace {

// ---- forward ------------------------------------------------------------------------------------

// Mean and variance of the batch, running statistics and saved values. The sums are taken around
// the first pixel, so that a mean far from 0 cancels nothing.
template <class T, class C = Compute<T>>
void batch_statistics(Context& ctx, const BatchNorm& norm, const ConstView& x,
                      const BatchNormParameters& parameters, const BatchNormSaved& saved) {
  const Grid grid(x);
  Scratch::Frame frame(ctx.scratch);
  C* pivot = frame.take<C>(static_cast<std::size_t>(grid.channels));
  for (std::int64_t c = 0; c < grid.channels; ++c) {
    pivot[c] = load(x.as<T>()[c]);
  }
  const ChannelSums sums =
      channel_sums<C>(frame, grid, [pivot, data = x.as<T>()](std::int64_t channel, auto lanes) {
        return [data, origin = load_lanes(pivot + channel, lanes)](std::int64_t at, auto n) {
          const Vector<C> d = load_lanes(data + at, n) - origin;
          return Pair<C>{d, d * d};
        };
      });
  const double m = static_cast<double>(grid.pixels());
  const double unbiased = m > 1 ? m / (m - 1) : 1;
  C* running_mean = parameters.running_mean.as<C>();
  C* running_var = parameters.running_var.as<C>();
  for (std::int64_t c = 0; c < grid.channels; ++c) {
    const double shift = sums.a[c] / m;
    const double mean = static_cast<double>(pivot[c]) + shift;
    const double square = sums.b[c] / m - shift * shift;
    const double var = square < 0 ? 0 : square;  // NaN stays NaN
    const auto move = [&](C& running, double value) {
      const double old = static_cast<double>(running);
      running = static_cast<C>(old + static_cast<double>(norm.momentum) * (value - old));
    };
    if (norm.momentum != 0) {
      move(running_mean[c], mean);
      move(running_var[c], var * unbiased);
    }
    saved.mean.as<C>()[c] = static_cast<C>(mean);
    saved.inv_std.as<C>()[c] = static_cast<C>(1 / std::sqrt(var + static_cast<double>(norm.eps)));
  }
}

template <class C>
void running_statistics(const BatchNorm& norm, const BatchNormParameters& parameters,
                        const BatchNormSaved& saved) {
  const C* mean = parameters.running_mean.as<C>();
  const C* var = parameters.running_var.as<C>();
  for (std::int64_t c = 0; c < saved.mean.shape[0]; ++c) {
    saved.mean.as<C>()[c] = mean[c];
    saved.inv_std.as<C>()[c] =
        static_cast<C>(1 / std::sqrt(static_cast<double>(var[c]) + static_cast<double>(norm.eps)));
  }
}

// v = scale x + shift, then nothing below `floor` (0 with ReLU).
template <class C>
struct Affine {
  C *scale, *shift;
  C floor;

  Affine(Scratch::Frame& frame, const BatchNorm& norm, const BatchNormParameters& parameters,
         const BatchNormSaved& saved)
      : floor(norm.relu ? C{0} : -std::numeric_limits<C>::infinity()) {
    const std::int64_t channels = saved.mean.shape[0];
    scale = frame.take<C>(static_cast<std::size_t>(channels));
    shift = frame.take<C>(static_cast<std::size_t>(channels));
    for (std::int64_t c = 0; c < channels; ++c) {
      scale[c] = parameters.gamma.as<C>()[c] * saved.inv_std.as<C>()[c];
      shift[c] = static_cast<C>(static_cast<double>(parameters.beta.as<C>()[c]) -
                                static_cast<double>(saved.mean.as<C>()[c]) *
                                    static_cast<double>(scale[c]));
    }
  }
};

// The factors of dropout: 0 or 1 / (1 - dropout), for the elements from `element` on.
template <class C>
struct DropoutMask {
  DropoutKey key;
  float dropout;
  C kept = C{1} / (C{1} - static_cast<C>(dropout));

  template <class Count>
  Vector<C> operator()(std::int64_t element, Count lanes) const {
    std::uint32_t words[kLanes + 4];
    const std::int64_t skip = element % 4;
    for (std::int64_t i = 0; i < skip + lanes; i += 4) {
      const std::uint64_t index =
          (std::uint64_t{key.layer} << 40) + static_cast<std::uint64_t>((element + i) / 4);
      const Random4 random = philox(key.seed, RandomStream::dropout, *key.step, index);
      std::copy_n(random.value, 4, words + i);
    }
    Vector<C> factor{};
    for (int lane = 0; lane < lanes; ++lane) {
      factor[lane] = uniform(words[skip + lane]) >= dropout ? kept : C{0};
    }
    return factor;
  }
};
template <class C>
struct NoDropout {
  template <class Count>
  Vector<C> operator()(std::int64_t, Count) const {
    return broadcast(C{1});
  }
};

template <class T, class Dropout, class C = Compute<T>>
void forward_plain(const ConstView& x, const Affine<C>& affine, const Dropout& dropout, View y) {
  const Grid grid(x);
  parallel_tiles(grid, [&, from = x.as<T>(), to = y.as<T>()](std::int64_t at, std::int64_t count,
                                                             std::int64_t channel, auto lanes) {
    const Vector<C> scale = load_lanes(affine.scale + channel, lanes);
    const Vector<C> shift = load_lanes(affine.shift + channel, lanes);
    const Vector<C> floor = broadcast(affine.floor);
    for (std::int64_t p = 0; p < count; ++p, at += grid.channels) {
      const Vector<C> v = load_lanes(from + at, lanes) * scale + shift;
      const Vector<C> clipped = v < floor ? floor : v;
      store_lanes(clipped * dropout(at, lanes), to + at, lanes);
    }
  });
}

// v is monotone in x, so the maximum of v lies at the maximum of sign(gamma) x, an exact
// comparison. KeepsPicks: whether argmax and picked are written.
template <class T, class KeepsPicks, class Pool, class Stride, class C = Compute<T>>
void forward_pooled(KeepsPicks, Pool pool, Stride stride, const ConstView& x,
                    const Affine<C>& affine, const BatchNormSaved& saved, View y) {
  using Int = MaskInt<C>;
  const Grid grid(x), out(y);
  parallel_for(out.images * out.height, grid.elements(), [&](std::int64_t row) {
    const std::int64_t top = row / out.height * grid.height + row % out.height * stride;
    for_each_tile(out.width, out.channels,
                  [&](std::int64_t first, auto count, std::int64_t channel, auto lanes) {
                    const Vector<C> scale = load_lanes(affine.scale + channel, lanes);
                    const Vector<C> shift = load_lanes(affine.shift + channel, lanes);
                    const Vector<C> floor = broadcast(affine.floor);
                    const Vector<C> zero{}, one = broadcast(C{1});
                    const Vector<C> sign = scale > zero ? one : scale < zero ? -one : zero;
                    const std::int64_t step = grid.channels, line = grid.width * step;
                    const T* corner = x.as<T>() + top * line + first * stride * step + channel;
                    const std::int64_t start = (row * out.width + first) * step + channel;
                    T* to = y.as<T>() + start;
                    for (std::int64_t q = 0; q < count; ++q, corner += stride * step) {
                      Vector<C> picked = load_lanes(corner, lanes);
                      Vector<C> best = picked * sign;
                      Vector<Int> argmax{};
                      for (int tap = 1; tap < pool * pool; ++tap) {
                        const T* at = corner + tap / pool * line + tap % pool * step;
                        const Vector<C> value = load_lanes(at, lanes);
                        const auto better = value * sign > best;
                        best = better ? value * sign : best;
                        picked = better ? value : picked;
                        argmax = better ? broadcast(Int{tap}) : argmax;
                      }
                      const Vector<C> v = picked * scale + shift;
                      store_lanes(v < floor ? floor : v, to + q * step, lanes);
                      if constexpr (KeepsPicks::value) {
                        argmax = v <= floor ? broadcast(Int{kClipped}) : argmax;
                        const std::int64_t at = start + q * step;
                        store_lanes(picked, saved.picked.as<T>() + at, lanes);
                        store_raw(narrow(__builtin_convertvector(argmax, Vector<std::int32_t>)),
                                  saved.argmax.as<std::uint8_t>() + at, lanes);
                      }
                    }
                  });
  });
}

// Calls body(pool, stride) with constants for the windows of the networks.
template <class Body>
void with_window(const BatchNorm& norm, Body&& body) {
  using Two = std::integral_constant<int, 2>;
  using Three = std::integral_constant<int, 3>;
  if (norm.pool == 2 && norm.pool_stride == 2) return body(Two{}, Two{});
  if (norm.pool == 3 && norm.pool_stride == 2) return body(Three{}, Two{});
  body(norm.pool, norm.pool_stride);
}

template <class T>
void forward(Context& ctx, const BatchNorm& norm, Mode mode, const DropoutKey& key,
             const ConstView& x, const BatchNormParameters& parameters, const BatchNormSaved& saved,
             View y) {
  using C = Compute<T>;
  if (mode == Mode::train) {
    batch_statistics<T>(ctx, norm, x, parameters, saved);
  } else {
    running_statistics<C>(norm, parameters, saved);
  }
  Scratch::Frame frame(ctx.scratch);
  const Affine<C> affine(frame, norm, parameters, saved);
  if (norm.pool > 0) {
    with_window(norm, [&](auto pool, auto stride) {
      if (saved.has_picks()) {
        forward_pooled<T>(std::true_type(), pool, stride, x, affine, saved, y);
      } else {
        forward_pooled<T>(std::false_type(), pool, stride, x, affine, saved, y);
      }
    });
  } else if (norm.dropout > 0 && mode == Mode::train) {
    forward_plain<T>(x, affine, DropoutMask<C>{key, norm.dropout}, y);
  } else {
    forward_plain<T>(x, affine, NoDropout<C>{}, y);
  }
}

// ---- backward -----------------------------------------------------------------------------------

// The gradient in front of ReLU and dropout, from dy: the three ways to know what passed.
template <class T>
struct AllPassed {
  const T* dy;
  template <class Count>
  Vector<Compute<T>> operator()(std::int64_t at, Count lanes) const {
    return load_lanes(dy + at, lanes);
  }
};
template <class T>
struct PassedIfPositive {
  const T *dy, *y;
  Compute<T> kept;  // 1 / (1 - dropout)
  template <class Count>
  Vector<Compute<T>> operator()(std::int64_t at, Count lanes) const {
    const Vector<Compute<T>> zero{};
    return load_lanes(y + at, lanes) > zero ? load_lanes(dy + at, lanes) * kept : zero;
  }
};
template <class T>
struct PassedIfPicked {
  const T* dy;
  const std::uint8_t* argmax;
  template <class Count>
  Vector<Compute<T>> operator()(std::int64_t at, Count lanes) const {
    using Int = MaskInt<Compute<T>>;
    const auto code = __builtin_convertvector(widen(load_raw(argmax + at, lanes)), Vector<Int>);
    return code == broadcast(Int{kClipped}) ? Vector<Compute<T>>{} : load_lanes(dy + at, lanes);
  }
};

// a = sum g, b = sum g (x - mean), with `values` = x, or the picked x of a pooled layer.
template <class T, class Gradient, class C = Compute<T>>
ChannelSums gradient_sums(Scratch::Frame& frame, const ConstView& values, const C* mean,
                          const Gradient& gradient) {
  return channel_sums<C>(frame, Grid(values),
                         [mean, gradient, data = values.as<T>()](std::int64_t channel, auto lanes) {
                           return [data, gradient, center = load_lanes(mean + channel, lanes)](
                                      std::int64_t at, auto n) {
                             const Vector<C> g = gradient(at, n);
                             return Pair<C>{g, g * (load_lanes(data + at, n) - center)};
                           };
                         });
}

// dx = gain g + slope x + offset, the formula of the header collected by powers of x.
template <class C>
struct InputGradient {
  C *gain, *slope, *offset;

  InputGradient(Scratch::Frame& frame, Mode mode, std::int64_t m, const C* gamma,
                const BatchNormSaved& saved, const ChannelSums& sums) {
    const std::int64_t channels = saved.mean.shape[0];
    gain = frame.take<C>(static_cast<std::size_t>(channels));
    slope = frame.take<C>(static_cast<std::size_t>(channels));
    offset = frame.take<C>(static_cast<std::size_t>(channels));
    const double per_pixel = mode == Mode::train ? 1 / static_cast<double>(m) : 0;
    for (std::int64_t c = 0; c < channels; ++c) {
      const double inv_std = static_cast<double>(saved.inv_std.as<C>()[c]);
      const double mean = static_cast<double>(saved.mean.as<C>()[c]);
      const double scale = static_cast<double>(gamma[c]) * inv_std;
      gain[c] = static_cast<C>(scale);
      slope[c] = static_cast<C>(-scale * per_pixel * inv_std * inv_std * sums.b[c]);
      offset[c] =
          static_cast<C>(-scale * per_pixel * sums.a[c] - mean * static_cast<double>(slope[c]));
    }
  }
};

template <class T, class Gradient, class C = Compute<T>>
void backward_plain(const ConstView& x, const InputGradient<C>& input, const Gradient& gradient,
                    View dx) {
  const Grid grid(x);
  parallel_tiles(grid, [&, from = x.as<T>(), to = dx.as<T>(), gradient](
                           std::int64_t at, auto count, std::int64_t channel, auto lanes) {
    const Vector<C> gain = load_lanes(input.gain + channel, lanes);
    const Vector<C> slope = load_lanes(input.slope + channel, lanes);
    const Vector<C> offset = load_lanes(input.offset + channel, lanes);
    for (std::int64_t p = 0; p < count; ++p, at += grid.channels) {
      const Vector<C> rest = load_lanes(from + at, lanes) * slope + offset;
      store_lanes(gradient(at, lanes) * gain + rest, to + at, lanes);
    }
  });
}

// The pooling windows [first, end) of one axis that contain a position.
struct Windows {
  std::int64_t first, end;

  template <class Pool, class Stride>
  Windows(Pool pool, Stride stride, std::int64_t position, std::int64_t windows)
      : first(position < pool ? 0 : (position - pool) / stride + 1),
        end(std::min(windows, position / stride + 1)) {}
};

// Each pixel gathers from the windows that contain it, so that rows are independent.
template <class T, class Pool, class Stride, class C = Compute<T>>
void backward_pooled(Pool pool, Stride stride, const ConstView& x, const InputGradient<C>& input,
                     const BatchNormSaved& saved, const ConstView& dy, View dx) {
  using Int = MaskInt<C>;
  const Grid grid(x), out(dy);
  parallel_for(grid.images * grid.height, grid.elements(), [&](std::int64_t row) {
    const std::int64_t image = row / grid.height, h = row % grid.height;
    const Windows rows(pool, stride, h, out.height);
    for_each_tile(
        grid.width, grid.channels,
        [&](std::int64_t first, auto count, std::int64_t channel, auto lanes) {
          const Vector<C> gain = load_lanes(input.gain + channel, lanes);
          const Vector<C> slope = load_lanes(input.slope + channel, lanes);
          const Vector<C> offset = load_lanes(input.offset + channel, lanes);
          const std::int64_t step = grid.channels, out_width = out.width;
          const std::int64_t out_start = image * out.height * out_width * step + channel;
          const T* from = x.as<T>() + row * grid.width * step + channel;
          const T* from_dy = dy.as<T>() + out_start;
          const std::uint8_t* argmax = saved.argmax.as<std::uint8_t>() + out_start;
          T* to = dx.as<T>() + row * grid.width * step + channel;
          for (std::int64_t w = first; w < first + count; ++w) {
            const Windows columns(pool, stride, w, out_width);
            Vector<C> g{};
            for (std::int64_t p = rows.first; p < rows.end; ++p) {
              for (std::int64_t q = columns.first; q < columns.end; ++q) {
                const std::int64_t at = (p * out_width + q) * step;
                const auto code =
                    __builtin_convertvector(widen(load_raw(argmax + at, lanes)), Vector<Int>);
                const auto here = static_cast<Int>((h - p * stride) * pool + w - q * stride);
                g += code == broadcast(here) ? load_lanes(from_dy + at, lanes) : Vector<C>{};
              }
            }
            const Vector<C> rest = load_lanes(from + w * step, lanes) * slope + offset;
            store_lanes(g * gain + rest, to + w * step, lanes);
          }
        });
  });
}

template <class T, class Gradient>
ChannelSums backward_parameters(Scratch::Frame& frame, const ConstView& values,
                                const BatchNormSaved& saved, const Gradient& gradient, Grad grad,
                                View dgamma, View dbeta) {
  using C = Compute<T>;
  const ChannelSums sums = gradient_sums<T>(frame, values, saved.mean.as<C>(), gradient);
  const C* inv_std = saved.inv_std.as<C>();
  const auto put = [grad](C& target, double value) {
    target = static_cast<C>(grad == Grad::accumulate ? static_cast<double>(target) + value : value);
  };
  for (std::int64_t c = 0; c < dgamma.shape[0]; ++c) {
    put(dbeta.as<C>()[c], sums.a[c]);
    put(dgamma.as<C>()[c], sums.b[c] * static_cast<double>(inv_std[c]));
  }
  return sums;
}

template <class T>
void backward(Context& ctx, const BatchNorm& norm, Mode mode, const ConstView& x,
              const ConstView& y, const ConstView& gamma, const BatchNormSaved& saved,
              const ConstView& dy, Grad grad, View dgamma, View dbeta, View dx) {
  using C = Compute<T>;
  Scratch::Frame frame(ctx.scratch);
  const auto input_gradient = [&](const ChannelSums& sums) {
    return InputGradient<C>(frame, mode, Grid(x).pixels(), gamma.as<C>(), saved, sums);
  };
  if (norm.pool > 0) {
    const PassedIfPicked<T> gradient{dy.as<T>(), saved.argmax.as<std::uint8_t>()};
    const ChannelSums sums =
        backward_parameters<T>(frame, saved.picked, saved, gradient, grad, dgamma, dbeta);
    if (dx.empty()) return;
    const InputGradient<C> input = input_gradient(sums);
    return with_window(norm, [&](auto pool, auto stride) {
      backward_pooled<T>(pool, stride, x, input, saved, dy, dx);
    });
  }
  const auto plain = [&](const auto& gradient) {
    const ChannelSums sums = backward_parameters<T>(frame, x, saved, gradient, grad, dgamma, dbeta);
    if (!dx.empty()) backward_plain<T>(x, input_gradient(sums), gradient, dx);
  };
  if (norm.relu) {
    const bool dropped = norm.dropout > 0 && mode == Mode::train;
    const C kept = dropped ? C{1} / (C{1} - static_cast<C>(norm.dropout)) : C{1};
    plain(PassedIfPositive<T>{dy.as<T>(), y.as<T>(), kept});
  } else {
    plain(AllPassed<T>{dy.as<T>()});
  }
}

}  // namespace

void batchnorm_forward(Context& ctx, const BatchNorm& norm, Mode mode, const DropoutKey& key,
                       ConstView x, const BatchNormParameters& parameters,
                       const BatchNormSaved& saved, View y) {
  check_batchnorm_forward(norm, mode, key, x, parameters, saved, y);
  dispatch_storage(x.dtype, "batch norm", [&]<class T>(Tag<T>) {
    forward<T>(ctx, norm, mode, key, x, parameters, saved, y);
  });
}

void batchnorm_backward(Context& ctx, const BatchNorm& norm, Mode mode, ConstView x, ConstView y,
                        ConstView gamma, const BatchNormSaved& saved, ConstView dy, Grad grad,
                        View dgamma, View dbeta, View dx) {
  check_batchnorm_backward(norm, x, y, gamma, saved, dy, dgamma, dbeta, dx);
  dispatch_storage(x.dtype, "batch norm", [&]<class T>(Tag<T>) {
    backward<T>(ctx, norm, mode, x, y, gamma, saved, dy, grad, dgamma, dbeta, dx);
  });
}

}  // namespace nat::cpu
