// cuDNN and cuBLASLt do not run on the CPU. As where they have no plan, every product falls to the
// plain kernels, which are executed like all others.
#include "kernels/cuda/libraries/libraries.h"

#include "kernels/cuda/state.h"

namespace nat::gpu {

void destroy_libraries(Libraries*) {}

namespace libraries {

std::string unavailable_reason() { return ""; }

bool conv2d_forward(Context&, const Conv2d&, ConstView, ConstView, View) { return false; }
bool conv2d_backward_data(Context&, const Conv2d&, ConstView, ConstView, View) { return false; }
bool conv2d_backward_weights(Context&, const Conv2d&, ConstView, ConstView, View) { return false; }
bool gemm(Context&, Math, Transpose, Transpose, float, ConstView, ConstView, ConstView, View) {
  return false;
}

}  // namespace libraries

}  // namespace nat::gpu
