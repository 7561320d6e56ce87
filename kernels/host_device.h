// Marks functions that CUDA kernels share with the host. Compilers without CUDA see a plain
// function.
#pragma once

#if defined(__CUDACC__)
#define NAT_HOST_DEVICE __host__ __device__
#else
#define NAT_HOST_DEVICE
#endif
