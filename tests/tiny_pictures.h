// A small generated data set: grey pictures of soft blobs whose places differ from picture to
// picture, so that a network can tell them apart.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

#include "kernels/crop_box.h"
#include "kernels/random.h"
#include "nat/trainer.h"

namespace nat::test {

class TinyPictures {
 public:
  explicit TinyPictures(std::int64_t count, int size = 12)
      : size_(size),
        pixels_(static_cast<std::size_t>(count * size * size)),
        ids_(static_cast<std::size_t>(count)),
        boxes_(ids_.size(),
               CropBox{.width = static_cast<float>(size), .height = static_cast<float>(size)}) {
    std::iota(ids_.begin(), ids_.end(), 0);
    for (const std::int32_t id : ids_) paint(id);
  }

  Shape shape(std::int64_t count) const { return {count, size_, size_, 1}; }
  const std::uint8_t* picture(std::int32_t id) const { return pixels_.data() + id * size_ * size_; }

  // The pictures of `count` consecutive ids, uncropped.
  ImageBatch batch(std::int32_t first, std::int64_t count) const {
    return {.ids = {ids_.data() + first, static_cast<std::size_t>(count)},
            .pixels = ConstView(picture(first), DType::u8, shape(count)),
            .boxes = ConstView(boxes_.data() + first, DType::f32, Shape(count, 5))};
  }

 private:
  // Integer arithmetic only: the same bytes on every machine.
  void paint(std::int32_t id) {
    const auto size = static_cast<std::uint32_t>(size_);
    const Random4 r = philox(3, RandomStream::synthetic, 0, static_cast<std::uint64_t>(id));
    std::uint8_t* pixel = pixels_.data() + id * size_ * size_;
    for (int y = 0; y < size_; ++y) {
      for (int x = 0; x < size_; ++x) {
        int value = 0;
        for (const std::uint32_t word : r.value) {
          const int dx = x - static_cast<int>(word % size);
          const int dy = y - static_cast<int>(word / size % size);
          value += 160 / (1 + dx * dx + dy * dy);
        }
        *pixel++ = static_cast<std::uint8_t>(std::min(value, 255));
      }
    }
  }

  int size_;
  std::vector<std::uint8_t> pixels_;
  std::vector<std::int32_t> ids_;
  std::vector<CropBox> boxes_;
};

}  // namespace nat::test
