#include "kernels/sgd.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "kernels/dispatch.h"
#include "kernels/parallel.h"

namespace nat::cpu {
namespace {

constexpr std::int64_t kBlock = 1 << 14;  // elements a task updates; whole cache lines

template <class T>
void plain_update(const Sgd& sgd, T rate, std::int64_t count, const T* g, T* w) {
  const T decay = static_cast<T>(sgd.weight_decay);
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) w[i] -= rate * (g[i] + decay * w[i]);
}

template <bool kNesterov, class T>
void momentum_update(const Sgd& sgd, T rate, std::int64_t count, const T* g, T* w, T* v) {
  const T momentum = static_cast<T>(sgd.momentum), decay = static_cast<T>(sgd.weight_decay);
  const T fresh = 1 - static_cast<T>(sgd.dampening);
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) {
    const T h = g[i] + decay * w[i];
    const T velocity = momentum * v[i] + fresh * h;
    v[i] = velocity;
    w[i] -= rate * (kNesterov ? h + momentum * velocity : velocity);
  }
}

template <class T>
void update_block(const Sgd& sgd, T rate, std::int64_t count, const T* g, T* w, T* v) {
  if (v == nullptr) {
    plain_update(sgd, rate, count, g, w);
  } else if (sgd.nesterov) {
    momentum_update<true>(sgd, rate, count, g, w, v);
  } else {
    momentum_update<false>(sgd, rate, count, g, w, v);
  }
}

template <class T>
void round_block(std::int64_t count, const T* w, BFloat16* operand) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) operand[i] = to_bfloat16(w[i]);
}

}  // namespace

void sgd_update(Context&, const Sgd& sgd, ConstView rate, ConstView loss, ConstView g, View w,
                View v, View operand) {
  const bool has_momentum = sgd.momentum != 0;
  assert(rate.dtype == DType::f32 && rate.shape == Shape(1));
  assert(loss.empty() || (loss.dtype == DType::f32 && loss.shape == Shape(1)));
  assert(g.shape == w.shape && g.dtype == w.dtype);
  assert(operand.empty() || (operand.dtype == DType::bf16 && operand.shape == w.shape));
  assert(!has_momentum || (!v.empty() && v.shape == w.shape && v.dtype == w.dtype));
  if (!loss.empty() && !std::isfinite(*loss.as<float>())) return;
  const std::int64_t n = w.shape.elements();
  dispatch_real(w.dtype, "sgd_update", [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for((n + kBlock - 1) / kBlock, n * 8, [&](std::int64_t block) {
      const std::int64_t begin = block * kBlock;
      const std::int64_t count = std::min(kBlock, n - begin);
      T* velocity = has_momentum ? v.as<T>() + begin : nullptr;
      update_block(sgd, static_cast<T>(*rate.as<float>()), count, g.as<T>() + begin,
                   w.as<T>() + begin, velocity);
      if (!operand.empty()) {
        round_block(count, w.as<T>() + begin, operand.as<BFloat16>() + begin);
      }
    });
  });
}

}  // namespace nat::cpu
