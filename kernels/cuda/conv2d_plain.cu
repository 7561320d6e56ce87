#include "kernels/cuda/conv2d_plain.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/dispatch.h"

namespace nat::gpu::plain {

namespace {

constexpr unsigned kThreads = 128;

struct Sizes {
  std::int64_t elements;  // of the result, one thread each
  int n, h, w, c;         // of x
  int p, q, k;            // of y
  int kernel, stride, pad;
};

Sizes sizes(const Conv2d& conv, const Shape& x, const Shape& y, const Shape& result) {
  const auto [n, h, w, c] = x.dim;
  return {result.elements(),
          static_cast<int>(n),
          static_cast<int>(h),
          static_cast<int>(w),
          static_cast<int>(c),
          static_cast<int>(y[1]),
          static_cast<int>(y[2]),
          static_cast<int>(y[3]),
          conv.kernel,
          conv.stride,
          conv.pad};
}

// The last index of a tensor runs fastest; `rest` keeps the others.
__device__ int next_index(std::int64_t& rest, int size) {
  const int index = static_cast<int>(rest % size);
  rest /= size;
  return index;
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1)
    forward_kernel(Sizes d, const T* __restrict__ x, const T* __restrict__ w, T* __restrict__ y) {
  const std::int64_t at = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= d.elements) return;
  std::int64_t n = at;
  const int k = next_index(n, d.k), q = next_index(n, d.q), p = next_index(n, d.p);
  Compute<T> sum = 0;
  for (int r = 0; r < d.kernel; ++r) {
    const int row = p * d.stride - d.pad + r;
    if (row < 0 || row >= d.h) continue;
    for (int s = 0; s < d.kernel; ++s) {
      const int column = q * d.stride - d.pad + s;
      if (column < 0 || column >= d.w) continue;
      const T* pixel = x + ((n * d.h + row) * d.w + column) * d.c;
      const T* taps = w + ((std::int64_t{k} * d.kernel + r) * d.kernel + s) * d.c;
      for (int c = 0; c < d.c; ++c) sum += widen(pixel[c]) * widen(taps[c]);
    }
  }
  y[at] = narrow<T>(sum);
}

// Gathers the outputs that read pixel (n, h, w): those at (h + pad - r) / stride, where whole.
template <class T>
__global__ void __launch_bounds__(kThreads, 1)
    backward_data_kernel(Sizes d, const T* __restrict__ w, const T* __restrict__ dy,
                         T* __restrict__ dx) {
  const std::int64_t at = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= d.elements) return;
  std::int64_t n = at;
  const int c = next_index(n, d.c), column = next_index(n, d.w), row = next_index(n, d.h);
  Compute<T> sum = 0;
  for (int r = 0; r < d.kernel; ++r) {
    const int from_row = row + d.pad - r;
    if (from_row < 0 || from_row % d.stride != 0 || from_row / d.stride >= d.p) continue;
    for (int s = 0; s < d.kernel; ++s) {
      const int from_column = column + d.pad - s;
      if (from_column < 0 || from_column % d.stride != 0 || from_column / d.stride >= d.q) continue;
      const T* gradient =
          dy + ((n * d.p + from_row / d.stride) * d.q + from_column / d.stride) * d.k;
      const T* taps = w + (std::int64_t{r} * d.kernel + s) * d.c + c;
      const std::int64_t filter = std::int64_t{d.kernel} * d.kernel * d.c;
      for (int k = 0; k < d.k; ++k) sum += widen(gradient[k]) * widen(taps[k * filter]);
    }
  }
  dx[at] = narrow<T>(sum);
}

template <class T>
__global__ void __launch_bounds__(kThreads, 1)
    backward_weights_kernel(Sizes d, const T* __restrict__ x, const T* __restrict__ dy,
                            T* __restrict__ dw) {
  const std::int64_t at = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (at >= d.elements) return;
  std::int64_t k = at;
  const int c = next_index(k, d.c), s = next_index(k, d.kernel), r = next_index(k, d.kernel);
  Compute<T> sum = 0;
  for (std::int64_t n = 0; n < d.n; ++n) {
    for (int p = 0; p < d.p; ++p) {
      const int row = p * d.stride - d.pad + r;
      if (row < 0 || row >= d.h) continue;
      for (int q = 0; q < d.q; ++q) {
        const int column = q * d.stride - d.pad + s;
        if (column < 0 || column >= d.w) continue;
        sum += widen(dy[((n * d.p + p) * d.q + q) * d.k + k]) *
               widen(x[((n * d.h + row) * d.w + column) * d.c + c]);
      }
    }
  }
  dw[at] = narrow<T>(sum);
}

LaunchShape one_thread_each(const Sizes& d) {
  return {.grid = blocks_for(d.elements, kThreads), .block = kThreads};
}

}  // namespace

void conv2d_forward(Context& ctx, const Conv2d& conv, ConstView x, ConstView w, View y) {
  const Sizes d = sizes(conv, x.shape, y.shape, y.shape);
  dispatch_storage(y.dtype, "conv2d", [&](auto tag) {
    using T = typename decltype(tag)::type;
    launch(ctx, one_thread_each(d), forward_kernel<T>, d, x.as<T>(), w.as<T>(), y.as<T>());
  });
}

void conv2d_backward_data(Context& ctx, const Conv2d& conv, ConstView w, ConstView dy, View dx) {
  const Sizes d = sizes(conv, dx.shape, dy.shape, dx.shape);
  dispatch_storage(dx.dtype, "conv2d", [&](auto tag) {
    using T = typename decltype(tag)::type;
    launch(ctx, one_thread_each(d), backward_data_kernel<T>, d, w.as<T>(), dy.as<T>(), dx.as<T>());
  });
}

void conv2d_backward_weights(Context& ctx, const Conv2d& conv, ConstView x, ConstView dy, View dw) {
  const Sizes d = sizes(conv, x.shape, dy.shape, dw.shape);
  dispatch_storage(dw.dtype, "conv2d", [&](auto tag) {
    using T = typename decltype(tag)::type;
    launch(ctx, one_thread_each(d), backward_weights_kernel<T>, d, x.as<T>(), dy.as<T>(),
           dw.as<T>());
  });
}

}  // namespace nat::gpu::plain
