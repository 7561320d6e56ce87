// Pictures in memory and as PNG files.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace nat::report {

struct Picture {
  int width = 0, height = 0;
  int channels = 1;                  // 1 gray, 2 gray + alpha, 3 RGB, 4 RGBA
  std::vector<std::uint8_t> pixels;  // (height, width, channels)
};

// The bytes of a PNG file. Error(unexpected) when sizes and pixels do not agree.
std::string encode_png(const Picture& picture);

// Every pixel becomes a factor x factor square.
Picture enlarge(const Picture& picture, int factor);

// Pictures of one size in rows of `columns`, `gap` transparent pixels apart. The result is RGBA, so
// it sits well on light and dark pages.
Picture contact_sheet(std::span<const Picture> pictures, int columns, int gap);

}  // namespace nat::report
