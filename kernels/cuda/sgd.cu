#include "kernels/sgd.h"

#include <cassert>
#include <cmath>

#include "kernels/cuda/flat.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/dispatch.h"

namespace nat::gpu {
namespace {

enum class Rule { plain, momentum, nesterov };

// loss, v and operand may be nullptr.
template <class T>
struct Operands {
  const float *rate, *loss;
  const T* g;
  T *w, *v;
  BFloat16* operand;
};

template <class T>
struct Factors {
  T momentum, fresh, decay;  // fresh = 1 - dampening
};

// The new weight; v is updated. Which products are fused into sums is spelt out, so that packs of
// any width give the same bits.
template <Rule kRule, class T>
__device__ T updated(const Factors<T>& factor, T rate, T g, T w, T& v) {
  const T h = std::fma(factor.decay, w, g);
  if constexpr (kRule == Rule::plain) {
    return std::fma(-rate, h, w);
  } else {
    v = std::fma(factor.momentum, v, factor.fresh * h);
    return std::fma(-rate, kRule == Rule::nesterov ? std::fma(factor.momentum, v, h) : v, w);
  }
}

template <int N, Rule kRule, class T>
__global__ void sgd_kernel(std::int64_t n, Factors<T> factor, Operands<T> op) {
  if (op.loss != nullptr && !std::isfinite(*op.loss)) return;
  const T rate = static_cast<T>(*op.rate);
  for_each_pack<N>(n, [&](std::int64_t at, auto pack) {
    constexpr int kPack = pack.value;
    constexpr bool kVelocity = kRule != Rule::plain;
    const auto g = load_pack<kPack>(op.g + at);
    auto w = load_pack<kPack>(op.w + at);
    Pack<T, kPack> v{};
    if constexpr (kVelocity) v = load_pack<kPack>(op.v + at);
    for (int i = 0; i < kPack; ++i) {
      w.value[i] = updated<kRule>(factor, rate, g.value[i], w.value[i], v.value[i]);
    }
    store_pack(w, op.w + at);
    if constexpr (kVelocity) store_pack(v, op.v + at);
    if (op.operand == nullptr) return;
    Pack<BFloat16, kPack> rounded;
    for (int i = 0; i < kPack; ++i) rounded.value[i] = to_bfloat16(w.value[i]);
    store_pack(rounded, op.operand + at);
  });
}

template <Rule kRule, class T>
void update(Context& ctx, std::int64_t n, const Factors<T>& factor, const Operands<T>& op) {
  constexpr int kPack = kFullPack<T>;
  if (fits_pack<T>(kPack, kPack, {op.g, op.w, op.v}) &&
      fits_pack<BFloat16>(kPack, kPack, {op.operand})) {
    launch(ctx, flat_shape(ctx, n, kPack), sgd_kernel<kPack, kRule, T>, n, factor, op);
  } else {
    launch(ctx, flat_shape(ctx, n, 1), sgd_kernel<1, kRule, T>, n, factor, op);
  }
}

}  // namespace

void sgd_update(Context& ctx, const Sgd& sgd, ConstView rate, ConstView loss, ConstView g, View w,
                View v, View operand) {
  const bool has_momentum = sgd.momentum != 0;
  assert(rate.dtype == DType::f32 && rate.shape == Shape(1));
  assert(loss.empty() || (loss.dtype == DType::f32 && loss.shape == Shape(1)));
  assert(g.shape == w.shape && g.dtype == w.dtype);
  assert(operand.empty() || (operand.dtype == DType::bf16 && operand.shape == w.shape));
  assert(!has_momentum || (!v.empty() && v.shape == w.shape && v.dtype == w.dtype));
  const std::int64_t n = w.shape.elements();
  dispatch_real(w.dtype, "sgd_update", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const Factors<T> factor{static_cast<T>(sgd.momentum), 1 - static_cast<T>(sgd.dampening),
                            static_cast<T>(sgd.weight_decay)};
    const Operands<T> op{rate.as<float>(), loss.as<float>(), g.as<T>(),
                         w.as<T>(),        v.as<T>(),        operand.as<BFloat16>()};
    if (!has_momentum) return update<Rule::plain>(ctx, n, factor, op);
    if (!sgd.nesterov) return update<Rule::momentum>(ctx, n, factor, op);
    update<Rule::nesterov>(ctx, n, factor, op);
  });
}

}  // namespace nat::gpu
