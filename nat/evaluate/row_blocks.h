// Rows in blocks, each computed by one thread from its first operation to its last.
//
// oneDNN may split the sum of a product among the threads of a team, but not inside one. So the
// bits of a block depend on where it begins and ends, which follows from the number of rows, and
// not on how many threads there are.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/parallel.h"

namespace nat {

// As work of parallel_for: always by the team, which leaves no product to oneDNN's own team.
inline constexpr std::int64_t kAlwaysInTeam = std::numeric_limits<std::int64_t>::max();

// Calls body(begin, end) for blocks of at most `size` rows (two blocks at least, where there are
// two rows: a single one would not run inside a team). A context serves one thread, so the body
// makes its own.
template <class Body>
void for_row_blocks(std::int64_t rows, std::int64_t size, Body&& body) {
  const cpu::Chunks blocks(rows, std::max<std::int64_t>(2, (rows + size - 1) / size));
  cpu::parallel_for(blocks.count, kAlwaysInTeam,
                    [&](std::int64_t block) { body(blocks.begin(block), blocks.end(block)); });
}

}  // namespace nat
