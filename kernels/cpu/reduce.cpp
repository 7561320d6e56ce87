#include "kernels/reduce.h"

#include <algorithm>
#include <cassert>

#include "kernels/cpu/dot.h"
#include "kernels/dispatch.h"
#include "kernels/parallel.h"

namespace nat::cpu {
namespace {

// More chunks than threads keep all busy; few chunks keep the partial sums of wide rows small.
constexpr std::int64_t kRowChunks = 16;

template <class T>
void add_rows(std::int64_t begin, std::int64_t end, std::int64_t d, const T* x, double* total) {
  std::fill_n(total, d, 0.0);
  for (std::int64_t i = begin; i < end; ++i) {
    const T* row = x + i * d;
#pragma omp simd
    for (std::int64_t j = 0; j < d; ++j) total[j] += static_cast<double>(row[j]);
  }
}

template <class T>
double sum_range(std::int64_t begin, std::int64_t end, const T* x) {
  double total = 0;
#pragma omp simd reduction(+ : total)
  for (std::int64_t i = begin; i < end; ++i) total += static_cast<double>(x[i]);
  return total;
}

}  // namespace

void column_mean(Context& ctx, ConstView x, View mean) {
  assert(x.shape.rank == 2 && x.shape[0] > 0);
  assert(mean.shape == Shape(x.shape[1]) && mean.dtype == x.dtype);
  const std::int64_t n = x.shape[0], d = x.shape[1];
  const Chunks chunks(n, kRowChunks);
  Scratch::Frame frame(ctx.scratch);
  double* partial = frame.take<double>(static_cast<std::size_t>(chunks.count * d));
  dispatch_real(x.dtype, "column_mean", [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(chunks.count, n * d, [&](std::int64_t chunk) {
      add_rows(chunks.begin(chunk), chunks.end(chunk), d, x.as<T>(), partial + chunk * d);
    });
    for (std::int64_t chunk = 1; chunk < chunks.count; ++chunk) {
      const double* addend = partial + chunk * d;
#pragma omp simd
      for (std::int64_t j = 0; j < d; ++j) partial[j] += addend[j];
    }
    T* out = mean.as<T>();
    for (std::int64_t j = 0; j < d; ++j) {
      out[j] = static_cast<T>(partial[j] / static_cast<double>(n));
    }
  });
}

void center_rows(Context&, ConstView x, ConstView mean, View y) {
  assert(x.shape.rank == 2 && y.shape == x.shape && y.dtype == x.dtype);
  assert(mean.shape == Shape(x.shape[1]) && mean.dtype == x.dtype);
  const std::int64_t n = x.shape[0], d = x.shape[1];
  dispatch_real(x.dtype, "center_rows", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const T* center = mean.as<T>();
    parallel_for(n, n * d, [&](std::int64_t i) {
      const T* in = x.as<T>() + i * d;
      T* out = y.as<T>() + i * d;
#pragma omp simd
      for (std::int64_t j = 0; j < d; ++j) out[j] = in[j] - center[j];
    });
  });
}

void row_dot(Context&, ConstView a, ConstView b, View products) {
  assert(a.shape.rank == 2 && b.shape == a.shape && products.shape == Shape(a.shape[0]));
  assert(b.dtype == a.dtype && products.dtype == a.dtype);
  const std::int64_t n = a.shape[0], d = a.shape[1];
  dispatch_real(a.dtype, "row_dot", [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(n, n * d * 2, [&](std::int64_t i) {
      products.as<T>()[i] = static_cast<T>(dot(d, a.as<T>() + i * d, b.as<T>() + i * d));
    });
  });
}

void sum(Context& ctx, ConstView x, View total) {
  assert(total.shape.elements() == 1 && total.dtype == x.dtype);
  const Chunks chunks(x.shape.elements());
  Scratch::Frame frame(ctx.scratch);
  double* partial = frame.take<double>(static_cast<std::size_t>(chunks.count));
  dispatch_real(x.dtype, "sum", [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(chunks.count, chunks.total, [&](std::int64_t chunk) {
      partial[chunk] = sum_range(chunks.begin(chunk), chunks.end(chunk), x.as<T>());
    });
    double all = 0;
    for (std::int64_t chunk = 0; chunk < chunks.count; ++chunk) all += partial[chunk];
    *total.as<T>() = static_cast<T>(all);
  });
}

}  // namespace nat::cpu
