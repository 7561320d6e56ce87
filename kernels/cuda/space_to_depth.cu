#include "kernels/space_to_depth.h"

#include <algorithm>

#include "kernels/conv2d_check.h"
#include "kernels/cuda/divisor.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/dispatch.h"

namespace nat::gpu {

namespace {

constexpr unsigned kThreads = 256;

// Sizes of one picture and of its blocks.
struct PictureSizes {
  int height, width, blocks_high, blocks_wide, stride, pad, channels;

  int line() const { return stride * channels; }  // elements of one line of one block
  int row_of_blocks() const { return blocks_wide * stride * line(); }
};

// A block of threads moves one row of blocks of one picture, which lies together in z. A thread
// moves `kWidth` elements of one line of one block at a time: stride * C neighbours in x are
// neighbours in z as well. The host has made sure that no pack straddles the edge of the picture.
template <class T, int kWidth>
__global__ void __launch_bounds__(kThreads, 1)
    fold_pictures_kernel(PictureSizes size, Divisor line_packs, Divisor stride, std::uint32_t packs,
                         const T* __restrict__ x, T* __restrict__ z) {
  const auto blocks_high = static_cast<unsigned>(size.blocks_high);
  const unsigned n = blockIdx.x / blocks_high, a = blockIdx.x % blocks_high;
  const int first_row = static_cast<int>(a) * size.stride - size.pad;
  const int row_elements = size.width * size.channels;
  const T* picture = x + std::int64_t{n} * size.height * row_elements;
  T* to = z + std::int64_t{blockIdx.x} * packs * kWidth;
#pragma unroll 2
  for (std::uint32_t pack = threadIdx.x; pack < packs; pack += blockDim.x) {
    const std::uint32_t line = line_packs.quotient(pack), b = stride.quotient(line);
    const int in_line = static_cast<int>(pack - line * line_packs.value) * kWidth;
    const int row = first_row + static_cast<int>(line - b * stride.value);
    const int in_row = (static_cast<int>(b) * size.stride - size.pad) * size.channels + in_line;
    Pack<T, kWidth> values{};
    if (row >= 0 && row < size.height && in_row >= 0 && in_row < row_elements) {
      values = load_pack<kWidth>(picture + std::int64_t{row} * row_elements + in_row);
    }
    store_pack(values, to + std::int64_t{pack} * kWidth);
  }
}

// How w (k, kernel, kernel, C) and v (k, taps, taps, stride * stride * C) index each other.
struct WeightSizes {
  std::int64_t elements;  // of the tensor that the threads run over
  int kernel, taps, stride, channels;
};

template <class From, class To>
__global__ void __launch_bounds__(kThreads, 1)
    fold_weights_kernel(WeightSizes size, const From* __restrict__ w, To* __restrict__ v) {
  const std::int64_t at = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= size.elements) return;
  const int c = static_cast<int>(at % size.channels);
  std::int64_t rest = at / size.channels;
  const int j = static_cast<int>(rest % size.stride);
  rest /= size.stride;
  const int i = static_cast<int>(rest % size.stride);
  rest /= size.stride;
  const int column = static_cast<int>(rest % size.taps) * size.stride + j;
  rest /= size.taps;
  const int row = static_cast<int>(rest % size.taps) * size.stride + i;
  const std::int64_t k = rest / size.taps;
  Compute<To> value = 0;
  if (row < size.kernel && column < size.kernel) {
    value = widen(w[((k * size.kernel + row) * size.kernel + column) * size.channels + c]);
  }
  v[at] = narrow<To>(value);
}

template <class From, class To>
__global__ void __launch_bounds__(kThreads, 1)
    unfold_weight_gradient_kernel(WeightSizes size, bool accumulate, const From* __restrict__ dv,
                                  To* __restrict__ dw) {
  const std::int64_t at = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= size.elements) return;
  const int c = static_cast<int>(at % size.channels);
  std::int64_t rest = at / size.channels;
  const int column = static_cast<int>(rest % size.kernel);
  rest /= size.kernel;
  const int row = static_cast<int>(rest % size.kernel);
  const std::int64_t k = rest / size.kernel;
  const std::int64_t tap = (k * size.taps + row / size.stride) * size.taps + column / size.stride;
  const int in_block = row % size.stride * size.stride + column % size.stride;
  const To value = widen(dv[(tap * size.stride * size.stride + in_block) * size.channels + c]);
  dw[at] = accumulate ? dw[at] + value : value;
}

WeightSizes weight_sizes(const Conv2d& conv, const ConstView& w, std::int64_t elements) {
  return {elements, conv.kernel, (conv.kernel + conv.stride - 1) / conv.stride, conv.stride,
          static_cast<int>(w.shape[3])};
}

template <class T, int kWidth>
void launch_fold_pictures(Context& ctx, const PictureSizes& size, const ConstView& x,
                          const View& z) {
  const auto packs = static_cast<std::uint32_t>(size.row_of_blocks() / kWidth);
  const unsigned threads = std::min(kThreads, (packs + kWarp - 1) / kWarp * kWarp);
  launch(ctx, {.grid = blocks_for(z.shape[0] * z.shape[1], 1), .block = threads},
         fold_pictures_kernel<T, kWidth>, size, Divisor(size.line() / kWidth), Divisor(size.stride),
         packs, x.as<T>(), z.as<T>());
}

}  // namespace

void conv2d_fold(Context& ctx, const Conv2d& conv, ConstView x, View z) {
  check_conv2d_fold(conv, x, z, Device::cuda);
  const auto [n, height, width, channels] = x.shape.dim;
  const PictureSizes size{static_cast<int>(height),
                          static_cast<int>(width),
                          static_cast<int>(z.shape[1]),
                          static_cast<int>(z.shape[2]),
                          conv.stride,
                          conv.pad,
                          static_cast<int>(channels)};
  constexpr int kWide = 4;
  const bool whole_packs = conv.stride * channels % kWide == 0 &&
                           conv.pad * channels % kWide == 0 && width * channels % kWide == 0;
  dispatch_storage(x.dtype, "space to depth", [&](auto tag) {
    using T = typename decltype(tag)::type;
    constexpr int kWidth = std::min(kFullPack<T>, kWide);
    if (whole_packs && fits_pack<T>(kWidth, kWidth, {x.data, z.data})) {
      launch_fold_pictures<T, kWidth>(ctx, size, x, z);
    } else {
      launch_fold_pictures<T, 1>(ctx, size, x, z);
    }
  });
}

void fold_weights(Context& ctx, const Conv2d& conv, ConstView w, View v) {
  const WeightSizes size = weight_sizes(conv, w, v.shape.elements());
  const LaunchShape shape{.grid = blocks_for(size.elements, kThreads), .block = kThreads};
  dispatch_storage(v.dtype, "space to depth", [&](auto tag) {
    using To = typename decltype(tag)::type;
    if (w.dtype == v.dtype) {
      launch(ctx, shape, fold_weights_kernel<To, To>, size, w.as<To>(), v.as<To>());
    } else {
      launch(ctx, shape, fold_weights_kernel<Compute<To>, To>, size, w.as<Compute<To>>(),
             v.as<To>());
    }
  });
}

void unfold_weight_gradient(Context& ctx, const Conv2d& conv, ConstView dv, Grad grad, View dw) {
  const WeightSizes size = weight_sizes(conv, dw, dw.shape.elements());
  dispatch_storage(dv.dtype, "space to depth", [&](auto tag) {
    using From = typename decltype(tag)::type;
    using To = Compute<From>;
    launch(ctx, {.grid = blocks_for(size.elements, kThreads), .block = kThreads},
           unfold_weight_gradient_kernel<From, To>, size, grad == Grad::accumulate, dv.as<From>(),
           dw.as<To>());
  });
}

}  // namespace nat::gpu
