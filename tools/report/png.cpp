#include "tools/report/png.h"

#include <algorithm>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>

#include "kernels/check.h"

namespace nat::report {

namespace {

std::size_t pixel_count(const Picture& picture) {
  return static_cast<std::size_t>(picture.width) * static_cast<std::size_t>(picture.height);
}

void check(const Picture& picture) {
  NAT_CHECK(picture.width > 0 && picture.height > 0 && picture.channels >= 1 &&
                picture.channels <= 4 &&
                picture.pixels.size() ==
                    pixel_count(picture) * static_cast<std::size_t>(picture.channels),
            ErrorKind::unexpected, "picture: ", picture.pixels.size(), " bytes are not ",
            picture.width, "x", picture.height, "x", picture.channels);
}

const std::uint8_t* at(const Picture& picture, int x, int y) {
  return picture.pixels.data() +
         (static_cast<std::ptrdiff_t>(y) * picture.width + x) * picture.channels;
}

void copy_as_rgba(const Picture& from, int x, int y, std::uint8_t* to) {
  const std::uint8_t* pixel = at(from, x, y);
  const bool is_gray = from.channels <= 2, has_alpha = from.channels % 2 == 0;
  for (int c = 0; c < 3; ++c) to[c] = pixel[is_gray ? 0 : c];
  to[3] = has_alpha ? pixel[from.channels - 1] : 255;
}

}  // namespace

std::string encode_png(const Picture& picture) {
  check(picture);
  std::string file;
  const auto append = [](void* context, void* data, int size) {
    static_cast<std::string*>(context)->append(static_cast<const char*>(data),
                                               static_cast<std::size_t>(size));
  };
  const int written =
      stbi_write_png_to_func(append, &file, picture.width, picture.height, picture.channels,
                             picture.pixels.data(), picture.width * picture.channels);
  NAT_CHECK(written != 0, ErrorKind::memory, "picture: no memory to encode ", picture.width, "x",
            picture.height, " pixels");
  return file;
}

Picture enlarge(const Picture& picture, int factor) {
  check(picture);
  Picture large{picture.width * factor, picture.height * factor, picture.channels, {}};
  large.pixels.reserve(pixel_count(large) * static_cast<std::size_t>(large.channels));
  for (int y = 0; y < large.height; ++y) {
    for (int x = 0; x < large.width; ++x) {
      const std::uint8_t* pixel = at(picture, x / factor, y / factor);
      large.pixels.insert(large.pixels.end(), pixel, pixel + picture.channels);
    }
  }
  return large;
}

Picture contact_sheet(std::span<const Picture> pictures, int columns, int gap) {
  NAT_CHECK(!pictures.empty() && columns > 0, ErrorKind::unexpected,
            "contact sheet: needs pictures and columns");
  const int count = static_cast<int>(pictures.size());
  columns = std::min(columns, count);
  const int rows = (count + columns - 1) / columns;
  const int width = pictures[0].width, height = pictures[0].height;
  Picture sheet{columns * (width + gap) - gap, rows * (height + gap) - gap, 4, {}};
  sheet.pixels.resize(pixel_count(sheet) * 4);
  for (int i = 0; i < count; ++i) {
    const Picture& picture = pictures[static_cast<std::size_t>(i)];
    check(picture);
    NAT_CHECK(picture.width == width && picture.height == height, ErrorKind::unexpected,
              "contact sheet: pictures of different sizes");
    const int left = i % columns * (width + gap), top = i / columns * (height + gap);
    for (int y = 0; y < height; ++y) {
      for (int x = 0; x < width; ++x) {
        const auto target = (static_cast<std::size_t>(top + y) * sheet.width + left + x) * 4;
        copy_as_rgba(picture, x, y, sheet.pixels.data() + target);
      }
    }
  }
  return sheet;
}

}  // namespace nat::report
