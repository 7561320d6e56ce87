#include "kernels/nat_head.h"

#include <cassert>
#include <cmath>

#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/team.cuh"
#include "kernels/dispatch.h"

namespace nat::gpu {
namespace {

// How a team of threads shares a row. Thread r owns the packs r, r + kThreads, ... of it. With
// kPacks > 0 they stay in its registers and are read once, 16 bytes at a time; kPacks = 0 serves
// rows of any length and alignment, element by element, and reads them again at each use. Which
// thread owns what, and with it every sum, depends on the length of the row alone.
template <int kThreads_, int kPacks_>
struct Sharing {
  static constexpr int kThreads = kThreads_, kPacks = kPacks_;
};

// The share of one thread of a row of d elements.
template <class T, class S>
class Share {
 public:
  static constexpr int kPack = kFullPack<T>;
  using Values = Pack<T, kPack>;

  __device__ Share(int rank, std::int64_t d, const T* row) : rank_(rank), d_(d), row_(row) {
    if constexpr (S::kPacks > 0) {
      for_each([&](int k, std::int64_t at) { kept_[k] = load_pack<kPack>(row + at); });
    }
  }

  // Calls body(k, first element) for each pack.
  template <class Body>
  __device__ void for_each(const Body& body) const {
    if constexpr (S::kPacks > 0) {
#pragma unroll
      for (int k = 0; k < S::kPacks; ++k) {
        const std::int64_t at = std::int64_t{rank_ + k * S::kThreads} * kPack;
        if (at < d_) body(k, at);
      }
    } else {
      constexpr std::int64_t kStep = std::int64_t{S::kThreads} * kPack;
      for (std::int64_t at = std::int64_t{rank_} * kPack; at < d_; at += kStep) body(0, at);
    }
  }

  // Elements beyond the row read as 0.
  __device__ Values get(int k, std::int64_t at) const {
    if constexpr (S::kPacks > 0) {
      return kept_[k];
    } else {
      Values values{};
#pragma unroll
      for (int i = 0; i < kPack; ++i) {
        if (at + i < d_) values.value[i] = row_[at + i];
      }
      return values;
    }
  }

  // Changes a pack: in registers here, in memory by write() and a renamed row.
  __device__ void keep(int k, const Values& values) {
    if constexpr (S::kPacks > 0) kept_[k] = values;
  }
  __device__ void renamed(const T* row) { row_ = row; }

  __device__ void write(std::int64_t at, const Values& values, T* row) const {
    if constexpr (S::kPacks > 0) {
      store_pack(values, row + at);
    } else {
#pragma unroll
      for (int i = 0; i < kPack; ++i) {
        if (at + i < d_) row[at + i] = values.value[i];
      }
    }
  }

 private:
  int rank_;
  std::int64_t d_;
  const T* row_;
  Values kept_[S::kPacks > 0 ? S::kPacks : 1];
};

// a * b rounded: never fused into a sum, so that z has the same bits in registers and in memory.
__device__ float rounded_product(float a, float b) { return __fmul_rn(a, b); }
__device__ double rounded_product(double a, double b) { return __dmul_rn(a, b); }

// The product of two floats is exact in double: no sum overflows, underflows or cancels.
template <class T, int N>
__device__ double dot(const Pack<T, N>& a, const Pack<T, N>& b) {
  double total = 0;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    total += static_cast<double>(a.value[i]) * static_cast<double>(b.value[i]);
  }
  return total;
}
template <class T, int N>
__device__ double squared_distance(const Pack<T, N>& a, const Pack<T, N>& b) {
  double total = 0;
#pragma unroll
  for (int i = 0; i < N; ++i) {
    const double difference = static_cast<double>(a.value[i]) - static_cast<double>(b.value[i]);
    total += difference * difference;
  }
  return total;
}

// Turns a share of x into one of z, which is also written to `row`; returns inv_norm.
template <class T, class S>
__device__ T normalize(const Team<S::kThreads>& team, Share<T, S>& share, T* row) {
  double squares = 0;
  share.for_each(
      [&](int k, std::int64_t at) { squares += dot(share.get(k, at), share.get(k, at)); });
  const double norm = std::sqrt(team.sum(squares));
  const T inverse = static_cast<T>(1 / (norm < kSmallestNorm ? kSmallestNorm : norm));
  share.for_each([&](int k, std::int64_t at) {
    auto z = share.get(k, at);
#pragma unroll
    for (T& value : z.value) value = rounded_product(value, inverse);
    share.keep(k, z);
    share.write(at, z, row);
  });
  share.renamed(row);
  return inverse;
}

// Writes the gradient of the row; returns its loss.
template <class T, class S>
__device__ T loss_and_gradient(const Team<S::kThreads>& team, T scale, T inv_norm,
                               const Share<T, S>& z, const Share<T, S>& target, T* dx) {
  double distance = 0, product = 0;
  z.for_each([&](int k, std::int64_t at) {
    distance += squared_distance(z.get(k, at), target.get(k, at));
    product += dot(z.get(k, at), target.get(k, at));
  });
  distance = team.sum(distance);
  const T cosine = static_cast<T>(team.sum(product)), factor = -2 * scale * inv_norm;
  z.for_each([&](int k, std::int64_t at) {
    const auto a = z.get(k, at);
    auto gradient = target.get(k, at);
#pragma unroll
    for (int i = 0; i < Share<T, S>::kPack; ++i) {
      gradient.value[i] = factor * (gradient.value[i] - cosine * a.value[i]);
    }
    z.write(at, gradient, dx);
  });
  return static_cast<T>(distance);
}

template <class S, class T>
__global__ void normalize_kernel(std::int64_t n, std::int64_t d, const T* x, T* z, T* inv_norm) {
  const Team<S::kThreads> team;
  const std::int64_t i = team.row();
  if (i >= n) return;
  Share<T, S> share(team.rank(), d, x + i * d);
  const T inverse = normalize(team, share, z + i * d);
  if (team.rank() == 0) inv_norm[i] = inverse;
}

template <class S, class T>
__global__ void loss_kernel(std::int64_t n, std::int64_t d, T scale, const T* z, const T* inv_norm,
                            const T* targets, T* loss, T* dx) {
  const Team<S::kThreads> team;
  const std::int64_t i = team.row();
  if (i >= n) return;
  const Share<T, S> share(team.rank(), d, z + i * d), target(team.rank(), d, targets + i * d);
  const T of_row = loss_and_gradient(team, scale, inv_norm[i], share, target, dx + i * d);
  if (team.rank() == 0) loss[i] = of_row;
}

// dx may be the memory of x: no element is written before it has been read for the last time.
template <class S, class T>
__global__ void head_kernel(std::int64_t n, std::int64_t d, T scale, const T* x, const T* targets,
                            T* z, T* inv_norm, T* loss, T* dx) {
  const Team<S::kThreads> team;
  const std::int64_t i = team.row();
  if (i >= n) return;
  Share<T, S> share(team.rank(), d, x + i * d);
  const Share<T, S> target(team.rank(), d, targets + i * d);
  const T inverse = normalize(team, share, z + i * d);
  const T of_row = loss_and_gradient(team, scale, inverse, share, target, dx + i * d);
  if (team.rank() != 0) return;
  inv_norm[i] = inverse;
  loss[i] = of_row;
}

// Calls f(Sharing) for rows of d elements in tensors at these addresses.
template <class T, class F>
void with_sharing(std::int64_t d, std::initializer_list<const void*> tensors, const F& f) {
  constexpr std::int64_t kPack = kFullPack<T>;
  const bool packs = fits_pack<T>(kPack, d, tensors);
  if (d <= 32 * 4 * kPack) return packs ? f(Sharing<32, 4>{}) : f(Sharing<32, 0>{});
  if (packs && d <= 256 * 2 * kPack) return f(Sharing<256, 2>{});
  if (packs && d <= 256 * 8 * kPack) return f(Sharing<256, 8>{});
  f(Sharing<256, 0>{});
}

}  // namespace

void normalize_rows(Context& ctx, ConstView x, View z, View inv_norm) {
  assert(x.shape.rank == 2 && z.shape == x.shape && inv_norm.shape == Shape(x.shape[0]));
  assert(z.dtype == x.dtype && inv_norm.dtype == x.dtype);
  const std::int64_t n = x.shape[0], d = x.shape[1];
  dispatch_real(x.dtype, "normalize_rows", [&](auto tag) {
    using T = typename decltype(tag)::type;
    with_sharing<T>(d, {x.data, z.data}, [&](auto sharing) {
      using S = decltype(sharing);
      launch(ctx, Team<S::kThreads>::shape(n), normalize_kernel<S, T>, n, d, x.as<T>(), z.as<T>(),
             inv_norm.as<T>());
    });
  });
}

void nat_loss(Context& ctx, float scale, ConstView z, ConstView inv_norm, ConstView targets,
              View loss, View dx) {
  assert(z.shape.rank == 2 && targets.shape == z.shape && dx.shape == z.shape);
  assert(inv_norm.shape == Shape(z.shape[0]) && loss.shape == inv_norm.shape);
  assert(targets.dtype == z.dtype && dx.dtype == z.dtype);
  assert(inv_norm.dtype == z.dtype && loss.dtype == z.dtype);
  const std::int64_t n = z.shape[0], d = z.shape[1];
  dispatch_real(z.dtype, "nat_loss", [&](auto tag) {
    using T = typename decltype(tag)::type;
    with_sharing<T>(d, {z.data, targets.data, dx.data}, [&](auto sharing) {
      using S = decltype(sharing);
      launch(ctx, Team<S::kThreads>::shape(n), loss_kernel<S, T>, n, d, scale, z.as<T>(),
             inv_norm.as<T>(), targets.as<T>(), loss.as<T>(), dx.as<T>());
    });
  });
}

void nat_head(Context& ctx, float scale, ConstView x, ConstView targets, View z, View inv_norm,
              View loss, View dx) {
  assert(x.shape.rank == 2 && targets.shape == x.shape && z.shape == x.shape);
  assert(dx.shape == x.shape && inv_norm.shape == Shape(x.shape[0]));
  assert(loss.shape == inv_norm.shape && targets.dtype == x.dtype && z.dtype == x.dtype);
  assert(dx.dtype == x.dtype && inv_norm.dtype == x.dtype && loss.dtype == x.dtype);
  const std::int64_t n = x.shape[0], d = x.shape[1];
  dispatch_real(x.dtype, "nat_head", [&](auto tag) {
    using T = typename decltype(tag)::type;
    with_sharing<T>(d, {x.data, targets.data, z.data, dx.data}, [&](auto sharing) {
      using S = decltype(sharing);
      launch(ctx, Team<S::kThreads>::shape(n), head_kernel<S, T>, n, d, scale, x.as<T>(),
             targets.as<T>(), z.as<T>(), inv_norm.as<T>(), loss.as<T>(), dx.as<T>());
    });
  });
}

}  // namespace nat::gpu
