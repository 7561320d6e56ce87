// What the CPU backend keeps between calls: oneDNN primitives, cached by shape
// (kernels/cpu/onednn/primitives.h).
#pragma once

namespace nat {
struct CpuState;
namespace cpu {
CpuState* make_state();
void destroy_state(CpuState* state);
}  // namespace cpu
}  // namespace nat
