#include "kernels/sigmoid_xent.h"

#include <cassert>

#include "kernels/dispatch.h"
#include "kernels/logistic.h"
#include "kernels/parallel.h"

namespace nat::cpu {
namespace {

void check_flags(std::int64_t n, std::int64_t classes, const std::int32_t* flags) {
  for (std::int64_t at = 0; at < n * classes; ++at) {
    NAT_CHECK(flags[at] >= -1 && flags[at] <= 1, ErrorKind::data, "flag of row ", at / classes,
              ", class ", at % classes, " is ", flags[at],
              "; give 1 where a picture shows the class, -1 where it does not, 0 to leave it out");
  }
}

template <class T>
void xent_row(std::int64_t classes, T scale, const T* logits, const std::int32_t* flags, T* loss,
              T* dlogits) {
  double total = 0;
  for (std::int64_t c = 0; c < classes; ++c) {
    const LogisticLoss<T> term(logits[c], flags[c]);
    total += static_cast<double>(term.loss);
    if (dlogits != nullptr) dlogits[c] = scale * term.gradient;
  }
  *loss = static_cast<T>(total);
}

}  // namespace

void sigmoid_xent(Context&, float scale, ConstView logits, ConstView flags, View loss,
                  View dlogits) {
  assert(logits.shape.rank == 2 && flags.shape == logits.shape && flags.dtype == DType::i32);
  assert(loss.shape == Shape(logits.shape[0]) && loss.dtype == logits.dtype);
  assert(dlogits.empty() || (dlogits.shape == logits.shape && dlogits.dtype == logits.dtype));
  const std::int64_t n = logits.shape[0], classes = logits.shape[1];
  const auto* flag = flags.as<std::int32_t>();
  check_flags(n, classes, flag);
  dispatch_real(logits.dtype, "sigmoid_xent", [&](auto tag) {
    using T = typename decltype(tag)::type;
    parallel_for(n, n * classes * 32, [&](std::int64_t i) {
      T* gradient = dlogits.empty() ? nullptr : dlogits.as<T>() + i * classes;
      xent_row(classes, static_cast<T>(scale), logits.as<T>() + i * classes, flag + i * classes,
               loss.as<T>() + i, gradient);
    });
  });
}

}  // namespace nat::cpu
