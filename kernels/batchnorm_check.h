// What both backends demand of the arguments of kernels/batchnorm.h. Error(usage) names the first
// view or option that is wrong.
#pragma once

#include "kernels/batchnorm.h"

namespace nat {

void check_batchnorm_forward(const BatchNorm& norm, Mode mode, const DropoutKey& key,
                             const ConstView& x, const BatchNormParameters& parameters,
                             const BatchNormSaved& saved, const ConstView& y);
void check_batchnorm_backward(const BatchNorm& norm, const ConstView& x, const ConstView& y,
                              const ConstView& gamma, const BatchNormSaved& saved,
                              const ConstView& dy, const ConstView& dgamma, const ConstView& dbeta,
                              const ConstView& dx);

}  // namespace nat
