// Which part of a stored picture a network sees, in pixels of the stored picture.
#pragma once

namespace nat {

// Five floats so that an array of boxes is an f32 matrix (n, 5) on any device.
struct CropBox {
  float x = 0, y = 0;           // left, top edge
  float width = 0, height = 0;  // may be fractional; resized to the network's input size
  float flip = 0;               // 1 = mirrored left to right
};
static_assert(sizeof(CropBox) == 5 * sizeof(float));

}  // namespace nat
