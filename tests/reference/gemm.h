// Matrix products by their formula, in double, on plain row-major vectors.
#pragma once

#include <vector>

#include "kernels/gemm.h"

namespace nat::test {

struct GemmProblem {
  Transpose a_transposed, b_transposed;
  std::int64_t m, n, k;
};

// c = op(a) op(b), and magnitude = op(|a|) op(|b|), the scale of rounding errors.
struct GemmResult {
  std::vector<double> value, magnitude;
};

GemmResult gemm_reference(const GemmProblem& p, const std::vector<double>& a,
                          const std::vector<double>& b);

}  // namespace nat::test
