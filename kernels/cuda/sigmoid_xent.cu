#include "kernels/sigmoid_xent.h"

#include <cassert>
#include <limits>

#include "kernels/cuda/team.cuh"
#include "kernels/dispatch.h"
#include "kernels/logistic.h"

namespace nat::gpu {
namespace {

constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();

// One warp a row; a lane owns every 32nd class. It reads a logit before it writes the gradient
// there, and nobody else's, so the gradient may overwrite the logits. The flags are read once
// before: a bad one spoils the whole row.
template <class T>
__global__ void logistic_kernel(std::int64_t n, std::int64_t classes, float scale, const T* logits,
                                const std::int32_t* flags, T* loss, T* dlogits) {
  const Team<32> team;
  const std::int64_t row = team.row();
  if (row >= n) return;
  logits += row * classes;
  flags += row * classes;
  int bad = 0;
  for (std::int64_t c = team.rank(); c < classes; c += 32) {
    if (flags[c] < -1 || flags[c] > 1) bad = 1;
  }
  bad = team.max(bad);

  const T factor = static_cast<T>(bad ? kNotANumber : static_cast<double>(scale));
  double total = 0;
  for (std::int64_t c = team.rank(); c < classes; c += 32) {
    const LogisticLoss<T> term(logits[c], flags[c]);
    total += static_cast<double>(term.loss);
    if (dlogits != nullptr) dlogits[row * classes + c] = factor * term.gradient;
  }
  total = team.sum(total);
  if (team.rank() == 0) loss[row] = static_cast<T>(bad ? kNotANumber : total);
}

}  // namespace

void sigmoid_xent(Context& ctx, float scale, ConstView logits, ConstView flags, View loss,
                  View dlogits) {
  assert(logits.shape.rank == 2 && flags.shape == logits.shape && flags.dtype == DType::i32);
  assert(loss.shape == Shape(logits.shape[0]) && loss.dtype == logits.dtype);
  assert(dlogits.empty() || (dlogits.shape == logits.shape && dlogits.dtype == logits.dtype));
  const std::int64_t n = logits.shape[0], classes = logits.shape[1];
  dispatch_real(logits.dtype, "sigmoid_xent", [&](auto tag) {
    using T = typename decltype(tag)::type;
    launch(ctx, Team<32>::shape(n), logistic_kernel<T>, n, classes, scale, logits.as<T>(),
           flags.as<std::int32_t>(), loss.as<T>(), dlogits.as<T>());
  });
}

}  // namespace nat::gpu
