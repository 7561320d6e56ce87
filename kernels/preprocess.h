// Stored bytes to network input: crop, resize, flip, per-image normalisation, front end.
//
// Per image:
//   1. crop/resize: output pixel (i, j) samples the box at
//      x = box.x + (j + 1/2) box.width/size - 1/2 (mirrored j when flip), y likewise, bilinear,
//      coordinates clamped to the picture (half-pixel centres; a box of size x size at integers is
//      an exact copy)
//   2. normalise: subtract the mean, divide by the standard deviation of the whole crop, all
//      channels together (the official code's per-image normalisation); a constant crop becomes 0
//   3. front end:
//        clean      the normalised channels                          -> channels of the picture
//        sobel      g = mean of the channels; cross-correlation of g, zero padding 1, with
//                   gx = [-1 0 1; -2 0 2; -1 0 1], gy = its transpose -> 2 channels (gx, gy)
//        high_pass  each channel minus its 3x3 box mean, zero padding  -> channels of the picture
//
// pixels (n, h, w, c) u8, c = 1 or 3; boxes (n, 5) f32, see kernels/crop_box.h;
// images (n, size, size, front_end_channels) f32, bf16 or f64.
// A box must be finite with positive sides; another is an error on the CPU, and gives an image of
// NaN on CUDA, where values cannot be looked at without stopping the device. CUDA takes pictures of
// less than 2 GiB each.
// Source: the paper, on image gradients as input, and the official data pipeline ("sobel" is its
// fixed first layer).
#pragma once

#include "kernels/crop_box.h"
#include "kernels/op.h"
#include "kernels/view.h"

namespace nat {

enum class FrontEnd { clean, sobel, high_pass };

inline int front_end_channels(FrontEnd front, int picture_channels) {
  return front == FrontEnd::sobel ? 2 : picture_channels;
}

using Preprocess = void(Context&, FrontEnd, ConstView pixels, ConstView boxes, View images);

namespace cpu {
Preprocess preprocess;
}  // namespace cpu
namespace gpu {
Preprocess preprocess;
}  // namespace gpu

inline constexpr Op<Preprocess> preprocess{cpu::preprocess, gpu_or_null<gpu::preprocess>()};

}  // namespace nat
