// Small data sets that the data tests write for themselves: IDX, CIFAR, STL-10, and picture files
// of known pixels.
#pragma once

#include <doctest/doctest.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "data/dataset.h"
#include "data/resize.h"
#include "kernels/check.h"
#include "tests/error_message.h"
#include "tests/temporary_folder.h"

namespace nat::data {

using Bytes = std::vector<std::uint8_t>;

using test::message_of;
using test::TemporaryFolder;

#define CHECK_CONTAINS(text, part)                                                                \
  do {                                                                                            \
    const std::string text_value = (text);                                                        \
    CHECK_MESSAGE(text_value.find(part) != std::string::npos, "'", text_value, "' lacks '", part, \
                  "'");                                                                           \
  } while (false)

// All pictures of a data set, one after the other.
inline Bytes all_pixels(const Dataset& dataset) {
  const auto bytes = static_cast<std::size_t>(dataset.shape().bytes());
  Bytes pixels(bytes * static_cast<std::size_t>(dataset.size()));
  for (std::int32_t id = 0; id < dataset.size(); ++id) {
    dataset.read(id, pixels.data() + static_cast<std::size_t>(id) * bytes);
  }
  return pixels;
}

inline void append(Bytes& bytes, std::initializer_list<int> values) {
  for (const int value : values) bytes.push_back(static_cast<std::uint8_t>(value));
}

inline void append_big_endian(Bytes& bytes, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    bytes.push_back(static_cast<std::uint8_t>(value >> shift));
  }
}

inline void append_little_endian(Bytes& bytes, std::uint32_t value, int count) {
  for (int i = 0; i < count; ++i) bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}

// ---- IDX ----------------------------------------------------------------------------------------

inline Bytes idx_bytes(const std::vector<std::uint32_t>& sizes, const Bytes& data) {
  Bytes bytes;
  append(bytes, {0, 0, 8, static_cast<int>(sizes.size())});
  for (const std::uint32_t size : sizes) append_big_endian(bytes, size);
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}

inline Bytes gzip(const Bytes& bytes) {
  z_stream stream{};
  constexpr int kGzip = 15 + 16;
  REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, kGzip, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  Bytes out(deflateBound(&stream, bytes.size()));
  stream.next_in = const_cast<Bytef*>(bytes.data());
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

// ---- CIFAR --------------------------------------------------------------------------------------

// One record whose plane c is filled with colour[c], apart from pixel (row 1, column 2) = 7, 8, 9.
inline Bytes cifar_record(const std::vector<int>& labels, const std::array<int, 3>& colour) {
  Bytes record(labels.begin(), labels.end());
  for (std::size_t c = 0; c < 3; ++c) {
    Bytes plane(1024, static_cast<std::uint8_t>(colour[c]));
    plane[32 + 2] = static_cast<std::uint8_t>(7 + c);
    record.insert(record.end(), plane.begin(), plane.end());
  }
  return record;
}

// ---- picture files ------------------------------------------------------------------------------

using Colour = std::array<int, 3>;
using Painter = std::function<Colour(int x, int y)>;

inline Painter plain(const Colour& colour) {
  return [colour](int, int) { return colour; };
}

// 96x96 as STL-10 stores it: three planes, column by column.
inline Bytes stl10_picture(const Painter& paint) {
  Bytes planes;
  for (std::size_t c = 0; c < 3; ++c) {
    for (int x = 0; x < 96; ++x) {
      for (int y = 0; y < 96; ++y) append(planes, {paint(x, y)[c]});
    }
  }
  return planes;
}

inline Bytes ppm(int width, int height, const Painter& paint) {
  const std::string header =
      "P6\n# test\n" + std::to_string(width) + " " + std::to_string(height) + "\n255\n";
  Bytes bytes(header.begin(), header.end());
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const Colour colour = paint(x, y);
      append(bytes, {colour[0], colour[1], colour[2]});
    }
  }
  return bytes;
}

inline Bytes pgm(int width, int height, int level) {
  const std::string header =
      "P5 " + std::to_string(width) + " " + std::to_string(height) + " 255\n";
  Bytes bytes(header.begin(), header.end());
  bytes.resize(bytes.size() + static_cast<std::size_t>(width * height),
               static_cast<std::uint8_t>(level));
  return bytes;
}

// 24 bits, rows from bottom to top, each padded to four bytes.
inline Bytes bmp(int width, int height, const Painter& paint) {
  const int row = (3 * width + 3) / 4 * 4;
  Bytes bytes{'B', 'M'};
  append_little_endian(bytes, static_cast<std::uint32_t>(54 + row * height), 4);
  append_little_endian(bytes, 0, 4);
  append_little_endian(bytes, 54, 4);
  append_little_endian(bytes, 40, 4);
  append_little_endian(bytes, static_cast<std::uint32_t>(width), 4);
  append_little_endian(bytes, static_cast<std::uint32_t>(height), 4);
  append_little_endian(bytes, 1, 2);
  append_little_endian(bytes, 24, 2);
  bytes.resize(54);
  for (int y = height - 1; y >= 0; --y) {
    for (int x = 0; x < width; ++x) {
      const Colour colour = paint(x, y);
      append(bytes, {colour[2], colour[1], colour[0]});
    }
    bytes.resize(bytes.size() + static_cast<std::size_t>(row - 3 * width));
  }
  return bytes;
}

// A PNG whose rows are given as the file has them, each behind the number of its filter. The
// palette is left out when it is empty.
struct PngParts {
  int width = 0, height = 0;
  int bits = 8, colour_type = 2;  // 0 gray, 2 RGB, 3 palette
  Bytes palette = {};
  Bytes rows = {};
};

inline Bytes png(const PngParts& parts) {
  Bytes bytes{0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
  const auto chunk = [&](const std::string& type, const Bytes& data) {
    append_big_endian(bytes, static_cast<std::uint32_t>(data.size()));
    const std::size_t begin = bytes.size();
    bytes.insert(bytes.end(), type.begin(), type.end());
    bytes.insert(bytes.end(), data.begin(), data.end());
    append_big_endian(
        bytes, static_cast<std::uint32_t>(crc32_z(0, bytes.data() + begin, bytes.size() - begin)));
  };
  Bytes header;
  append_big_endian(header, static_cast<std::uint32_t>(parts.width));
  append_big_endian(header, static_cast<std::uint32_t>(parts.height));
  append(header, {parts.bits, parts.colour_type, 0, 0, 0});
  chunk("IHDR", header);
  if (!parts.palette.empty()) chunk("PLTE", parts.palette);
  uLongf length = compressBound(parts.rows.size());
  Bytes packed(length);
  REQUIRE(compress(packed.data(), &length, parts.rows.data(), parts.rows.size()) == Z_OK);
  packed.resize(length);
  chunk("IDAT", packed);
  chunk("IEND", {});
  return bytes;
}

// 8-bit RGB.
inline Bytes png(int width, int height, const Painter& paint) {
  Bytes rows;
  for (int y = 0; y < height; ++y) {
    rows.push_back(0);  // no filter
    for (int x = 0; x < width; ++x) {
      const Colour colour = paint(x, y);
      append(rows, {colour[0], colour[1], colour[2]});
    }
  }
  return png({.width = width, .height = height, .rows = rows});
}

// Palette indices, row by row from the top. The palette is RGB and may be shorter than they need.
inline Bytes palette_png(const Bytes& palette, int width, const Bytes& indices) {
  const int height = static_cast<int>(indices.size()) / width;
  Bytes rows;
  for (int y = 0; y < height; ++y) {
    rows.push_back(0);  // no filter
    rows.insert(rows.end(), indices.begin() + y * width, indices.begin() + (y + 1) * width);
  }
  return png(
      {.width = width, .height = height, .colour_type = 3, .palette = palette, .rows = rows});
}

// The same with 8 bits a pixel and either header: that of OS/2 is shorter, and so are its colours.
enum class BmpHeader { windows, os2 };
inline Bytes palette_bmp(const Bytes& palette, int width, const Bytes& indices,
                         BmpHeader version = BmpHeader::windows) {
  const bool os2 = version == BmpHeader::os2;
  const int height = static_cast<int>(indices.size()) / width, row = (width + 3) / 4 * 4;
  const int colours = static_cast<int>(palette.size()) / 3;
  const int offset = 14 + (os2 ? 12 + 3 * colours : 40 + 4 * colours);
  Bytes bytes{'B', 'M'};
  append_little_endian(bytes, static_cast<std::uint32_t>(offset + row * height), 4);
  append_little_endian(bytes, 0, 4);
  append_little_endian(bytes, static_cast<std::uint32_t>(offset), 4);
  append_little_endian(bytes, os2 ? 12 : 40, 4);
  append_little_endian(bytes, static_cast<std::uint32_t>(width), os2 ? 2 : 4);
  append_little_endian(bytes, static_cast<std::uint32_t>(height), os2 ? 2 : 4);
  append_little_endian(bytes, 1, 2);
  append_little_endian(bytes, 8, 2);
  if (!os2) bytes.resize(54);
  for (auto colour = palette.begin(); colour != palette.end(); colour += 3) {
    append(bytes, {colour[2], colour[1], colour[0]});
    if (!os2) bytes.push_back(0);
  }
  for (int y = height - 1; y >= 0; --y) {
    bytes.insert(bytes.end(), indices.begin() + y * width, indices.begin() + (y + 1) * width);
    bytes.resize(bytes.size() + static_cast<std::size_t>(row - width));
  }
  return bytes;
}

// A baseline gray JPEG of one 8x8 block a level, side by side; exact, because a flat block has only
// a DC coefficient and the quantiser is 8: pixel = DC * 8 / 8 + 128. Or a progressive one whose
// only scan is that of the DC coefficients, which takes no table for the others.
enum class JpegKind { baseline, progressive };
inline Bytes gray_jpeg(const std::vector<int>& levels, JpegKind kind = JpegKind::baseline) {
  const bool progressive = kind == JpegKind::progressive;
  const int width = 8 * static_cast<int>(levels.size());
  Bytes bytes;
  append(bytes, {0xFF, 0xD8});
  append(bytes, {0xFF, 0xDB, 0, 67, 0});  // quantisation table 0
  bytes.resize(bytes.size() + 64, 8);
  const int frame = progressive ? 0xC2 : 0xC0;
  append(bytes, {0xFF, frame, 0, 11, 8, 0, 8, width >> 8, width & 255, 1, 1, 0x11, 0});
  // DC codes: the 12 size categories, four bits each. AC: end of block = "0".
  append(bytes, {0xFF, 0xC4, 0, 31, 0x00, 0, 0, 0, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  append(bytes, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  if (!progressive) {
    append(bytes, {0xFF, 0xC4, 0, 20, 0x10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0});
  }
  append(bytes, {0xFF, 0xDA, 0, 8, 1, 1, 0x00, 0, progressive ? 0 : 63, 0});
  std::string bits;
  const auto put = [&](int value, int count) {
    for (int i = count - 1; i >= 0; --i) bits += ((value >> i) & 1) != 0 ? '1' : '0';
  };
  int before = 0;
  for (const int level : levels) {
    const int difference = (level - 128) - before;
    before = level - 128;
    int category = 0;
    while ((std::abs(difference) >> category) != 0) ++category;
    put(category, 4);
    put(difference >= 0 ? difference : difference + (1 << category) - 1, category);
    if (!progressive) put(0, 1);
  }
  while (bits.size() % 8 != 0) bits += '1';
  for (std::size_t i = 0; i < bits.size(); i += 8) {
    const int byte = std::stoi(bits.substr(i, 8), nullptr, 2);
    append(bytes, {byte});
    if (byte == 0xFF) append(bytes, {0});
  }
  append(bytes, {0xFF, 0xD9});
  return bytes;
}

// A colour that differs from pixel to pixel.
inline Colour pattern(int x, int y) {
  return {(13 * x + 7 * y) % 256, (5 * x + 31 * y) % 256, (x * y) % 256};
}

inline Bytes painted(int width, int height, const Painter& paint) {
  Bytes pixels;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const Colour colour = paint(x, y);
      append(pixels, {colour[0], colour[1], colour[2]});
    }
  }
  return pixels;
}

// The whole resized picture in double precision, straight from the definition.
inline std::vector<double> reference_resize(const Bytes& source, const PictureSize& from,
                                            const PictureSize& to) {
  const auto weight = [](int s, int p, int source_n, int result_n) {
    if (result_n <= source_n) {
      const double scale = double{1} * source_n / result_n;
      const double overlap =
          std::min((p + 1) * scale, s + 1.0) - std::max(p * scale, double{1} * s);
      return std::max(overlap, 0.0) / scale;
    }
    const double center = std::clamp((p + 0.5) * source_n / result_n - 0.5, 0.0, source_n - 1.0);
    return std::max(0.0, 1 - std::abs(center - s));
  };
  std::vector<double> result;
  for (int y = 0; y < to.height; ++y) {
    for (int x = 0; x < to.width; ++x) {
      for (int c = 0; c < 3; ++c) {
        double sum = 0;
        for (int sy = 0; sy < from.height; ++sy) {
          for (int sx = 0; sx < from.width; ++sx) {
            sum += weight(sy, y, from.height, to.height) * weight(sx, x, from.width, to.width) *
                   source[static_cast<std::size_t>((sy * from.width + sx) * 3 + c)];
          }
        }
        result.push_back(sum);
      }
    }
  }
  return result;
}

}  // namespace nat::data
