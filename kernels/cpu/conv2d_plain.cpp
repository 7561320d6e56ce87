#include "kernels/cpu/conv2d_plain.h"

#include <algorithm>

#include "kernels/cpu/plain_operand.h"
#include "kernels/dispatch.h"
#include "kernels/parallel.h"

namespace nat::cpu::plain {

namespace {

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
void forward(Context& ctx, const Conv2d& conv, ConstView x, ConstView w, View y) {
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
void backward_data(const Conv2d& conv, ConstView w, ConstView dy, View dx) {
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
void backward_weights(const Conv2d& conv, ConstView x, ConstView dy, Grad grad, View dw) {
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
  Scratch::Frame frame(ctx.scratch);
  const ConstView plain_x = plain_input(ctx, frame, x);
  const ConstView plain_w = plain_weights(ctx, frame, w, x.dtype);
  with_plain_output(ctx, frame, y, [&](View plain_y) {
    dispatch_real(plain_y.dtype, "conv2d", [&](auto tag) {
      forward<typename decltype(tag)::type>(ctx, conv, plain_x, plain_w, plain_y);
    });
  });
}

void conv2d_backward_data(Context& ctx, const Conv2d& conv, ConstView w, ConstView dy, View dx) {
  Scratch::Frame frame(ctx.scratch);
  const ConstView plain_dy = plain_input(ctx, frame, dy);
  const ConstView plain_w = plain_weights(ctx, frame, w, dx.dtype);
  with_plain_output(ctx, frame, dx, [&](View plain_dx) {
    dispatch_real(plain_dx.dtype, "conv2d", [&](auto tag) {
      backward_data<typename decltype(tag)::type>(conv, plain_w, plain_dy, plain_dx);
    });
  });
}

void conv2d_backward_weights(Context& ctx, const Conv2d& conv, ConstView x, ConstView dy, Grad grad,
                             View dw) {
  Scratch::Frame frame(ctx.scratch);
  const ConstView plain_x = plain_input(ctx, frame, x);
  const ConstView plain_dy = plain_input(ctx, frame, dy);
  dispatch_real(dw.dtype, "conv2d", [&](auto tag) {
    backward_weights<typename decltype(tag)::type>(conv, plain_x, plain_dy, grad, dw);
  });
}

}  // namespace nat::cpu::plain
