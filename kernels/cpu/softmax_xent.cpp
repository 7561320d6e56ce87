#include "kernels/softmax_xent.h"

#include <cassert>
#include <cmath>
#include <limits>

#include "kernels/dispatch.h"
#include "kernels/parallel.h"

namespace nat::cpu {
namespace {

void check_labels(std::int64_t n, std::int64_t classes, const std::int32_t* labels) {
  for (std::int64_t i = 0; i < n; ++i) {
    NAT_CHECK(labels[i] >= 0 && labels[i] < classes, ErrorKind::data, "label of row ", i, " is ",
              labels[i], ", outside 0..", classes - 1,
              "; give the classifier as many classes as the labels have");
  }
}

template <class T>
T maximum(std::int64_t count, const T* values) {
  T top = -std::numeric_limits<T>::infinity();
#pragma omp simd reduction(max : top)
  for (std::int64_t j = 0; j < count; ++j) top = values[j] > top ? values[j] : top;
  return top;
}

// The exponentials are evaluated twice rather than stored: the loss is then the same whether or not
// the gradient is wanted, and the gradient may overwrite the logits.
template <class T>
void xent_row(std::int64_t classes, T scale, const T* logits, std::int32_t label, T* loss,
              T* dlogits) {
  const T top = maximum(classes, logits);
  double total = 0;
  for (std::int64_t j = 0; j < classes; ++j) {
    total += static_cast<double>(std::exp(logits[j] - top));
  }
  *loss = static_cast<T>(std::log(total) - static_cast<double>(logits[label] - top));
  if (dlogits == nullptr) return;
  const T factor = static_cast<T>(static_cast<double>(scale) / total);
  for (std::int64_t j = 0; j < classes; ++j) dlogits[j] = factor * std::exp(logits[j] - top);
  dlogits[label] -= scale;
}

}  // namespace

void softmax_xent(Context&, float scale, ConstView logits, ConstView labels, View loss,
                  View dlogits) {
  assert(logits.shape.rank == 2 && labels.shape == Shape(logits.shape[0]));
  assert(loss.shape == labels.shape && labels.dtype == DType::i32 && loss.dtype == logits.dtype);
  assert(dlogits.empty() || (dlogits.shape == logits.shape && dlogits.dtype == logits.dtype));
  const std::int64_t n = logits.shape[0], classes = logits.shape[1];
  const auto* label = labels.as<std::int32_t>();
  check_labels(n, classes, label);
  dispatch_real(logits.dtype, "softmax_xent", [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(n, n * classes * 32, [&](std::int64_t i) {
      T* gradient = dlogits.empty() ? nullptr : dlogits.as<T>() + i * classes;
      xent_row(classes, static_cast<T>(scale), logits.as<T>() + i * classes, label[i],
               loss.as<T>() + i, gradient);
    });
  });
}

}  // namespace nat::cpu
