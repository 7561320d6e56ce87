// Kernels that do wrong on purpose, and one that does not: a sanitizer that stays silent about them
// on a machine has proven nothing there. tools/gpu-check builds and runs this, nothing else does.
//
//   controls clean | out-of-bounds | race | uninitialised | barrier
#include <cstdio>
#include <cstring>

namespace {

constexpr int kThreads = 64;

__global__ void clean(const float* in, float* out) {
  __shared__ float values[kThreads];
  values[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  out[threadIdx.x] = values[kThreads - 1 - threadIdx.x];
}

// memcheck: the last thread writes one element behind the end.
__global__ void out_of_bounds(const float* in, float* out) {
  out[threadIdx.x + 1] = in[threadIdx.x];
}

// racecheck: the barrier between write and read is missing.
__global__ void race(const float* in, float* out) {
  __shared__ volatile float values[kThreads];
  values[threadIdx.x] = in[threadIdx.x];
  out[threadIdx.x] = values[kThreads - 1 - threadIdx.x];
}

// synccheck: some threads of the last warp do not come to the barrier of the block.
__global__ void barrier(const float* in, float* out) {
  if (threadIdx.x < kThreads - 8) __syncthreads();
  out[threadIdx.x] = in[threadIdx.x];
}

using Kernel = void (*)(const float*, float*);

struct Control {
  const char* name;
  Kernel kernel;
  bool input_is_set;  // otherwise initcheck must report what the kernel reads
};
const Control kControls[] = {{"clean", clean, true},
                             {"out-of-bounds", out_of_bounds, true},
                             {"race", race, true},
                             {"uninitialised", clean, false},
                             {"barrier", barrier, true}};

// The result is not looked at: what counts is what the sanitizer says.
int run(const Control& control) {
  float* in = nullptr;
  float* out = nullptr;
  const std::size_t bytes = kThreads * sizeof(float);
  if (cudaMalloc(&in, bytes) != cudaSuccess || cudaMalloc(&out, bytes) != cudaSuccess) {
    std::fprintf(stderr, "controls: no device memory: %s\n",
                 cudaGetErrorString(cudaGetLastError()));
    return 6;
  }
  if (control.input_is_set) cudaMemset(in, 0, bytes);
  control.kernel<<<1, kThreads>>>(in, out);
  cudaDeviceSynchronize();
  cudaFree(in);
  cudaFree(out);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  for (const Control& control : kControls) {
    if (argc == 2 && std::strcmp(argv[1], control.name) == 0) return run(control);
  }
  std::fprintf(stderr, "usage: controls clean|out-of-bounds|race|uninitialised|barrier\n");
  return 2;
}
