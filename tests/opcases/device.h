// The device under test. Every test of an operation is built once for each backend: for the CPU,
// for the CUDA kernels executed on the CPU (tests/simt), and, in a CUDA build, for the GPU.
//
// Memory of a test Tensor can be read by the host on every device. Memory that the product
// allocates for a context cannot: host_copy() fetches it.
#pragma once

#include <cstdlib>
#include <vector>

#include "kernels/memory.h"

#if !defined(NAT_TEST_DEVICE)
#define NAT_TEST_DEVICE cpu
#endif

namespace nat::test {

inline constexpr Device kDevice = Device::NAT_TEST_DEVICE;
inline constexpr bool kOnCuda = kDevice == Device::cuda;
#if defined(NAT_TEST_SIMT)
inline constexpr bool kOnSimt = true;  // the kernels of kDevice cuda are executed on the CPU
#else
inline constexpr bool kOnSimt = false;
#endif
#if defined(__SANITIZE_THREAD__)
inline constexpr bool kUnderThreadSanitizer = true;
#else
inline constexpr bool kUnderThreadSanitizer = false;
#endif

// Whether large tests take a sample only: a thread of a kernel takes a microsecond on the CPU for
// what the CPU does in a nanosecond, and on a GPU something like that under compute-sanitizer, for
// which tools/gpu-check sets NAT_TEST_SAMPLE.
inline bool samples_only() { return kOnSimt || std::getenv("NAT_TEST_SAMPLE") != nullptr; }

template <class T>
std::vector<T> host_copy(Context& ctx, ConstView view) {
  std::vector<T> host(view.bytes() / sizeof(T));
  copy_to_host(ctx, view, View(host.data(), view.dtype, view.shape));
  synchronize(ctx);
  return host;
}

// Brings host values to the device.
template <class T>
void upload(Context& ctx, const std::vector<T>& values, View view) {
  copy_to_device(ctx, ConstView(values.data(), view.dtype, view.shape), view);
  synchronize(ctx);
}

}  // namespace nat::test
