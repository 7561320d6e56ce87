// The pictures of a run on their way to the device, pool by pool (a pool is one batch, or several
// that exchange targets at once). On CUDA the next pool travels beside the step under way, out of
// page-locked memory; so there are two places, filled in turn.
//
//   load(first); for (;;) { open(); load(next); ... part(0) ... part(parts - 1) ... }
#pragma once

#include <cstdint>
#include <span>

#include "kernels/memory.h"

namespace nat {

// Host memory: what the loader delivers.
struct ImageBatch {
  std::span<const std::int32_t> ids;
  ConstView pixels;  // (n, h, w, c) u8
  ConstView boxes;   // (n, 5) f32, kernels/crop_box.h
};

class PictureFeed {
 public:
  // `pixels` is the shape of a batch of stored pictures; a pool has `parts` batches.
  PictureFeed(Device device, std::int64_t parts, Shape pixels);

  // Begins to bring a pool to the device; it must stay as it is until the open() that waits for it.
  // At most one pool is loaded ahead of the open one. Error(unexpected) when it is not as planned.
  void load(Context& ctx, const ImageBatch& pool);
  // From now on the pool loaded next is the open one: it has arrived.
  void open();
  bool is_open() const { return opened_ > 0; }

  // Of the open pool, in the device's memory.
  struct Pictures {
    ConstView ids, pixels, boxes;  // as in ImageBatch; ids (n) i32
  };
  Pictures all() const;
  Pictures part(std::int64_t index) const;  // one batch

 private:
  struct Place {
    Buffer ids, pixels, boxes;
  };

  Shape ids_, pixels_, boxes_;  // of a pool
  std::int64_t batch_;
  Place places_[2];
  std::int64_t loaded_ = 0, opened_ = 0;  // pools, so far
  Transfer transfer_;
};

}  // namespace nat
