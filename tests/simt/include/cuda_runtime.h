// Stands before the toolkit's header of this name when kernels are compiled for the executor: the
// words of CUDA C++ that a host compiler does not know. Types and the declarations of the runtime
// functions are the toolkit's own.
#pragma once

#include <cuda_runtime_api.h>
#include <vector_functions.h>

#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <type_traits>
#include <vector>

#include "tests/simt/block.h"

// thread_local: one copy for each operating-system thread, and a block stays on one of them.
// constinit: no run-time initialisation, so no wrapper function around every access; inside a
// function the variable is static without saying so.
#undef __shared__
#define __shared__ constinit thread_local
#undef __launch_bounds__
#define __launch_bounds__(...)

extern constinit thread_local uint3 threadIdx, blockIdx;
extern constinit thread_local dim3 blockDim, gridDim;
inline constexpr int warpSize = static_cast<int>(simt::kWarpSize);

namespace simt {

// Checks what the device would refuse, then runs the launch or adds it to a capture. `words` are
// the eight-byte words of the arguments: a host address among them is a mistake.
cudaError_t submit_launch(const cudaLaunchConfig_t& config, const void* function,
                          std::function<void()> kernel, const std::vector<std::uintptr_t>& words);

// The bytes between the members of a structure hold what the stack held before: not an argument.
template <class T>
void append_words(std::vector<std::uintptr_t>& words, T argument) {
  static_assert(std::is_trivially_copyable_v<T>, "kernel arguments are copied byte by byte");
#if defined(__has_builtin) && __has_builtin(__builtin_clear_padding)
  if constexpr (std::is_class_v<T>) __builtin_clear_padding(&argument);
#endif
  const std::size_t count = sizeof(T) / sizeof(std::uintptr_t);
  words.resize(words.size() + count);
  std::memcpy(words.data() + words.size() - count, &argument, count * sizeof(std::uintptr_t));
}

}  // namespace simt

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments&&... arguments) {
  const std::tuple<std::decay_t<Parameters>...> values(std::forward<Arguments>(arguments)...);
  std::vector<std::uintptr_t> words;
  std::apply([&](const auto&... value) { (simt::append_words(words, value), ...); }, values);
  return simt::submit_launch(
      *config, reinterpret_cast<const void*>(kernel), [=] { std::apply(kernel, values); }, words);
}

#include "tests/simt/include/simt_atomics.h"
#include "tests/simt/include/simt_math.h"
#include "tests/simt/include/simt_warp.h"
