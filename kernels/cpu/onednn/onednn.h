// The products of the CPU backend on oneDNN: what conv2d.cpp and gemm.cpp call. Each function
// returns false, having done nothing, when oneDNN does not implement the combination on this
// processor; the caller then runs its plain loops. Contracts: kernels/conv2d.h, kernels/gemm.h.
#pragma once

#include "kernels/conv2d.h"
#include "kernels/gemm.h"

namespace nat::cpu::onednn {

CpuState* make_state();
void destroy_state(CpuState* state);

// What the processor offers to oneDNN (honours ONEDNN_MAX_CPU_ISA).
bool has_amx();
bool has_avx512();
bool has_bf16();
std::string version();

bool conv2d_forward(Context&, const Conv2d&, ConstView x, ConstView w, View y);
bool conv2d_backward_data(Context&, const Conv2d&, ConstView w, ConstView dy, View dx);
bool conv2d_backward_weights(Context&, const Conv2d&, ConstView x, ConstView dy, Grad, View dw);
// Empty where there is none.
std::string conv2d_forward_implementation(Context&, const Conv2d&, ConstView x, ConstView w,
                                          View y);

// f32 only: c = op(a) op(b) + beta c.
//
// No signal handler may run on the stack of a thread that is in here. The kernel of the system puts
// a handler's frame below the stack pointer, and oneDNN's code for AVX-512 keeps the stack pointer
// inside a workspace on the heap (ORIG_SP in its jit_avx512_common_gemm_f32.cpp): the frame of even
// an empty handler overwrites what lies before that workspace. Block such signals in all threads,
// or handle them with SA_ONSTACK.
void sgemm(Transpose a_transposed, Transpose b_transposed, std::int64_t m, std::int64_t n,
           std::int64_t k, const float* a, std::int64_t lda, const float* b, std::int64_t ldb,
           float beta, float* c, std::int64_t ldc);

// bf16 x or dy; without bias (the caller adds it).
bool linear_forward(Context&, ConstView x, ConstView w, View y);
bool linear_backward_data(Context&, ConstView w, ConstView dy, View dx);
bool linear_backward_weights(Context&, ConstView x, ConstView dy, Grad, View dw);

}  // namespace nat::cpu::onednn
