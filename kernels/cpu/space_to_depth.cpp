#include "kernels/space_to_depth.h"

#include <algorithm>

#include "kernels/conv2d_check.h"
#include "kernels/cpu/stored.h"
#include "kernels/dispatch.h"
#include "kernels/parallel.h"

namespace nat::cpu {

namespace {

// A row of blocks of one picture: pixels [first, first + width of the row) of `stride` lines, of
// which the picture holds some.
template <class T>
void fold_row(const Conv2d& conv, const ConstView& x, std::int64_t image, std::int64_t first_line,
              std::int64_t blocks, T* to) {
  const std::int64_t height = x.shape[1], row = x.shape[2] * x.shape[3];
  const std::int64_t run = conv.stride * x.shape[3];  // neighbours in x and in z
  const T* picture = x.as<T>() + image * height * row;
  for (std::int64_t block = 0; block < blocks; ++block) {
    const std::int64_t begin = block * run - conv.pad * x.shape[3];
    const std::int64_t missing = std::clamp<std::int64_t>(-begin, 0, run);
    const std::int64_t held = std::clamp<std::int64_t>(row - begin, missing, run);
    for (std::int64_t line = first_line; line < first_line + conv.stride; ++line, to += run) {
      if (line < 0 || line >= height) {
        std::fill_n(to, run, T{});
        continue;
      }
      const T* from = picture + line * row + begin;
      std::fill_n(to, missing, T{});
      std::copy(from + missing, from + held, to + missing);
      std::fill_n(to + held, run - held, T{});
    }
  }
}

// Calls body(tap of w, tap of v) for all taps of one output channel, each `channels` elements.
template <class Body>
void for_each_tap(const Conv2d& conv, std::int64_t channels, Body&& body) {
  const std::int64_t stride = conv.stride, taps = folded_conv(conv).kernel;
  for (std::int64_t r = 0; r < conv.kernel; ++r) {
    for (std::int64_t s = 0; s < conv.kernel; ++s) {
      const std::int64_t tap = r / stride * taps + s / stride;
      const std::int64_t in_block = r % stride * stride + s % stride;
      body((r * conv.kernel + s) * channels, (tap * stride * stride + in_block) * channels);
    }
  }
}

}  // namespace

void conv2d_fold(Context&, const Conv2d& conv, ConstView x, View folded) {
  check_conv2d_fold(conv, x, folded, Device::cpu);
  const auto [n, rows, blocks, channels] = folded.shape.dim;
  dispatch_storage(
      x.dtype, "space to depth",
      [&, rows = rows, blocks = blocks, row = blocks * channels](auto tag) {
        using T = typename decltype(tag)::type;
        parallel_for(folded.shape[0] * rows, folded.shape.elements(), [&](std::int64_t i) {
          const std::int64_t first_line = i % rows * conv.stride - conv.pad;
          fold_row<T>(conv, x, i / rows, first_line, blocks, folded.as<T>() + i * row);
        });
      });
}

void fold_weights(Context&, const Conv2d& conv, ConstView w, View v) {
  const std::int64_t channels = w.shape[3];
  dispatch_real(w.dtype, "space to depth", [&](auto tag) {
    using T = typename decltype(tag)::type;
    std::fill_n(v.as<T>(), v.shape.elements(), T{0});
    for (std::int64_t k = 0; k < w.shape[0]; ++k) {
      const T* from = w.as<T>() + k * w.shape.row();
      T* to = v.as<T>() + k * v.shape.row();
      for_each_tap(conv, channels, [&](std::int64_t in_w, std::int64_t in_v) {
        std::copy_n(from + in_w, channels, to + in_v);
      });
    }
  });
}

void unfold_weight_gradient(Context&, const Conv2d& conv, ConstView dv, Grad grad, View dw) {
  const std::int64_t channels = dw.shape[3];
  dispatch_real(dw.dtype, "space to depth", [&](auto tag) {
    using T = typename decltype(tag)::type;
    for (std::int64_t k = 0; k < dw.shape[0]; ++k) {
      const T* from = dv.as<T>() + k * dv.shape.row();
      T* to = dw.as<T>() + k * dw.shape.row();
      for_each_tap(conv, channels, [&](std::int64_t in_w, std::int64_t in_v) {
        for (std::int64_t c = 0; c < channels; ++c) {
          T& sum = to[in_w + c];
          sum = grad == Grad::accumulate ? sum + from[in_v + c] : from[in_v + c];
        }
      });
    }
  });
}

}  // namespace nat::cpu
