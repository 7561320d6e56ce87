#include "kernels/nat_head.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "kernels/cpu/dot.h"
#include "kernels/dispatch.h"
#include "kernels/parallel.h"

namespace nat::cpu {
namespace {

template <class T>
void normalize_row(std::int64_t d, const T* x, T* z, T* inv_norm) {
  const double norm = std::sqrt(dot(d, x, x));
  const T inverse = static_cast<T>(1 / std::max(norm, kSmallestNorm));
#pragma omp simd
  for (std::int64_t j = 0; j < d; ++j) z[j] = x[j] * inverse;
  *inv_norm = inverse;
}

template <class T>
double squared_distance(std::int64_t d, const T* a, const T* b) {
  double total = 0;
#pragma omp simd reduction(+ : total)
  for (std::int64_t j = 0; j < d; ++j) {
    const double difference = static_cast<double>(a[j]) - static_cast<double>(b[j]);
    total += difference * difference;
  }
  return total;
}

template <class T>
void loss_row(std::int64_t d, T scale, const T* z, T inv_norm, const T* target, T* loss, T* dx) {
  *loss = static_cast<T>(squared_distance(d, z, target));
  const T cosine = static_cast<T>(dot(d, z, target));
  const T factor = -2 * scale * inv_norm;
#pragma omp simd
  for (std::int64_t j = 0; j < d; ++j) dx[j] = factor * (target[j] - cosine * z[j]);
}

}  // namespace

void normalize_rows(Context&, ConstView x, View z, View inv_norm) {
  assert(x.shape.rank == 2 && z.shape == x.shape && inv_norm.shape == Shape(x.shape[0]));
  assert(z.dtype == x.dtype && inv_norm.dtype == x.dtype);
  const std::int64_t n = x.shape[0], d = x.shape[1];
  dispatch_real(x.dtype, "normalize_rows", [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(n, n * d * 4, [&](std::int64_t i) {
      normalize_row(d, x.as<T>() + i * d, z.as<T>() + i * d, inv_norm.as<T>() + i);
    });
  });
}

void nat_loss(Context&, float scale, ConstView z, ConstView inv_norm, ConstView targets, View loss,
              View dx) {
  assert(z.shape.rank == 2 && targets.shape == z.shape && dx.shape == z.shape);
  assert(inv_norm.shape == Shape(z.shape[0]) && loss.shape == inv_norm.shape);
  assert(targets.dtype == z.dtype && dx.dtype == z.dtype);
  assert(inv_norm.dtype == z.dtype && loss.dtype == z.dtype);
  const std::int64_t n = z.shape[0], d = z.shape[1];
  dispatch_real(z.dtype, "nat_loss", [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(n, n * d * 8, [&](std::int64_t i) {
      loss_row(d, static_cast<T>(scale), z.as<T>() + i * d, inv_norm.as<T>()[i],
               targets.as<T>() + i * d, loss.as<T>() + i, dx.as<T>() + i * d);
    });
  });
}

// Row by row, so that the second half finds z and the target in the cache.
void nat_head(Context&, float scale, ConstView x, ConstView targets, View z, View inv_norm,
              View loss, View dx) {
  assert(x.shape.rank == 2 && targets.shape == x.shape && z.shape == x.shape);
  assert(dx.shape == x.shape && inv_norm.shape == Shape(x.shape[0]));
  assert(loss.shape == inv_norm.shape && targets.dtype == x.dtype && z.dtype == x.dtype);
  assert(dx.dtype == x.dtype && inv_norm.dtype == x.dtype && loss.dtype == x.dtype);
  const std::int64_t n = x.shape[0], d = x.shape[1];
  dispatch_real(x.dtype, "nat_head", [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(n, n * d * 12, [&](std::int64_t i) {
      T* z_row = z.as<T>() + i * d;
      T* inverse = inv_norm.as<T>() + i;
      normalize_row(d, x.as<T>() + i * d, z_row, inverse);
      loss_row(d, static_cast<T>(scale), z_row, *inverse, targets.as<T>() + i * d, loss.as<T>() + i,
               dx.as<T>() + i * d);
    });
  });
}

}  // namespace nat::cpu
