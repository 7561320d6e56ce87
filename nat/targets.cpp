#include "nat/targets.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <numeric>

#include "kernels/memory.h"
#include "kernels/targets.h"

namespace nat {

Targets::Targets(std::uint64_t seed, std::int64_t images, std::int64_t dimension)
    : seed_(seed), dimension_(dimension) {
  NAT_CHECK(images >= 0 && images <= std::numeric_limits<std::int32_t>::max(), ErrorKind::usage,
            "targets for ", images, " images; at most ", std::numeric_limits<std::int32_t>::max(),
            " are possible");
  NAT_CHECK(dimension > 0, ErrorKind::usage, "targets of dimension ", dimension,
            "; --dimension must be positive");
  row_of_image_.resize(static_cast<std::size_t>(images));
  std::iota(row_of_image_.begin(), row_of_image_.end(), 0);
}

std::span<const std::int32_t> Targets::held(std::span<const std::int32_t> image_ids) {
  held_.resize(image_ids.size());
  std::transform(image_ids.begin(), image_ids.end(), held_.begin(), [&](std::int32_t id) {
    assert(id >= 0 && id < images());
    return row_of_image_[static_cast<std::size_t>(id)];
  });
  return held_;
}

void Targets::rows(Context& ctx, std::span<const std::int32_t> image_ids, View targets) {
  const Shape count(static_cast<std::int64_t>(image_ids.size()));
  Scratch::Frame frame(ctx.scratch);
  const View ids(frame.take<std::int32_t>(image_ids.size()), DType::i32, count);
  copy_to_device(ctx, ConstView(held(image_ids).data(), DType::i32, count), ids);
  target_rows(ctx, seed_, ids, targets);
}

std::int64_t Targets::permute(std::span<const std::int32_t> image_ids,
                              std::span<const std::int32_t> column_of_row) {
  assert(column_of_row.size() == image_ids.size());
  const std::span<const std::int32_t> before = held(image_ids);
  std::int64_t moved = 0;
  for (std::size_t i = 0; i < image_ids.size(); ++i) {
    const std::int32_t row = before[static_cast<std::size_t>(column_of_row[i])];
    if (row != before[i]) ++moved;
    row_of_image_[static_cast<std::size_t>(image_ids[i])] = row;
  }
  return moved;
}

void Targets::restore(std::span<const std::int32_t> permutation) {
  NAT_CHECK(permutation.size() == row_of_image_.size(), ErrorKind::checkpoint,
            "the checkpoint assigns targets to ", permutation.size(),
            " images but the data set has ", row_of_image_.size(),
            "; resume with the data the run began with");
  std::vector<bool> taken(permutation.size(), false);
  for (const std::int32_t row : permutation) {
    const auto at = static_cast<std::size_t>(row);
    NAT_CHECK(
        row >= 0 && at < taken.size() && !taken[at], ErrorKind::checkpoint,
        "the checkpoint gives target ", row,
        row >= 0 && at < taken.size() ? " to two images" : " to an image, which does not exist",
        "; it is damaged, resume from an earlier one");
    taken[at] = true;
  }
  row_of_image_.assign(permutation.begin(), permutation.end());
}

}  // namespace nat
