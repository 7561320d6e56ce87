#include "kernels/softmax_xent.h"

#include <cassert>
#include <cmath>
#include <limits>

#include "kernels/cuda/team.cuh"
#include "kernels/dispatch.h"

namespace nat::gpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();

// The exponentials are evaluated twice rather than stored: the loss is then the same whether or not
// the gradient is wanted, and the gradient may overwrite the logits. No thread reads an element
// that another one writes: the thread that owns the label computes the loss.
template <int kThreads, class T>
__global__ void xent_kernel(std::int64_t n, std::int64_t classes, float scale, const T* logits,
                            const std::int32_t* labels, T* loss, T* dlogits) {
  const Team<kThreads> team;
  const std::int64_t row = team.row();
  if (row >= n) return;
  logits += row * classes;
  T top = static_cast<T>(-kInfinity);
  for (std::int64_t j = team.rank(); j < classes; j += kThreads) {
    top = logits[j] > top ? logits[j] : top;
  }
  top = team.max(top);
  double total = 0;
  for (std::int64_t j = team.rank(); j < classes; j += kThreads) {
    total += static_cast<double>(std::exp(logits[j] - top));
  }
  total = team.sum(total);

  const std::int64_t label = labels[row];
  if (label < 0 || label >= classes) {
    total = kNotANumber;  // reaches the gradient, too
    if (team.rank() == 0) loss[row] = static_cast<T>(total);
  } else if (label % kThreads == team.rank()) {
    loss[row] = static_cast<T>(std::log(total) - static_cast<double>(logits[label] - top));
  }
  if (dlogits == nullptr) return;
  dlogits += row * classes;
  const T factor = static_cast<T>(static_cast<double>(scale) / total);
  for (std::int64_t j = team.rank(); j < classes; j += kThreads) {
    const T p = factor * std::exp(logits[j] - top);
    dlogits[j] = j == label ? p - static_cast<T>(scale) : p;
  }
}

}  // namespace

void softmax_xent(Context& ctx, float scale, ConstView logits, ConstView labels, View loss,
                  View dlogits) {
  assert(logits.shape.rank == 2 && labels.shape == Shape(logits.shape[0]));
  assert(loss.shape == labels.shape && labels.dtype == DType::i32 && loss.dtype == logits.dtype);
  assert(dlogits.empty() || (dlogits.shape == logits.shape && dlogits.dtype == logits.dtype));
  const std::int64_t n = logits.shape[0], classes = logits.shape[1];
  dispatch_real(logits.dtype, "softmax_xent", [&](auto tag) {
    using T = typename decltype(tag)::type;
    const auto launch_with = [&](auto team, auto kernel) {
      launch(ctx, team.shape(n), kernel, n, classes, scale, logits.as<T>(),
             labels.as<std::int32_t>(), loss.as<T>(), dlogits.as<T>());
    };
    constexpr std::int64_t kWarpClasses = 1024;  // up to here a warp has its row done in no time
    if (classes <= kWarpClasses) return launch_with(Team<32>(), xent_kernel<32, T>);
    launch_with(Team<256>(), xent_kernel<256, T>);
  });
}

}  // namespace nat::gpu
