// What both backends demand of the arguments of kernels/conv2d.h. Error(usage) names the view that
// is wrong.
#pragma once

#include "kernels/conv2d.h"

namespace nat {

void check_conv2d_shapes(const Conv2d& conv, const Shape& x, const Shape& w, const Shape& y);
// The same for x as it is or folded.
void check_conv2d_operands(const Conv2d& conv, const Shape& x, const Shape& w, const Shape& y);
void check_conv2d_fold(const Conv2d& conv, const ConstView& x, const ConstView& folded,
                       Device device);

}  // namespace nat
