// The fixed targets and which image holds which: all the state that the method has (paper section
// 3.2, Algorithm 1).
//
// Row j of the target matrix C is a function of (kind, seed, j) and is made when needed
// (kernels/targets.h). What changes is one permutation, image id -> row of C, the identity at the
// start, in the memory of the context. Re-assignment permutes it inside a batch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/memory.h"
#include "kernels/targets.h"

namespace nat {

class Targets {
 public:
  // As many targets as images. `dimension` is d, the number of columns of C.
  Targets(Context& ctx, std::uint64_t seed, std::int64_t images, std::int64_t dimension,
          TargetKind kind = TargetKind::sphere);

  std::int64_t images() const { return images_; }
  std::int64_t dimension() const { return dimension_; }

  // held[i] = the row of C that image ids[i] holds; ids, held (n) i32.
  void held(Context& ctx, ConstView ids, View held) const;
  // targets[i] = row held[i] of C; targets (n, d) f32 or f64.
  void rows(Context& ctx, ConstView held, View targets) const;
  // Image ids[i] takes over the target that image ids[column_of_row[i]] held; `held` and `moved`
  // (1) i32 follow (kernels/permutation.h). column_of_row is a permutation of 0..n-1, the ids are
  // distinct.
  void exchange(Context& ctx, ConstView ids, ConstView column_of_row, View held, View moved);

  // Image id -> row of C, to be saved.
  std::vector<std::int32_t> permutation(Context& ctx) const;
  // Error(checkpoint) unless it is a permutation of as many images; the state is then unchanged.
  void restore(Context& ctx, std::span<const std::int32_t> permutation);

 private:
  View row_of_image() const;

  TargetKind kind_;
  std::uint64_t seed_;
  std::int64_t images_, dimension_;
  Buffer row_of_image_;
};

}  // namespace nat
