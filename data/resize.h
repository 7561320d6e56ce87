// Resizing of (height, width, 3) bytes.
//
//   shrinking   each result pixel is the mean of the source area it covers (fractions counted)
//   enlarging   bilinear, half-pixel centres, edges repeated
// chosen for each direction by itself; equal sizes copy exactly.
#pragma once

#include <cstdint>

#include "data/decode.h"

namespace nat::data {

// The size whose short side is `short_side`, the long one in proportion, rounded to nearest.
PictureSize resized_size(const PictureSize& source, int short_side);

struct Window {
  int left = 0, top = 0, width = 0, height = 0;
};

// Resizes `source` (of size `from`) to size `to`, but computes only a window of the result: a
// 3000 x 3 picture never becomes 256000 x 256. A pixel is the same in every window.
void resize_window(const std::uint8_t* source, const PictureSize& from, const PictureSize& to,
                   const Window& window, std::uint8_t* out);

}  // namespace nat::data
