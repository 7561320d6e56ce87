#include "kernels/cpu_info.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

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
  info.threads = cpu::thread_count();
  return info;
}

namespace {

constexpr std::size_t kNoLimit = std::numeric_limits<std::size_t>::max();

// Of the control group of this process and of all around it (version 2, cgroups(7)).
std::size_t group_limit() {
  std::ifstream in("/proc/self/cgroup");
  std::string line;
  while (std::getline(in, line) && line.compare(0, 3, "0::") != 0) {
  }
  std::string group = in ? line.substr(3) : "";
  std::size_t limit = kNoLimit;
  while (true) {
    std::ifstream file("/sys/fs/cgroup" + group + "/memory.max");
    if (std::size_t bytes = 0; file >> bytes) limit = std::min(limit, bytes);  // or it is "max"
    if (group.empty()) return limit;
    group.resize(group.rfind('/') == std::string::npos ? 0 : group.rfind('/'));
  }
}

std::size_t address_space_limit() {
  rlimit allowed{};
  const bool is_known = getrlimit(RLIMIT_AS, &allowed) == 0 && allowed.rlim_cur != RLIM_INFINITY;
  return is_known ? static_cast<std::size_t>(allowed.rlim_cur) : kNoLimit;
}

}  // namespace

std::size_t memory_limit() {
  const auto pages = static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES));
  const std::size_t machine = pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return std::min({machine, address_space_limit(), group_limit()});
}

void set_compute_threads(int threads) {
#if defined(_OPENMP)
  if (threads > 0) omp_set_num_threads(threads);
#else
  (void)threads;
#endif
}

}  // namespace nat
