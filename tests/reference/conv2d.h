// Convolution by its formula, in double, on plain row-major vectors. magnitude = sum of |products|,
// the scale of rounding errors.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/conv2d.h"

namespace nat::test {

struct ConvProblem {
  Conv2d conv;
  Shape x, w, y;
};

struct ReferenceResult {
  std::vector<double> value, magnitude;
};

ReferenceResult conv2d_forward_reference(const ConvProblem& p, const std::vector<double>& x,
                                         const std::vector<double>& w);
ReferenceResult conv2d_backward_data_reference(const ConvProblem& p, const std::vector<double>& w,
                                               const std::vector<double>& dy);
ReferenceResult conv2d_backward_weights_reference(const ConvProblem& p,
                                                  const std::vector<double>& x,
                                                  const std::vector<double>& dy);

}  // namespace nat::test
