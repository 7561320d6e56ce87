#include "kernels/cast.h"

#include <algorithm>
#include <cassert>

#include "kernels/cuda/flat.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/dispatch.h"

namespace nat::gpu {
namespace {

template <class Y, class X, int N>
__device__ Pack<Y, N> convert(const Pack<X, N>& x) {
  if constexpr (std::is_same_v<X, double> && std::is_same_v<Y, BFloat16>) {
    Pack<Y, N> y;
    for (int i = 0; i < N; ++i) y.value[i] = to_bfloat16(x.value[i]);
    return y;
  } else {
    Lanes<Compute<Y>, N> lanes;
    for (int i = 0; i < N; ++i) lanes[i] = static_cast<Compute<Y>>(widen(x.value[i]));
    return narrow<Y>(lanes);
  }
}

template <int N, class X, class Y>
__global__ void cast_kernel(std::int64_t n, const X* x, Y* y) {
  for_each_pack<N>(n, [&](std::int64_t at, auto pack) {
    store_pack(convert<Y>(load_pack<pack.value>(x + at)), y + at);
  });
}

template <class X, class Y>
void cast_as(Context& ctx, std::int64_t n, const X* x, Y* y) {
  constexpr int kPack = std::min(kFullPack<X>, kFullPack<Y>);
  if (fits_pack<X>(kPack, kPack, {x}) && fits_pack<Y>(kPack, kPack, {y})) {
    launch(ctx, flat_shape(ctx, n, kPack), cast_kernel<kPack, X, Y>, n, x, y);
  } else {
    launch(ctx, flat_shape(ctx, n, 1), cast_kernel<1, X, Y>, n, x, y);
  }
}

}  // namespace

void cast(Context& ctx, ConstView x, View y) {
  assert(x.shape == y.shape);
  dispatch_storage(x.dtype, "cast", [&](auto from) {
    dispatch_storage(y.dtype, "cast", [&](auto to) {
      using X = typename decltype(from)::type;
      using Y = typename decltype(to)::type;
      cast_as(ctx, x.shape.elements(), x.as<X>(), y.as<Y>());
    });
  });
}

}  // namespace nat::gpu
