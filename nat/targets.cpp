#include "nat/targets.h"

#include <limits>
#include <numeric>

#include "kernels/permutation.h"

namespace nat {

Targets::Targets(Context& ctx, std::uint64_t seed, std::int64_t images, std::int64_t dimension,
                 TargetKind kind)
    : kind_(kind), seed_(seed), images_(images), dimension_(dimension) {
  NAT_CHECK(images >= 0 && images <= std::numeric_limits<std::int32_t>::max(), ErrorKind::usage,
            "targets for ", images, " images; at most ", std::numeric_limits<std::int32_t>::max(),
            " are possible");
  NAT_CHECK(dimension > 0, ErrorKind::usage, "targets of dimension ", dimension,
            "; --dimension must be positive");
  const auto count = static_cast<std::size_t>(images);
  row_of_image_ = Buffer(ctx.device, count * sizeof(std::int32_t), "targets");
  std::vector<std::int32_t> identity(count);
  std::iota(identity.begin(), identity.end(), 0);
  restore(ctx, identity);
}

View Targets::row_of_image() const { return {row_of_image_.data(), DType::i32, Shape(images_)}; }

void Targets::held(Context& ctx, ConstView ids, View held) const {
  held_targets(ctx, row_of_image(), ids, held);
}

void Targets::rows(Context& ctx, ConstView held, View targets) const {
  target_rows(ctx, kind_, seed_, held, targets);
}

void Targets::exchange(Context& ctx, ConstView ids, ConstView column_of_row, View held,
                       View moved) {
  exchange_targets(ctx, ids, column_of_row, row_of_image(), held, moved);
}

std::vector<std::int32_t> Targets::permutation(Context& ctx) const {
  std::vector<std::int32_t> host(static_cast<std::size_t>(images_));
  copy_to_host(ctx, row_of_image(), View(host.data(), DType::i32, Shape(images_)));
  synchronize(ctx);
  return host;
}

void Targets::restore(Context& ctx, std::span<const std::int32_t> permutation) {
  NAT_CHECK(std::ssize(permutation) == images_, ErrorKind::checkpoint,
            "the checkpoint assigns targets to ", permutation.size(),
            " images but the data set has ", images_, "; resume with the data the run began with");
  std::vector<bool> taken(permutation.size(), false);
  for (const std::int32_t row : permutation) {
    const auto at = static_cast<std::size_t>(row);
    NAT_CHECK(row >= 0 && at < taken.size(), ErrorKind::checkpoint, "the checkpoint names target ",
              row, ", which does not exist; it is damaged, resume from an earlier one");
    NAT_CHECK(!taken[at], ErrorKind::checkpoint, "the checkpoint gives target ", row,
              " to two images; it is damaged, resume from an earlier one");
    taken[at] = true;
  }
  copy_to_device(ctx, ConstView(permutation.data(), DType::i32, Shape(images_)), row_of_image());
  synchronize(ctx);
}

}  // namespace nat
