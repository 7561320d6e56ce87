// The nearest value of a storage type, ties to even, by arithmetic instead of bits.
#pragma once

#include "kernels/view.h"

namespace nat::reference {

double nearest(DType dtype, double value);

}  // namespace nat::reference
