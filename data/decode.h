// Picture files to bytes: JPEG, PNG, BMP (through stb_image) and binary PGM/PPM.
//
// The content decides, never the file name. A header is checked before anything is decoded, because
// a 12 kB file may claim 20000 x 20000 pixels. Gray, palette, alpha and CMYK become RGB; the EXIF
// orientation is ignored, as in the official pipeline.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "data/files.h"

namespace nat::data {

struct PictureSize {
  int width = 0, height = 0;
  friend bool operator==(const PictureSize&, const PictureSize&) = default;
};

constexpr std::int64_t kMaxPixels = 100'000'000;
constexpr int kMaxAspect = 50;  // long side : short side

struct Picture {
  PictureSize size;
  std::unique_ptr<std::uint8_t[], void (*)(std::uint8_t*)> pixels;  // (height, width, 3)
};

// Both throw Error{data} with the reason alone. read_size may be given only the start of a file; it
// then fails when the size comes later.
PictureSize read_size(const Bytes& file);
Picture decode(const Bytes& file);

}  // namespace nat::data
