#include "kernels/permutation.h"

#include <cassert>

#include "kernels/cuda/flat.cuh"
#include "kernels/cuda/team.cuh"

namespace nat::gpu {
namespace {

using Block = Team<1024>;

__global__ void held_kernel(std::int64_t n, const std::int32_t* row_of_image,
                            const std::int32_t* ids, std::int32_t* held) {
  for_each_pack<1>(n, [&](std::int64_t i, auto) { held[i] = row_of_image[ids[i]]; });
}

// One block: a batch is small, and every row must be read before any is written.
__global__ __launch_bounds__(Block::kBlockThreads,
                             1) void exchange_kernel(std::int64_t n, const std::int32_t* ids,
                                                     const std::int32_t* column_of_row,
                                                     std::int32_t* row_of_image, std::int32_t* held,
                                                     std::int32_t* before, std::int32_t* moved) {
  const Block block;
  for (std::int64_t i = block.rank(); i < n; i += Block::kBlockThreads) before[i] = held[i];
  __syncthreads();
  std::int32_t changes = 0;
  for (std::int64_t i = block.rank(); i < n; i += Block::kBlockThreads) {
    const std::int32_t row = before[column_of_row[i]];
    changes += row != before[i];
    held[i] = row;
    row_of_image[ids[i]] = row;
  }
  changes = block.sum(changes);
  if (block.rank() == 0) *moved = changes;
}

}  // namespace

void held_targets(Context& ctx, ConstView row_of_image, ConstView ids, View held) {
  assert(held.shape == ids.shape);
  const std::int64_t n = ids.shape[0];
  launch(ctx, flat_shape(ctx, n, 1), held_kernel, n, row_of_image.as<std::int32_t>(),
         ids.as<std::int32_t>(), held.as<std::int32_t>());
}

void exchange_targets(Context& ctx, ConstView ids, ConstView column_of_row, View row_of_image,
                      View held, View moved) {
  assert(column_of_row.shape == ids.shape && held.shape == ids.shape && moved.shape == Shape(1));
  const std::int64_t n = ids.shape[0];
  Scratch::Frame frame(ctx.scratch);
  auto* before = frame.take<std::int32_t>(static_cast<std::size_t>(n));
  launch(ctx, Block::shape(1), exchange_kernel, n, ids.as<std::int32_t>(),
         column_of_row.as<std::int32_t>(), row_of_image.as<std::int32_t>(), held.as<std::int32_t>(),
         before, moved.as<std::int32_t>());
}

}  // namespace nat::gpu
