// All blocks of a launch, on one or more operating-system threads.
#pragma once

#include <string>

#include "tests/simt/block.h"

namespace simt {

// Runs the whole launch. Returns what went wrong in the first block that failed, empty when every
// thread came to its end.
//   Ordinary launch: worker w of W runs blocks w, w + W, ... of the chosen order; W = 1 is the
//   calling thread.
//   Cooperative launch: one operating-system thread a block, of which one runs at a time, until all
//   its threads wait in grid.sync() or have ended.
//   Launch of clusters: the same for each cluster, W of them at once.
std::string run_grid(const Launch& launch);

}  // namespace simt
