#include "kernels/cpu/state.h"

#include "kernels/cpu/onednn/onednn.h"
#include "nat_config.h"

namespace nat::cpu {

CpuState* make_state() {
  if constexpr (kHasOneDnn) return onednn::make_state();
  return nullptr;
}

void destroy_state(CpuState* state) {
  if constexpr (kHasOneDnn) onednn::destroy_state(state);
}

}  // namespace nat::cpu
