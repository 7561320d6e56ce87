// The device under test. Every test of an operation is built once for each backend: for the CPU,
// for the CUDA kernels executed on the CPU (tests/simt), and, in a CUDA build, for the GPU.
#pragma once

#include "kernels/device.h"

#if !defined(NAT_TEST_DEVICE)
#define NAT_TEST_DEVICE cpu
#endif

namespace nat::test {

inline constexpr Device kDevice = Device::NAT_TEST_DEVICE;
inline constexpr bool kOnCuda = kDevice == Device::cuda;

}  // namespace nat::test
