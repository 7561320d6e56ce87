// What both backends check before they preprocess.
#pragma once

#include "kernels/preprocess.h"

namespace nat {

inline void check_preprocess_shapes(FrontEnd front, const ConstView& pixels, const ConstView& boxes,
                                    const View& images) {
  const Shape& in = pixels.shape;
  NAT_CHECK(
      in.rank == 4 && pixels.dtype == DType::u8 && (in[3] == 1 || in[3] == 3) && in.elements() > 0,
      ErrorKind::usage, "preprocess: pictures are ", name(pixels.dtype), " ", to_string(in),
      ", expected u8 n x h x w x 1 or 3");
  NAT_CHECK(boxes.shape == Shape(in[0], 5) && boxes.dtype == DType::f32, ErrorKind::usage,
            "preprocess: boxes are ", name(boxes.dtype), " ", to_string(boxes.shape),
            ", expected f32 ", in[0], "x5");
  const Shape& out = images.shape;
  const std::int64_t channels = front_end_channels(front, static_cast<int>(in[3]));
  NAT_CHECK(
      out.rank == 4 && out[0] == in[0] && out[1] == out[2] && out[1] > 0 && out[3] == channels,
      ErrorKind::usage, "preprocess: images have shape ", to_string(out), ", expected ", in[0],
      " squares of ", channels, " channels");
}

}  // namespace nat
