#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "data/decode.h"
#include "data/resize.h"
#include "tests/data_support.h"

namespace nat::data {
namespace {

Bytes decoded(const Bytes& file) {
  const Picture picture = decode(file);
  const std::uint8_t* pixels = picture.pixels.get();
  return {pixels, pixels + std::size_t{3} * picture.size.width * picture.size.height};
}

std::string decode_failure(const Bytes& file) {
  return message_of(ErrorKind::data, [&] { decode(file); });
}

}  // namespace

// ---- decoding -----------------------------------------------------------------------------------

TEST_CASE("PPM, BMP and PNG decode to the pixels that were written") {
  const Bytes expected = painted(7, 5, pattern);
  CHECK(decoded(ppm(7, 5, pattern)) == expected);
  CHECK(decoded(bmp(7, 5, pattern)) == expected);
  CHECK(decoded(png(7, 5, pattern)) == expected);
}

TEST_CASE("one-channel pictures become three equal channels") {
  CHECK(decoded(pgm(3, 2, 77)) == Bytes(18, 77));
  const Picture picture = decode(gray_jpeg({200, 31, 128}));
  CHECK(picture.size == PictureSize{24, 8});
  for (int x = 0; x < 24; ++x) {
    const int level = x < 8 ? 200 : x < 16 ? 31 : 128;
    for (int c = 0; c < 3; ++c) CHECK(picture.pixels[static_cast<std::size_t>(3 * x + c)] == level);
  }
}

TEST_CASE("the size is read from the start of a file") {
  Bytes jpeg = gray_jpeg({1, 2, 3, 4});
  jpeg.resize(150);
  CHECK(read_size(jpeg) == PictureSize{32, 8});
  Bytes picture = png(9, 4, pattern);
  picture.resize(40);
  CHECK(read_size(picture) == PictureSize{9, 4});
}

TEST_CASE("pictures that are cut off are refused in every format") {
  const Bytes jpeg = gray_jpeg({200, 31, 128, 90});
  const auto cut = [](const Bytes& file, int bytes) {
    return Bytes(file.begin(), file.end() - bytes);
  };
  CHECK_CONTAINS(decode_failure(cut(jpeg, 2)), "no end-of-image marker");
  CHECK_CONTAINS(decode_failure(cut(jpeg, 5)), "no end-of-image marker");
  CHECK_CONTAINS(decode_failure(cut(bmp(7, 5, pattern), 20)), "cut off");
  CHECK_CONTAINS(decode_failure(cut(bmp(7, 5, pattern), 4)), "cut off");
  CHECK(decoded(cut(bmp(7, 5, pattern), 3)) == painted(7, 5, pattern));  // padding, no pixels
  CHECK_CONTAINS(decode_failure(cut(ppm(7, 5, pattern), 1)), "cut off");
  CHECK_CONTAINS(decode_failure(cut(png(7, 5, pattern), 40)), "damaged");
  CHECK_CONTAINS(decode_failure({'B', 'M', 0, 0}), "damaged");
  CHECK_CONTAINS(decode_failure({}), "empty");
  // What the writer puts after the end marker, be it a film, is harmless: also half a second
  // picture.
  Bytes trailed = jpeg;
  append(trailed, {0x7F, 0, 0});
  CHECK(decode(trailed).size == PictureSize{32, 8});
  const Bytes half(jpeg.begin() + 67 + 2, jpeg.end() - 2);  // without the quantisation table
  trailed.insert(trailed.end(), half.begin(), half.end());
  trailed.resize(trailed.size() + 100'000, 0x55);
  CHECK(decoded(trailed) == decoded(jpeg));
  // An end marker inside a preview is none of the picture's.
  Bytes with_preview(jpeg.begin(), jpeg.begin() + 2);
  append(with_preview, {0xFF, 0xE1, 0, 6, 0xFF, 0xD8, 0xFF, 0xD9});
  with_preview.insert(with_preview.end(), jpeg.begin() + 2, jpeg.end());
  CHECK(decoded(with_preview) == decoded(jpeg));
  CHECK_CONTAINS(decode_failure(cut(with_preview, 2)), "no end-of-image marker");
}

TEST_CASE("headers that claim too much are refused before decoding") {
  Bytes huge = gray_jpeg({1});
  const Bytes frame_marker{0xFF, 0xC0};
  const auto frame =
      std::search(huge.begin(), huge.end(), frame_marker.begin(), frame_marker.end());
  REQUIRE(frame != huge.end());
  const auto claim = [&](int width, int height) {
    frame[5] = static_cast<std::uint8_t>(height >> 8);
    frame[6] = static_cast<std::uint8_t>(height);
    frame[7] = static_cast<std::uint8_t>(width >> 8);
    frame[8] = static_cast<std::uint8_t>(width);
    return decode_failure(huge);
  };
  CHECK_CONTAINS(claim(20'000, 20'000), "too large: 20000x20000 is above 100 million pixels");
  CHECK_CONTAINS(claim(5'100, 100), "too elongated: 5100x100 is above 50:1");
  CHECK_CONTAINS(decode_failure(ppm(0, 5, pattern)), "states a size of 0x5");
  CHECK_CONTAINS(decode_failure(Bytes{'P', '6', ' ', '9', '9', '9', '9', '9', '9', '9', '9', '9'}),
                 "PNM");
}

TEST_CASE("the size that a PNG or BMP claims is named, however large it is") {
  Bytes picture = png(9, 4, pattern);
  const auto claim = [&](std::uint32_t width, std::uint32_t height) {
    Bytes sizes;
    append_big_endian(sizes, width);
    append_big_endian(sizes, height);
    std::copy(sizes.begin(), sizes.end(), picture.begin() + 16);
  };
  claim(40'000, 40'000);
  CHECK_CONTAINS(decode_failure(picture), "too large: 40000x40000 is above 100 million pixels");
  claim(2'000'000'000, 9);
  CHECK_CONTAINS(decode_failure(picture), "too large: 2000000000x9 is above 100 million pixels");
  claim(60'000, 1'000);
  CHECK_CONTAINS(decode_failure(picture), "too elongated: 60000x1000 is above 50:1");
  claim(4'000'000'000, 9);
  CHECK_CONTAINS(decode_failure(picture), "too large: 2147483647x9 is above");
  claim(40'000, 2'000);
  CHECK(read_size(picture) == PictureSize{40'000, 2'000});

  const int width = 30'001, height = 601, row = (width + 7) / 8;
  const Bytes rows(static_cast<std::size_t>(height) * (1 + row));
  const Bytes wide =
      png({.width = width, .height = height, .bits = 1, .colour_type = 0, .rows = rows});
  CHECK(decode(wide).size == PictureSize{width, height});

  // The height -2^31 has no positive counterpart.
  Bytes lowest = bmp(4, 4, pattern);
  std::fill(lowest.begin() + 22, lowest.begin() + 26, std::uint8_t{0});
  lowest[25] = 0x80;
  CHECK_CONTAINS(decode_failure(lowest), "too large: 4x2147483647");
}

TEST_CASE("a JPEG whose Huffman table lists too many codes is refused") {
  Bytes file = gray_jpeg({100});
  const Bytes marker{0xFF, 0xC4};
  const auto table = std::search(file.begin(), file.end(), marker.begin(), marker.end());
  REQUIRE(table != file.end());
  // The counts of codes by length begin behind marker, length and table number.
  table[5 + 8] = 255;
  table[5 + 9] = 255;
  CHECK_CONTAINS(decode_failure(file), "damaged (a Huffman table of 522 codes)");
  CHECK_CONTAINS(message_of(ErrorKind::data, [&] { read_size(file); }), "Huffman table");
}

TEST_CASE("a JPEG scan that uses a table the file does not define is refused") {
  const Bytes whole = gray_jpeg({200, 31, 128});
  // Its segments in their order: marker, what a refusal says when the segment is missing.
  const auto without = [&](int marker, int occurrence) {
    auto at = whole.begin() + 2;
    for (int seen = 0;; ++seen) {
      while (at[1] != marker) at += 2 + (at[2] << 8 | at[3]);
      if (seen == occurrence) break;
      at += 2 + (at[2] << 8 | at[3]);
    }
    Bytes file(whole.begin(), at);
    file.insert(file.end(), at + 2 + (at[2] << 8 | at[3]), whole.end());
    return decode_failure(file);
  };
  CHECK_CONTAINS(without(0xDB, 0), "a scan uses quantisation table 0, which is not defined");
  CHECK_CONTAINS(without(0xC4, 0), "a scan uses DC Huffman table 0, which is not defined");
  CHECK_CONTAINS(without(0xC4, 1), "a scan uses AC Huffman table 0, which is not defined");
  // The scan of a progressive one that begins behind the DC coefficient needs the other tables.
  Bytes later = gray_jpeg({200, 31, 128}, JpegKind::progressive);
  const Bytes scan{0xFF, 0xDA};
  const auto at = std::search(later.begin(), later.end(), scan.begin(), scan.end());
  REQUIRE(at != later.end());
  at[7] = 1;
  at[8] = 63;
  CHECK_CONTAINS(decode_failure(later), "a scan uses AC Huffman table 0, which is not defined");
  // A table that no scan needs may be missing.
  const Picture picture = decode(gray_jpeg({200, 31, 128}, JpegKind::progressive));
  for (int x = 0; x < 24; ++x) {
    CHECK(picture.pixels[static_cast<std::size_t>(3 * x)] == (x < 8 ? 200 : x < 16 ? 31 : 128));
  }
}

TEST_CASE("a JPEG of more scans than any writer makes is refused before it is decoded") {
  for (const JpegKind kind : {JpegKind::baseline, JpegKind::progressive}) {
    const Bytes jpeg = gray_jpeg({200, 31}, kind), start{0xFF, 0xDA};
    const auto scan = std::search(jpeg.begin(), jpeg.end(), start.begin(), start.end());
    const auto with_scans = [&](int count) {
      Bytes file(jpeg.begin(), scan);
      for (int i = 0; i < count; ++i) file.insert(file.end(), scan, jpeg.end() - 2);
      append(file, {0xFF, 0xD9});
      return file;
    };
    CHECK(read_size(with_scans(500)) == PictureSize{16, 8});
    CHECK_CONTAINS(decode_failure(with_scans(501)), "more than 500 scans");
  }
}

TEST_CASE(
    "palette pictures: colours that the palette lacks are black, whatever was decoded before") {
  Bytes every_colour, every_index, bright;
  for (int i = 0; i < 256; ++i) {
    append(every_colour, {i, 255 - i, 7 * i % 256});
    append(every_index, {i});
    append(bright, {250, 251, 252});
  }
  const Bytes few{200, 10, 20, 30, 210, 40};
  const Bytes indices{0, 1, 2, 5, 255};
  const Bytes expected{200, 10, 20, 30, 210, 40, 0, 0, 0, 0, 0, 0, 0, 0, 0};
  decode(palette_png(bright, 16, every_index));
  CHECK(decoded(palette_png(few, 5, indices)) == expected);
  decode(palette_bmp(bright, 16, every_index));
  CHECK(decoded(palette_bmp(few, 5, indices)) == expected);
  decode(palette_bmp(bright, 16, every_index));
  CHECK(decoded(palette_bmp(few, 5, indices, BmpHeader::os2)) == expected);

  CHECK(decoded(palette_png(every_colour, 16, every_index)) == every_colour);
  CHECK(decoded(palette_bmp(every_colour, 16, every_index)) == every_colour);
  CHECK(decoded(palette_bmp(every_colour, 16, every_index, BmpHeader::os2)) == every_colour);
}

TEST_CASE("palette pictures without a palette are refused") {
  CHECK_CONTAINS(decode_failure(palette_png({}, 2, {0, 0})), "damaged");
  CHECK_CONTAINS(decode_failure(palette_bmp({}, 2, {0, 0})), "damaged (no palette)");
  CHECK_CONTAINS(decode_failure(palette_bmp({}, 2, {0, 0}, BmpHeader::os2)),
                 "damaged (no palette)");
  Bytes early = palette_bmp({1, 2, 3}, 2, {0, 0});
  early[10] = 20;  // the pixels begin inside the header
  CHECK_CONTAINS(decode_failure(early), "damaged (no palette)");
}

TEST_CASE("formats that cannot be read are named") {
  CHECK_CONTAINS(decode_failure({'R', 'I', 'F', 'F', 0, 0, 0, 0, 'W', 'E', 'B', 'P'}), "WebP");
  CHECK_CONTAINS(decode_failure({'I', 'I', 42, 0}), "TIFF");
  CHECK_CONTAINS(decode_failure({'G', 'I', 'F', '8', '9', 'a'}), "GIF");
  CHECK_CONTAINS(decode_failure({'h', 'e', 'l', 'l', 'o'}), "not a known picture");
  // 16-bit PNM is read out of bounds by some versions of stb_image.
  CHECK_CONTAINS(
      decode_failure({'P', '5', ' ', '1', ' ', '1', ' ', '6', '5', '5', '3', '5', '\n', 0, 0}),
      "maximum of 65535");
}

// ---- resizing -----------------------------------------------------------------------------------

TEST_CASE("resizing agrees with its definition in double precision") {
  for (const auto& [from, short_side] : {std::pair{PictureSize{13, 9}, 4},
                                         {PictureSize{9, 13}, 4},
                                         {PictureSize{5, 7}, 12},
                                         {PictureSize{40, 31}, 30},
                                         {PictureSize{1, 3}, 2},
                                         {PictureSize{8, 8}, 8}}) {
    const Bytes source = painted(from.width, from.height, pattern);
    const PictureSize to = resized_size(from, short_side);
    const std::vector<double> expected = reference_resize(source, from, to);
    for (const int left : {0, to.width - short_side}) {
      for (const int top : {0, to.height - short_side}) {
        Bytes out(static_cast<std::size_t>(3 * short_side * short_side) + 16, 0xA5);
        resize_window(source.data(), from, to, {left, top, short_side, short_side}, out.data());
        for (int y = 0; y < short_side; ++y) {
          for (int i = 0; i < 3 * short_side; ++i) {
            const double value =
                expected[static_cast<std::size_t>(((top + y) * to.width + left) * 3 + i)];
            // Rounding to nearest, plus float rounding of sums of at most 255.
            REQUIRE(std::abs(out[static_cast<std::size_t>(y * 3 * short_side + i)] - value) <=
                    0.5 + 1e-3);
          }
        }
        for (std::size_t i = out.size() - 16; i < out.size(); ++i) REQUIRE(out[i] == 0xA5);
      }
    }
  }
}

TEST_CASE("the resized size keeps the proportions") {
  CHECK(resized_size({500, 375}, 256) == PictureSize{341, 256});
  CHECK(resized_size({375, 500}, 256) == PictureSize{256, 341});
  CHECK(resized_size({75, 56}, 224) == PictureSize{300, 224});
  CHECK(resized_size({3000, 60}, 256) == PictureSize{12'800, 256});
  CHECK(resized_size({640, 427}, 256) == PictureSize{384, 256});  // 383.7: to the nearest
  CHECK(resized_size({427, 640}, 256) == PictureSize{256, 384});
}

}  // namespace nat::data
