#include "kernels/cpu_info.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "kernels/cpu/onednn/onednn.h"
#include "kernels/parallel.h"
#include "nat_config.h"

namespace nat {

CpuInfo cpu_info() {
  CpuInfo info;
  info.onednn = "none";
  if constexpr (kHasOneDnn) {
    info.avx512 = cpu::onednn::has_avx512();
    info.bf16 = cpu::onednn::has_bf16();
    info.amx = cpu::onednn::has_amx();
    info.onednn = cpu::onednn::version();
  }
#if defined(_OPENMP)
  info.threads = omp_get_max_threads();
#endif
  return info;
}

std::size_t memory_limit() {
  const auto pages = static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES));
  const std::size_t machine = pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  rlimit allowed{};
  const bool is_limited = getrlimit(RLIMIT_AS, &allowed) == 0 && allowed.rlim_cur != RLIM_INFINITY;
  return is_limited ? std::min(machine, static_cast<std::size_t>(allowed.rlim_cur)) : machine;
}

void set_compute_threads(int threads) {
#if defined(_OPENMP)
  if (threads > 0) omp_set_num_threads(threads);
#else
  (void)threads;
#endif
}

}  // namespace nat
