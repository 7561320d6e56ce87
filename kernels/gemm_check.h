// What both backends demand of the arguments of kernels/gemm.h. Error(usage) names the views that
// do not fit.
#pragma once

#include "kernels/gemm.h"

namespace nat {

void check_gemm(Transpose a_transposed, Transpose b_transposed, const ConstView& a,
                const ConstView& b, const ConstView& c);
// w: the weights or their gradient. Which dtypes go together is the backend's to say.
void check_linear_shapes(const ConstView& x, const ConstView& w, const ConstView& y);

}  // namespace nat
