#include "kernels/cast.h"

#include <algorithm>
#include <cassert>
#include <type_traits>

#include "kernels/cpu/stored.h"
#include "kernels/dispatch.h"
#include "kernels/parallel.h"

namespace nat::cpu {
namespace {

template <class X, class Y>
Y convert(X value) {
  if constexpr (std::is_same_v<X, double> && std::is_same_v<Y, BFloat16>) {
    return to_bfloat16(value);
  } else {
    return store<Y>(static_cast<Compute<Y>>(load(value)));
  }
}

template <class X, class Y>
void cast_as(const ConstView& view, const View& result) {
  const X* x = view.as<X>();
  Y* y = result.as<Y>();
  const std::int64_t total = view.shape.elements();
  constexpr std::int64_t kBlock = 1 << 14;
  parallel_for((total + kBlock - 1) / kBlock, total * 4, [&](std::int64_t block) {
    const std::int64_t end = std::min(total, (block + 1) * kBlock);
#pragma omp simd
    for (std::int64_t i = block * kBlock; i < end; ++i) y[i] = convert<X, Y>(x[i]);
  });
}

}  // namespace

void cast(Context&, ConstView x, View y) {
  assert(x.shape == y.shape);
  dispatch_storage(x.dtype, "cast", [&](auto from) {
    dispatch_storage(y.dtype, "cast", [&](auto to) {
      cast_as<typename decltype(from)::type, typename decltype(to)::type>(x, y);
    });
  });
}

}  // namespace nat::cpu
