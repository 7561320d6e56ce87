// What this processor and build offer to the CPU backend. Honours ONEDNN_MAX_CPU_ISA.
#pragma once

#include <cstddef>
#include <string>

namespace nat {

struct CpuInfo {
  bool avx512 = false;  // oneDNN's kernels for it
  bool bf16 = false;    // native bfloat16 products
  bool amx = false;     // bfloat16 tiles
  std::string onednn;   // version, or "none"
  int threads = 1;      // compute threads in use
};

CpuInfo cpu_info();

// Bytes of memory that the process can have at most: the machine's, or what 'ulimit -v' or
// its control group (a container, a batch system) allows.
std::size_t memory_limit();

// Sets the number of compute threads; 0 keeps the default (OMP_NUM_THREADS, else one a core).
void set_compute_threads(int threads);

}  // namespace nat
