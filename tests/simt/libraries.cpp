// Stand-ins for the libraries of the CUDA backend, which do not run on the CPU.
#include "kernels/cuda/state.h"

namespace nat::gpu {

struct Libraries {};
Libraries* make_libraries(Context&) { return new Libraries; }
void destroy_libraries(Libraries* libraries) { delete libraries; }

}  // namespace nat::gpu
