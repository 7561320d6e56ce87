#include "kernels/conv2d.h"

#include <algorithm>

#include "kernels/cpu/onednn/onednn.h"
#include "kernels/cpu/plain_operand.h"
#include "kernels/cpu/winograd/winograd.h"
#include "kernels/dispatch.h"
#include "kernels/parallel.h"
#include "nat_config.h"

namespace nat {

Shape conv2d_output(const Conv2d& conv, const Shape& x, std::int64_t channels) {
  NAT_CHECK(x.rank == 4, ErrorKind::usage, "conv2d: x has shape ", to_string(x),
            ", expected n x h x w x c");
  const auto size = [&](std::int64_t in) {
    return (in + 2 * conv.pad - conv.kernel) / conv.stride + 1;
  };
  NAT_CHECK(conv.kernel >= 1 && conv.stride >= 1 && conv.pad >= 0 &&
                x[1] + 2 * conv.pad >= conv.kernel && x[2] + 2 * conv.pad >= conv.kernel,
            ErrorKind::usage, "conv2d: kernel ", conv.kernel, " stride ", conv.stride, " pad ",
            conv.pad, " does not fit a picture of ", x[1], "x", x[2]);
  return {x[0], size(x[1]), size(x[2]), channels};
}

Shape conv2d_folded(Device device, const Conv2d& conv, const Shape& x) {
  constexpr std::int64_t kTensorCoreChannels = 8;
  const std::int64_t block = std::int64_t{conv.stride} * conv.stride;
  const bool pays = device == Device::cuda && conv.kernel > conv.stride && conv.stride > 1 &&
                    x[3] < kTensorCoreChannels && x[3] * block % kTensorCoreChannels == 0;
  if (!pays) return x;
  const std::int64_t around = (conv.kernel + conv.stride - 1) / conv.stride - 1;
  const Shape y = conv2d_output(conv, x, 1);
  return {x[0], y[1] + around, y[2] + around, x[3] * block};
}

namespace cpu {

namespace {

void check(const Conv2d& conv, const ConstView& x, const ConstView& w, const ConstView& y) {
  const Shape want_y = conv2d_output(conv, x.shape, y.shape.channels());
  const Shape want_w(y.shape.channels(), conv.kernel, conv.kernel, x.shape[3]);
  NAT_CHECK(y.shape == want_y, ErrorKind::usage, "conv2d: y has shape ", to_string(y.shape),
            ", expected ", to_string(want_y));
  NAT_CHECK(w.shape == want_w, ErrorKind::usage, "conv2d: w has shape ", to_string(w.shape),
            ", expected ", to_string(want_w));
  NAT_CHECK(x.dtype == y.dtype && w.dtype == plain_dtype(x), ErrorKind::usage, "conv2d: x is ",
            name(x.dtype), ", w ", name(w.dtype), ", y ", name(y.dtype),
            "; x and y must agree and w be f32 (f64 with f64)");
}

bool use_onednn(const ConstView& x) { return kHasOneDnn && x.dtype != DType::f64; }

// Which output positions p of one axis read input position p*stride - pad + tap inside [0, in).
struct Range {
  std::int64_t begin, end;
};
Range valid_outputs(const Conv2d& conv, std::int64_t in, std::int64_t out, std::int64_t tap) {
  const std::int64_t first = conv.pad - tap;  // p * stride >= first
  const std::int64_t begin = first <= 0 ? 0 : (first + conv.stride - 1) / conv.stride;
  const std::int64_t last = in - 1 + conv.pad - tap;  // p * stride <= last
  const std::int64_t end = last < 0 ? 0 : std::min(out, last / conv.stride + 1);
  return {begin, end};
}

std::int64_t work(const ConstView& x, const ConstView& w, const ConstView& y) {
  return y.shape[0] * y.shape[1] * y.shape[2] * w.shape.elements() + x.shape.elements();
}

// One output row at a time; output channels are innermost, so that the loop vectorises with the
// weights transposed to (r, s, c, k).
template <class T>
void plain_forward(Context& ctx, const Conv2d& conv, ConstView x, ConstView w, View y) {
  const auto [n, height, width, in] = x.shape.dim;
  const std::int64_t out_h = y.shape[1], out_w = y.shape[2], out = y.shape[3];
  const std::int64_t taps = std::int64_t{conv.kernel} * conv.kernel * in;
  Scratch::Frame frame(ctx.scratch);
  T* transposed = frame.take<T>(static_cast<std::size_t>(taps * out));
  for (std::int64_t k = 0; k < out; ++k) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      transposed[tap * out + k] = w.as<T>()[k * taps + tap];
    }
  }
  parallel_for(n * out_h, work(x, w, y),
               [&, height = height, width = width, in = in](std::int64_t row) {
                 const std::int64_t image = row / out_h, p = row % out_h;
                 T* y_row = y.as<T>() + row * out_w * out;
                 std::fill(y_row, y_row + out_w * out, T{0});
                 for (std::int64_t r = 0; r < conv.kernel; ++r) {
                   const std::int64_t h = p * conv.stride - conv.pad + r;
                   if (h < 0 || h >= height) continue;
                   for (std::int64_t s = 0; s < conv.kernel; ++s) {
                     const Range range = valid_outputs(conv, width, out_w, s);
                     for (std::int64_t q = range.begin; q < range.end; ++q) {
                       const std::int64_t column = q * conv.stride - conv.pad + s;
                       const T* x_pixel = x.as<T>() + ((image * height + h) * width + column) * in;
                       for (std::int64_t c = 0; c < in; ++c) {
                         const T value = x_pixel[c];
                         const T* weights = transposed + ((r * conv.kernel + s) * in + c) * out;
                         T* y_pixel = y_row + q * out;
#pragma omp simd
                         for (std::int64_t k = 0; k < out; ++k) y_pixel[k] += value * weights[k];
                       }
                     }
                   }
                 }
               });
}

// Scatters inside one image; images are independent.
template <class T>
void plain_backward_data(const Conv2d& conv, ConstView w, ConstView dy, View dx) {
  const auto [n, height, width, in] = dx.shape.dim;
  const std::int64_t out_h = dy.shape[1], out_w = dy.shape[2], out = dy.shape[3];
  parallel_for(
      n, work(dx, w, dy), [&, height = height, width = width, in = in](std::int64_t image) {
        T* dx_image = dx.as<T>() + image * height * width * in;
        std::fill(dx_image, dx_image + height * width * in, T{0});
        for (std::int64_t p = 0; p < out_h; ++p) {
          for (std::int64_t r = 0; r < conv.kernel; ++r) {
            const std::int64_t h = p * conv.stride - conv.pad + r;
            if (h < 0 || h >= height) continue;
            for (std::int64_t s = 0; s < conv.kernel; ++s) {
              const Range range = valid_outputs(conv, width, out_w, s);
              for (std::int64_t q = range.begin; q < range.end; ++q) {
                const T* dy_pixel = dy.as<T>() + ((image * out_h + p) * out_w + q) * out;
                T* dx_pixel = dx_image + (h * width + q * conv.stride - conv.pad + s) * in;
                for (std::int64_t k = 0; k < out; ++k) {
                  const T value = dy_pixel[k];
                  const T* weights = w.as<T>() + ((k * conv.kernel + r) * conv.kernel + s) * in;
#pragma omp simd
                  for (std::int64_t c = 0; c < in; ++c) dx_pixel[c] += value * weights[c];
                }
              }
            }
          }
        }
      });
}

// One task per kernel tap: each owns its slice of dw, so the sum over images has a fixed order.
template <class T>
void plain_backward_weights(const Conv2d& conv, ConstView x, ConstView dy, Grad grad, View dw) {
  const auto [n, height, width, in] = x.shape.dim;
  const std::int64_t out_h = dy.shape[1], out_w = dy.shape[2], out = dy.shape[3];
  const std::int64_t taps = std::int64_t{conv.kernel} * conv.kernel;
  parallel_for(taps, work(x, dw, dy),
               [&, n = n, height = height, width = width, in = in](std::int64_t tap) {
                 const std::int64_t r = tap / conv.kernel, s = tap % conv.kernel;
                 if (grad == Grad::overwrite) {
                   for (std::int64_t k = 0; k < out; ++k)
                     std::fill_n(dw.as<T>() + (k * taps + tap) * in, in, T{0});
                 }
                 const Range rows = valid_outputs(conv, height, out_h, r);
                 const Range columns = valid_outputs(conv, width, out_w, s);
                 for (std::int64_t image = 0; image < n; ++image) {
                   for (std::int64_t p = rows.begin; p < rows.end; ++p) {
                     for (std::int64_t q = columns.begin; q < columns.end; ++q) {
                       const std::int64_t h = p * conv.stride - conv.pad + r;
                       const std::int64_t column = q * conv.stride - conv.pad + s;
                       const T* x_pixel = x.as<T>() + ((image * height + h) * width + column) * in;
                       const T* dy_pixel = dy.as<T>() + ((image * out_h + p) * out_w + q) * out;
                       for (std::int64_t k = 0; k < out; ++k) {
                         const T value = dy_pixel[k];
                         T* slice = dw.as<T>() + (k * taps + tap) * in;
#pragma omp simd
                         for (std::int64_t c = 0; c < in; ++c) slice[c] += value * x_pixel[c];
                       }
                     }
                   }
                 }
               });
}

}  // namespace

void conv2d_forward(Context& ctx, const Conv2d& conv, ConstView x, ConstView w, View y) {
  check(conv, x, w, y);
  if (winograd_tile(conv, x, y)) return winograd_forward(ctx, conv, x, w, y);
  Scratch::Frame frame(ctx.scratch);
  if constexpr (kHasOneDnn) {
    if (use_onednn(x) && onednn::conv2d_forward(ctx, conv, x, w, y)) return;
  }
  const ConstView plain_x = plain_input(ctx, frame, x);
  const ConstView plain_w = plain_weights(ctx, frame, w, x.dtype);
  with_plain_output(ctx, frame, y, [&](View plain_y) {
    dispatch_real(plain_y.dtype, "conv2d", [&](auto tag) {
      plain_forward<typename decltype(tag)::type>(ctx, conv, plain_x, plain_w, plain_y);
    });
  });
}

void conv2d_backward_data(Context& ctx, const Conv2d& conv, ConstView w, ConstView dy, View dx) {
  check(conv, dx, w, dy);
  if (winograd_tile(conv, dy, dx)) return winograd_backward_data(ctx, conv, w, dy, dx);
  Scratch::Frame frame(ctx.scratch);
  if constexpr (kHasOneDnn) {
    if (use_onednn(dx) && onednn::conv2d_backward_data(ctx, conv, w, dy, dx)) return;
  }
  const ConstView plain_dy = plain_input(ctx, frame, dy);
  const ConstView plain_w = plain_weights(ctx, frame, w, dx.dtype);
  with_plain_output(ctx, frame, dx, [&](View plain_dx) {
    dispatch_real(plain_dx.dtype, "conv2d", [&](auto tag) {
      plain_backward_data<typename decltype(tag)::type>(conv, plain_w, plain_dy, plain_dx);
    });
  });
}

void conv2d_backward_weights(Context& ctx, const Conv2d& conv, ConstView x, ConstView dy, Grad grad,
                             View dw) {
  check(conv, x, dw, dy);
  if (winograd_tile(conv, x, dy)) return winograd_backward_weights(ctx, conv, x, dy, grad, dw);
  Scratch::Frame frame(ctx.scratch);
  if constexpr (kHasOneDnn) {
    if (use_onednn(x) && onednn::conv2d_backward_weights(ctx, conv, x, dy, grad, dw)) return;
  }
  const ConstView plain_x = plain_input(ctx, frame, x);
  const ConstView plain_dy = plain_input(ctx, frame, dy);
  dispatch_real(dw.dtype, "conv2d", [&](auto tag) {
    plain_backward_weights<typename decltype(tag)::type>(conv, plain_x, plain_dy, grad, dw);
  });
}

std::string conv2d_forward_implementation(Context& ctx, const Conv2d& conv, ConstView x,
                                          ConstView w, View y) {
  if (const WinogradTile tile = winograd_tile(conv, x, y)) return winograd_name(tile);
  if constexpr (kHasOneDnn) {
    if (use_onednn(x)) {
      const std::string found = onednn::conv2d_forward_implementation(ctx, conv, x, w, y);
      if (!found.empty()) return found;
    }
  }
  return "plain loops";
}

}  // namespace cpu
}  // namespace nat
