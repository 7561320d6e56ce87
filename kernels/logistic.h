// Logistic loss of one yes-or-no decision, as every backend of kernels/sigmoid_xent.h computes it.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/host_device.h"

namespace nat {

// -log sigma(flag x) and its derivative by x; both zero for flag 0. With m = flag x,
//
//   -log sigma(m) = log(1 + exp(-m)) = max(-m, 0) + log(1 + exp(-|m|))
//   derivative by m: -sigma(-m) = -1 / (1 + exp(m)) = -(m < 0 ? 1 : e) / (1 + e),  e = exp(-|m|)
//
// The exponential of a negative number cannot overflow, and no two terms cancel.
template <class T>
struct LogisticLoss {
  T loss = 0, gradient = 0;

  NAT_HOST_DEVICE LogisticLoss(T x, std::int32_t flag) {
    if (flag == 0) return;
    const T margin = flag > 0 ? x : -x;
    const T e = std::exp(-std::fabs(x));
    const T wrong = (margin < 0 ? T{1} : e) / (1 + e);  // the probability of the other answer
    loss = (margin < 0 ? -margin : T{0}) + std::log1p(e);
    gradient = flag > 0 ? -wrong : wrong;
  }
};

}  // namespace nat
