// Stand-ins for the libraries of the CUDA backend, which do not run on the CPU: every product is
// left to the plain kernels.
#include "kernels/cuda/libraries/libraries.h"

#include "kernels/cuda/state.h"

namespace nat::gpu {

struct Libraries {};
void destroy_libraries(Libraries* libraries) { delete libraries; }

namespace libraries {

bool conv2d_forward(Context&, const Conv2d&, ConstView, ConstView, View) { return false; }
bool conv2d_backward_data(Context&, const Conv2d&, ConstView, ConstView, View) { return false; }
bool conv2d_backward_weights(Context&, const Conv2d&, ConstView, ConstView, View) { return false; }
bool gemm(Context&, Math, Transpose, Transpose, float, ConstView, ConstView, ConstView, View) {
  return false;
}

}  // namespace libraries
}  // namespace nat::gpu
