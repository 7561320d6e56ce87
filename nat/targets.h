// The fixed targets and which image holds which: all the state that the method has (paper section
// 3.2, Algorithm 1).
//
// Row j of the target matrix C is a function of (seed, j) and is made when needed
// (kernels/targets.h). What changes is one permutation, image id -> row of C, the identity at the
// start. Re-assignment permutes it inside a batch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/context.h"
#include "kernels/view.h"

namespace nat {

class Targets {
 public:
  // As many targets as images. `dimension` is d, the number of columns of C.
  Targets(std::uint64_t seed, std::int64_t images, std::int64_t dimension);

  std::int64_t images() const { return static_cast<std::int64_t>(row_of_image_.size()); }
  std::int64_t dimension() const { return dimension_; }

  // targets[i] = the row of C held by image_ids[i]; targets (n, d) f32 or f64.
  void rows(Context& ctx, std::span<const std::int32_t> image_ids, View targets);

  // Image image_ids[i] takes over the target that image image_ids[column_of_row[i]] held.
  // column_of_row is a permutation of 0..n-1, the ids are distinct. Returns how many images got
  // another target.
  std::int64_t permute(std::span<const std::int32_t> image_ids,
                       std::span<const std::int32_t> column_of_row);

  // Image id -> row of C, to be saved.
  std::span<const std::int32_t> permutation() const { return row_of_image_; }
  // Error(checkpoint) unless it is a permutation of as many images; the state is then unchanged.
  void restore(std::span<const std::int32_t> permutation);

 private:
  // The rows of C held by a batch, in host memory until the next call.
  std::span<const std::int32_t> held(std::span<const std::int32_t> image_ids);

  std::uint64_t seed_;
  std::int64_t dimension_;
  std::vector<std::int32_t> row_of_image_;
  std::vector<std::int32_t> held_;
};

}  // namespace nat
