#include "nat/picture_feed.h"

#include <cassert>

namespace nat {

namespace {

Shape of_pool(std::int64_t parts, Shape pixels) {
  pixels.dim[0] *= parts;
  return pixels;
}

}  // namespace

PictureFeed::PictureFeed(Device device, std::int64_t parts, Shape pixels)
    : ids_(parts * pixels[0]),
      pixels_(of_pool(parts, pixels)),
      boxes_(parts * pixels[0], 5),
      batch_(pixels[0]),
      transfer_(device) {
  const auto bytes = [](const Shape& shape, DType dtype) {
    return static_cast<std::size_t>(shape.elements()) * size_of(dtype);
  };
  for (Place& place : places_) {
    place.ids = Buffer(device, bytes(ids_, DType::i32), "pictures");
    place.pixels = Buffer(device, bytes(pixels_, DType::u8), "pictures");
    place.boxes = Buffer(device, bytes(boxes_, DType::f32), "pictures");
  }
}

void PictureFeed::load(Context& ctx, const ImageBatch& pool) {
  assert(loaded_ == opened_);
  NAT_CHECK(pool.pixels.shape == pixels_, ErrorKind::unexpected, "pool of ",
            to_string(pool.pixels.shape), " pictures, planned for ", to_string(pixels_));
  NAT_CHECK(std::ssize(pool.ids) == ids_[0], ErrorKind::unexpected, "pool of ", pool.ids.size(),
            " ids for ", ids_[0], " pictures");
  const Place& to = places_[loaded_ % 2];
  // The small ones first: they lie in ordinary memory, whose copies may wait for those before them.
  transfer_.copy(ctx, ConstView(pool.ids.data(), DType::i32, ids_),
                 View(to.ids.data(), DType::i32, ids_));
  transfer_.copy(ctx, pool.boxes, View(to.boxes.data(), DType::f32, boxes_));
  transfer_.copy(ctx, pool.pixels, View(to.pixels.data(), DType::u8, pixels_));
  ++loaded_;
}

void PictureFeed::open() {
  assert(opened_ < loaded_);
  transfer_.wait();
  ++opened_;
}

PictureFeed::Pictures PictureFeed::all() const {
  assert(is_open());
  const Place& place = places_[(opened_ - 1) % 2];
  return {.ids = ConstView(place.ids.data(), DType::i32, ids_),
          .pixels = ConstView(place.pixels.data(), DType::u8, pixels_),
          .boxes = ConstView(place.boxes.data(), DType::f32, boxes_)};
}

PictureFeed::Pictures PictureFeed::part(std::int64_t index) const {
  const Pictures pool = all();
  const auto of_part = [&](const ConstView& view) {
    return rows(view, index * batch_, (index + 1) * batch_);
  };
  return {.ids = of_part(pool.ids), .pixels = of_part(pool.pixels), .boxes = of_part(pool.boxes)};
}

}  // namespace nat
