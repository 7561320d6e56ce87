// The entry point of tests built for the GPU: without one they are skipped, visibly.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>

#include "kernels/context.h"

// Test tensors are page-locked host memory, and the host does not wait for kernels before it reads
// them: every launch has to wait for itself.
int main(int argc, char** argv) {
  setenv("CUDA_LAUNCH_BLOCKING", "1", 1);
  constexpr int kSkipped = 77;  // ctest's SKIP_RETURN_CODE
  const nat::CudaDevice device = nat::cuda_device();
  if (!device.usable()) {
    std::printf("GPU cases skipped: %s\n", device.reason.c_str());
    return kSkipped;
  }
  std::printf("GPU cases on %s\n", device.name.c_str());
  return doctest::Context(argc, argv).run();
}
