// Plain double reference of kernels/preprocess.h, for one picture.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/preprocess.h"

namespace nat::reference {

struct Picture {
  std::int64_t height = 0, width = 0, channels = 0;
  std::vector<double> value;  // rows, columns, channels

  // Zero outside.
  double at(std::int64_t y, std::int64_t x, std::int64_t c) const;
};

// Step by step: 1. crop and resize, 2. normalise, 3. front end.
Picture crop(const Picture& picture, const CropBox& box, std::int64_t size);
Picture normalised(const Picture& picture);
Picture filtered(const Picture& picture, FrontEnd front);

}  // namespace nat::reference
