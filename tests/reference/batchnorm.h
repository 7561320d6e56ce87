// Plain double reference of kernels/batchnorm.h: the formulas of the header, one loop each.
// Tensors are in plain row-major order (n, h, w, c) or (n, c).
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/batchnorm.h"
#include "kernels/random.h"

namespace nat::reference {

struct BatchNormInput {
  Shape shape;
  std::vector<double> x, gamma, beta, running_mean, running_var;
};

struct BatchNormOutput {
  std::vector<double> mean, inv_std, running_mean, running_var;
  std::vector<double> y, argmax, picked;  // argmax and picked: pool > 0 only
  std::vector<double> before_relu;        // like y
  std::vector<double> factor;             // like y: of dropout, 1 without
};

BatchNormOutput batchnorm_forward(const BatchNorm& norm, Mode mode, const DropoutKey& key,
                                  const BatchNormInput& input);

struct BatchNormGradient {
  std::vector<double> dx, dgamma, dbeta;
  // Sums of the absolute values of what dgamma and dbeta add up, for error bounds.
  std::vector<double> abs_dgamma, abs_dbeta;
  std::vector<double> g;  // like x: gradient in front of the pool
};

BatchNormGradient batchnorm_backward(const BatchNorm& norm, Mode mode, const BatchNormInput& input,
                                     const BatchNormOutput& output, const std::vector<double>& dy);

}  // namespace nat::reference
