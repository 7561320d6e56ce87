#include "kernels/permutation.h"

#include <algorithm>
#include <cassert>

namespace nat::cpu {

void held_targets(Context&, ConstView row_of_image, ConstView ids, View held) {
  assert(held.shape == ids.shape);
  const auto* row = row_of_image.as<std::int32_t>();
  const auto* id = ids.as<std::int32_t>();
  for (std::int64_t i = 0; i < ids.shape[0]; ++i) {
    assert(id[i] >= 0 && id[i] < row_of_image.shape[0]);
    held.as<std::int32_t>()[i] = row[id[i]];
  }
}

void exchange_targets(Context& ctx, ConstView ids, ConstView column_of_row, View row_of_image,
                      View held, View moved) {
  assert(column_of_row.shape == ids.shape && held.shape == ids.shape && moved.shape == Shape(1));
  const std::int64_t n = ids.shape[0];
  const auto* column = column_of_row.as<std::int32_t>();
  auto* own = held.as<std::int32_t>();
  Scratch::Frame frame(ctx.scratch);
  auto* before = frame.take<std::int32_t>(static_cast<std::size_t>(n));
  std::copy_n(own, n, before);
  std::int32_t changes = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    own[i] = before[column[i]];
    row_of_image.as<std::int32_t>()[ids.as<std::int32_t>()[i]] = own[i];
    changes += own[i] != before[i];
  }
  *moved.as<std::int32_t>() = changes;
}

}  // namespace nat::cpu
