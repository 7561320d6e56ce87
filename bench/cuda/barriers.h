// Kernels that do one thing `repeats` times: what the estimates behind the crews of kernels/lap.h
// rest on. Each function enqueues one kernel.
#pragma once

#include <cstdint>

#include "kernels/context.h"
#include "kernels/memory.h"

namespace nat::bench {

inline constexpr int kBlockThreads = 512;  // as many as lap_kernel has
inline constexpr int kClusterBlocks = 8;

void sync_block(Context& ctx, int repeats);    // __syncthreads() of one block
void sync_cluster(Context& ctx, int repeats);  // of one cluster; from compute capability 9.0 on
void sync_cluster_relaxed(Context& ctx, int repeats);  // the same without its fences
void sync_grid(Context& ctx, int repeats);             // of one block a multiprocessor
void reduce_warp(Context& ctx, int repeats);  // __reduce_max_sync, each on the result of the last
void read_shared(Context& ctx, int repeats);  // each read at the place that the last one names

// Reads from so many KiB of global memory, a power of two, each at the place that the last one
// names and in another line: from the nearest cache that holds all of it.
class ReadChain {
 public:
  ReadChain(Context& ctx, int kib);
  void run(int repeats);

 private:
  Context& ctx_;
  Buffer memory_;
};

// The search of a shortest path in a problem made so that it passes all columns: n steps a search.
// By one block that reads scores from the L2 (kernels/cuda/lap/block_search.cuh), or by one warp of
// a block that has them in its shared memory (chunk_search.cuh), where they fit.
class PathSearch {
 public:
  enum class Scores { in_l2, in_shared_memory };
  static bool scores_fit(const Context& ctx, std::int64_t n);

  PathSearch(Context& ctx, std::int64_t n, Scores scores);
  void run(int repeats);         // `repeats` searches, each from the same beginning
  std::int64_t steps_of_last();  // of the last search; waits

 private:
  Context& ctx_;
  std::int64_t n_;
  bool keep_scores_;
  Buffer scores_, vectors_, twin_table_, control_;
};

}  // namespace nat::bench
