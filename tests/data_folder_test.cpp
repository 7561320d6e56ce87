#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "data/decode.h"
#include "data/open.h"
#include "data/picture_files.h"
#include "data/resize.h"
#include "tests/data_support.h"

namespace nat::data {
namespace {

namespace fs = std::filesystem;

std::unique_ptr<Dataset> open_path(const std::string& path, Split split = Split::train,
                                   const OpenOptions& options = {}) {
  return open_dataset(parse_spec("folder:" + path), split, options);
}

std::string failure(const std::string& path, Split split = Split::train,
                    const OpenOptions& options = {}) {
  return message_of(ErrorKind::data, [&] { open_path(path, split, options); });
}

// A colour that differs from pixel to pixel.
Colour pattern(int x, int y) {
  return {(13 * x + 7 * y) % 256, (5 * x + 31 * y) % 256, (x * y) % 256};
}

Bytes decoded(const Bytes& file) {
  const Picture picture = decode(file);
  const std::uint8_t* pixels = picture.pixels.get();
  return {pixels, pixels + std::size_t{3} * picture.size.width * picture.size.height};
}

Bytes painted(int width, int height, const Painter& paint) {
  Bytes pixels;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const Colour colour = paint(x, y);
      append(pixels, {colour[0], colour[1], colour[2]});
    }
  }
  return pixels;
}

std::string decode_failure(const Bytes& file) {
  return message_of(ErrorKind::data, [&] { decode(file); });
}

// A JPEG with so many bytes of a comment in front of its size, as cameras put a preview there.
Bytes jpeg_behind(int comment, const std::vector<int>& levels) {
  const Bytes jpeg = gray_jpeg(levels);
  Bytes file(jpeg.begin(), jpeg.begin() + 2);
  append(file, {0xFF, 0xFE, (comment + 2) >> 8, (comment + 2) & 255});
  file.resize(file.size() + static_cast<std::size_t>(comment), 0x55);
  file.insert(file.end(), jpeg.begin() + 2, jpeg.end());
  return file;
}

// The whole resized picture in double precision, straight from the definition.
std::vector<double> reference_resize(const Bytes& source, const PictureSize& from,
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

TEST_CASE("single files are looked at in the size and the colours of other pictures") {
  const TemporaryFolder folder;
  const Painter paint = [](int x, int) { return x < 2 ? Colour{1, 1, 0} : Colour{1, 0, 0}; };
  const std::string picture = folder.write("a.ppm", ppm(4, 4, paint));
  const std::string none = folder.write("b.ppm", "no picture");
  const auto in_grey = open_single_files({picture, none}, {4, 4, 1});
  CHECK(in_grey->shape() == PictureShape{4, 4, 1});
  // The mean of the colours, to the nearest: 2/3 is 1 and 1/3 is 0.
  const Bytes grey = all_pixels(*in_grey);
  CHECK(Bytes(grey.begin(), grey.begin() + 4) == Bytes{1, 1, 0, 0});
  CHECK(in_grey->usable_ids() == std::vector<std::int32_t>{0});
  const auto small = open_single_files({picture, picture}, {2, 3, 3});
  CHECK(small->shape() == PictureShape{2, 2, 3});
  CHECK(small->size() == 2);
}

// ---- folders ------------------------------------------------------------------------------------

TEST_CASE("class folders are sorted by bytes and descended into") {
  const TemporaryFolder folder;
  folder.write("b/two.PPM", ppm(4, 4, plain({20, 0, 0})));
  folder.write("b/images/one.ppm", ppm(4, 4, plain({30, 0, 0})));
  folder.write("10/x.ppm", ppm(4, 4, plain({40, 0, 0})));
  folder.write("9/x.ppm", ppm(4, 4, plain({50, 0, 0})));
  folder.write("B/x.ppm", ppm(4, 4, plain({60, 0, 0})));
  folder.write("B/words.txt", "not a picture");
  folder.write("B/.hidden.ppm", ppm(4, 4, plain({1, 0, 0})));
  folder.write(".cache/x.ppm", ppm(4, 4, plain({2, 0, 0})));
  fs::create_directory(folder.at("empty"));
  const auto pictures = open_path(folder.path());
  CHECK(pictures->catalog().class_names == std::vector<std::string>{"10", "9", "B", "b", "empty"});
  CHECK(pictures->catalog().paths == std::vector<std::string>{"10/x.ppm", "9/x.ppm", "B/x.ppm",
                                                              "b/two.PPM", "b/images/one.ppm"});
  CHECK(pictures->catalog().labels == std::vector<std::int32_t>{0, 1, 2, 3, 3});
  CHECK(pictures->catalog().remarks == std::vector<std::string>{"class 'empty' has no pictures"});
  CHECK(pictures->shape() == PictureShape{4, 4, 3});
  Bytes pixels(48);
  pictures->read(4, pixels.data());
  CHECK(pixels[0] == 30);
}

TEST_CASE("a folder with pictures directly in it is one set without labels") {
  const TemporaryFolder folder;
  folder.write("z.ppm", ppm(4, 4, plain({1, 0, 0})));
  folder.write("a/y.ppm", ppm(4, 4, plain({2, 0, 0})));
  const auto pictures = open_path(folder.path());
  CHECK(pictures->catalog().paths == std::vector<std::string>{"z.ppm", "a/y.ppm"});
  CHECK_FALSE(pictures->labelled());
  CHECK(pictures->name(1) == "a/y.ppm");
}

TEST_CASE("train and test or val below a path are its splits") {
  const TemporaryFolder folder;
  folder.write("train/cat/1.ppm", ppm(4, 4, plain({1, 0, 0})));
  folder.write("train/dog/1.ppm", ppm(4, 4, plain({2, 0, 0})));
  CHECK_FALSE(has_split(parse_spec(folder.path()), Split::test));
  CHECK(open_path(folder.path())->size() == 2);
  CHECK_CONTAINS(failure(folder.path(), Split::test), "no test pictures");
  folder.write("val/cat/9.ppm", ppm(4, 4, plain({3, 0, 0})));
  CHECK_CONTAINS(failure(folder.path(), Split::test), "differ (first 'dog', 1 in all)");
  fs::create_directory(folder.at("val/dog"));
  CHECK(open_path(folder.path(), Split::test)->catalog().paths ==
        std::vector<std::string>{"cat/9.ppm"});
  folder.write("test/cat/1.ppm", ppm(4, 4, plain({4, 0, 0})));
  folder.write("test/dog/1.ppm", ppm(4, 4, plain({5, 0, 0})));
  CHECK(open_path(folder.path(), Split::test)->size() == 2);
}

TEST_CASE("a class called train is not a split") {
  const TemporaryFolder folder;
  folder.write("sheep/1.ppm", ppm(4, 4, plain({1, 0, 0})));
  folder.write("train/1.ppm", ppm(4, 4, plain({2, 0, 0})));
  CHECK(open_path(folder.path())->catalog().class_names ==
        std::vector<std::string>{"sheep", "train"});
}

TEST_CASE("links are followed once; pipes, dead links and link loops do no harm") {
  const TemporaryFolder folder;
  folder.write("a/1.ppm", ppm(4, 4, plain({1, 0, 0})));
  fs::create_directory_symlink("..", folder.at("a/up"));
  fs::create_directory_symlink("a", folder.at("b"));
  fs::create_symlink("1.ppm", folder.at("a/2.ppm"));
  fs::create_symlink("nowhere", folder.at("a/3.ppm"));
  REQUIRE(mkfifo(folder.at("a/pipe.jpg").c_str(), 0600) == 0);
  // a/up leads back to the root and from there to a again, which counts only once.
  const auto pictures = open_path(folder.path());
  CHECK(pictures->catalog().paths == std::vector<std::string>{"a/1.ppm", "a/2.ppm"});
}

TEST_CASE("a link inside a class folder takes no pictures from other classes") {
  const TemporaryFolder folder;
  folder.write("elsewhere/sub/e.ppm", ppm(4, 4, plain({9, 0, 0})));
  const std::string root = folder.at("set/train");
  for (const char* name : {"a/1.ppm", "b/2.ppm", "b/deep/3.ppm", "c/4.ppm"}) {
    folder.write(std::string("set/train/") + name, ppm(4, 4, plain({1, 0, 0})));
  }
  folder.write("set/test/a/5.ppm", ppm(4, 4, plain({2, 0, 0})));
  const std::vector<std::string> remarks = open_path(root)->catalog().remarks;
  CHECK(remarks.empty());

  const auto after_linking = [&](const std::string& target, const std::string& name) {
    fs::create_directory_symlink(target, root + "/" + name);
    const auto pictures = open_path(root);
    fs::remove(root + "/" + name);
    CHECK(pictures->catalog().paths ==
          std::vector<std::string>{"a/1.ppm", "b/2.ppm", "b/deep/3.ppm", "c/4.ppm"});
    CHECK(pictures->catalog().labels == std::vector<std::int32_t>{0, 1, 1, 2});
    REQUIRE(pictures->catalog().remarks.size() == 1);
    return pictures->catalog().remarks.front();
  };
  CHECK(after_linking("../b", "a/more") ==
        "'a/more' is left out: its pictures are in the data set already");
  for (const char* target : {".", "..", "../..", "/", "../b/deep", "../c"}) {
    after_linking(target, "a/more");
  }
  after_linking("../a", "b/more");

  // A class that is a link to another one stays empty, also where it comes first.
  fs::create_directory_symlink("b", root + "/0");
  const auto renamed = open_path(root);
  CHECK(renamed->catalog().labels == std::vector<std::int32_t>{1, 2, 2, 3});
  CHECK(renamed->catalog().remarks ==
        std::vector<std::string>{"'0' is left out: its pictures are in the data set already",
                                 "class '0' has no pictures"});
  fs::remove(root + "/0");

  // What belongs to no class is taken, once; hidden folders are looked at for a link alone.
  fs::create_directory_symlink("../../../elsewhere", root + "/a/more");
  folder.write("set/train/.store/6.ppm", ppm(4, 4, plain({3, 0, 0})));
  fs::create_directory_symlink("../.store", root + "/c/store");
  const auto more = open_path(root);
  CHECK(more->catalog().paths == std::vector<std::string>{"a/1.ppm", "a/more/sub/e.ppm", "b/2.ppm",
                                                          "b/deep/3.ppm", "c/4.ppm",
                                                          "c/store/6.ppm"});
  CHECK(more->catalog().labels == std::vector<std::int32_t>{0, 0, 1, 1, 2, 2});
  CHECK(more->catalog().remarks.empty());
  fs::create_directory_symlink("../../../elsewhere", root + "/c/more");
  fs::create_directory_symlink("../a", root + "/c/next");
  CHECK(open_path(root)->catalog().remarks ==
        std::vector<std::string>{"'c/more' is left out: its pictures are in the data set already "
                                 "(one of 2 such folders)"});
}

TEST_CASE("a picture may have its size far behind its start") {
  const TemporaryFolder folder;
  for (const int comment : {10, 4000, 4090, 5000, 65'000}) {
    folder.write(std::to_string(100'000 + comment) + ".jpg", jpeg_behind(comment, {200, 31}));
  }
  const auto pictures = open_path(folder.path());
  CHECK(pictures->size() == 5);
  CHECK(pictures->bad_count() == 0);
  CHECK(pictures->shape() == PictureShape{8, 8, 3});
  const Bytes pixels = all_pixels(*pictures);
  for (std::size_t i = 0; i < pixels.size(); i += 192) CHECK(pixels[i] == 200);
}

TEST_CASE("a picture that has another size when it is read is a bad one") {
  const TemporaryFolder folder;
  for (int i = 0; i < 4; ++i) folder.write(std::to_string(i) + ".png", png(4, 6, pattern));
  const auto pictures =
      open_path(folder.path(), Split::train, {.keep = Keep::disk, .max_bad_percent = 50});
  folder.write("2.png", png(6, 4, pattern));
  Bytes pixels(48);
  pictures->read(2, pixels.data());
  CHECK(pixels == Bytes(48, 128));
  REQUIRE(pictures->bad_count() == 1);
  CHECK_CONTAINS(pictures->bad_pictures()[0].reason, "changed while it was in use");
}

// An address sanitizer has reserved more than any limit.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// For a while the process gets no more than `bytes` on top of what it has.
class Scarcity {
 public:
  explicit Scarcity(rlim_t bytes) {
    REQUIRE(getrlimit(RLIMIT_AS, &before_) == 0);
    std::ifstream in("/proc/self/statm");
    rlim_t pages = 0;
    REQUIRE((in >> pages));
    const rlim_t most = pages * static_cast<rlim_t>(getpagesize()) + bytes;
    const rlimit scarce{most, before_.rlim_max};
    REQUIRE(setrlimit(RLIMIT_AS, &scarce) == 0);
  }
  ~Scarcity() { setrlimit(RLIMIT_AS, &before_); }

 private:
  rlimit before_{};
};

TEST_CASE("a picture for which there is no memory is no bad picture") {
  const int side = 8000, row = side / 8;
  const Bytes rows(static_cast<std::size_t>(side) * (1 + row));
  const TemporaryFolder folder;
  folder.write("0.png",
               png({.width = side, .height = side, .bits = 1, .colour_type = 0, .rows = rows}));
  const auto pictures =
      open_path(folder.path(), Split::train, {.picture_size = 4, .keep = Keep::disk});
  Bytes pixels(48);
  {
    const Scarcity scarcity(rlim_t{16} << 20);  // its pixels are 64 MB
    CHECK_CONTAINS(message_of(ErrorKind::memory, [&] { pictures->read(0, pixels.data()); }),
                   "no memory to decode a picture");
  }
  CHECK(pictures->bad_count() == 0);
  pictures->read(0, pixels.data());
  CHECK(pixels == Bytes(48, 0));
}
#endif

TEST_CASE("a bad picture keeps its id and is listed with its reason") {
  const TemporaryFolder folder;
  for (int i = 0; i < 4; ++i) {
    folder.write("c/" + std::to_string(i) + ".png", png(4, 4, plain({10 * i, 0, 0})));
  }
  folder.write("c/1.png", "not a picture");  // seen in the header
  Bytes late = png(4, 4, pattern);
  late.resize(45);                // the header is whole
  folder.write("c/2.png", late);  // seen when decoded
  for (const Keep keep : {Keep::memory, Keep::disk}) {
    const auto pictures =
        open_path(folder.path(), Split::train, {.keep = keep, .max_bad_percent = 50});
    Bytes pixels(48);
    pictures->read(3, pixels.data());
    CHECK(pixels[0] == 30);
    pictures->read(2, pixels.data());
    CHECK(pixels == Bytes(48, 128));
    CHECK(pictures->size() == 4);
    // From disk the second one is found only when it is read; the ids of the run do not change
    // then.
    CHECK(pictures->usable_ids() == (keep == Keep::memory ? std::vector<std::int32_t>{0, 3}
                                                          : std::vector<std::int32_t>{0, 2, 3}));
    const std::vector<BadPicture> bad = pictures->bad_pictures();
    REQUIRE(bad.size() == 2);
    CHECK(bad[0].id == 1);
    CHECK_CONTAINS(bad[0].reason, "not a known picture");
    CHECK(bad[1].id == 2);
    CHECK_CONTAINS(bad[1].reason, "damaged");
  }
}

TEST_CASE("too many bad pictures are an error, found when opening or when reading") {
  const TemporaryFolder folder;
  for (int i = 0; i < 8; ++i) folder.write(std::to_string(i) + ".png", png(4, 4, pattern));
  folder.write("3.png", "no");
  CHECK_CONTAINS(failure(folder.path()),
                 "1 of 8 pictures cannot be read, more than the limit of 5 %");
  CHECK_CONTAINS(failure(folder.path()), "first: 3.png: not a known picture");
  const auto pictures =
      open_path(folder.path(), Split::train, {.keep = Keep::disk, .max_bad_percent = 20});
  folder.write("4.png", "replaced while in use");
  Bytes pixels(48);
  CHECK_CONTAINS(message_of(ErrorKind::data, [&] { pictures->read(4, pixels.data()); }),
                 "2 of 8 pictures cannot be read");
}

TEST_CASE("a folder without a readable picture is an error") {
  const TemporaryFolder folder;
  CHECK_CONTAINS(failure(folder.path()), "no pictures (looked for");
  fs::create_directory(folder.at("class"));
  CHECK_CONTAINS(failure(folder.path()), "no pictures (looked for");
  folder.write("class/a.webp", "RIFFxxxxWEBP");
  CHECK_CONTAINS(failure(folder.path()),
                 "none of the 1 pictures can be read (first: class/a.webp: a WebP");
  const std::string file = folder.write("file.ppm", ppm(2, 2, pattern));
  CHECK_CONTAINS(failure(file), "is not a folder");
}

TEST_CASE("odd names stay on one line of a message") {
  const TemporaryFolder folder;
  folder.write("new\nline\x1b[31m\xff.png", "no");
  CHECK_CONTAINS(failure(folder.path()), "new\\x0aline\\x1b[31m\\xff.png");
}

TEST_CASE("the stored size is asked for or found from the pictures") {
  const TemporaryFolder folder;
  folder.write("a.ppm", ppm(10, 6, pattern));
  folder.write("b.ppm", ppm(8, 9, pattern));
  folder.write("c.ppm", ppm(40, 30, pattern));
  CHECK(open_path(folder.path())->shape() == PictureShape{8, 8, 3});
  const auto pictures = open_path(folder.path(), Split::train, {.picture_size = 3});
  CHECK(pictures->shape() == PictureShape{3, 3, 3});
  // The middle of the picture resized to 5 x 3 (10 x 6 halved).
  const std::vector<double> whole = reference_resize(painted(10, 6, pattern), {10, 6}, {5, 3});
  Bytes pixels(27);
  pictures->read(0, pixels.data());
  for (int y = 0; y < 3; ++y) {
    for (int i = 0; i < 9; ++i) {
      CHECK(std::abs(pixels[static_cast<std::size_t>(9 * y + i)] -
                     whole[static_cast<std::size_t>(15 * y + 3 + i)]) <= 0.5 + 1e-3);
    }
  }
  CHECK_CONTAINS(message_of(ErrorKind::usage,
                            [&] { open_path(folder.path(), Split::train, {.picture_size = -1}); }),
                 "picture size: -1 is out of range");
  // The same of a high one, and no more than ImageNet's size unless it is asked for.
  folder.write("high/a.ppm", ppm(6, 10, pattern));
  const auto high = open_path(folder.at("high"), Split::train, {.picture_size = 3});
  const std::vector<double> all = reference_resize(painted(6, 10, pattern), {6, 10}, {3, 5});
  high->read(0, pixels.data());
  for (std::size_t i = 0; i < 27; ++i) CHECK(std::abs(pixels[i] - all[9 + i]) <= 0.5 + 1e-3);
  folder.write("large/a.ppm", ppm(300, 257, pattern));
  CHECK(open_path(folder.at("large"))->shape() == PictureShape{256, 256, 3});
  CHECK(open_path(folder.at("large"), Split::train, {.picture_size = 257})->shape() ==
        PictureShape{257, 257, 3});
}

TEST_CASE("pictures that do not fit the memory limit are read from disk, with the same pixels") {
  const TemporaryFolder folder;
  for (int i = 0; i < 6; ++i) {
    folder.write(std::to_string(i) + ".bmp", bmp(20 + 3 * i, 16, pattern));
  }
  const auto stored = open_path(folder.path(), Split::train, {.picture_size = 12});
  const auto from_disk = open_path(folder.path(), Split::train,
                                   {.picture_size = 12, .memory_limit = 6 * 12 * 12 * 3 - 1});
  CHECK(stored->extent(5) == PictureShape{12, 12, 3});
  CHECK(from_disk->extent(5) == PictureShape{12, 26, 3});
  CHECK(all_pixels(*stored) == all_pixels(*from_disk));
  CHECK(stored->fingerprint() == from_disk->fingerprint());
}

TEST_CASE("a folder opens to the same data with one thread and with four") {
  const TemporaryFolder folder;
  for (int i = 0; i < 60; ++i) {
    folder.write(std::to_string(i % 7) + "/" + std::to_string(i) + ".png",
                 png(5 + i % 5, 6, [i](int x, int y) { return pattern(x + i, y); }));
  }
  folder.write("3/bad.png", "no");
  const auto one = open_path(folder.path(), Split::train, {.threads = 1});
  const auto four = open_path(folder.path(), Split::train, {.threads = 4});
  CHECK(all_pixels(*one) == all_pixels(*four));
  CHECK(one->fingerprint() == four->fingerprint());
  CHECK(one->usable_ids() == four->usable_ids());
  CHECK(one->usable_ids().size() == 60);
}

TEST_CASE("limit takes its share of every class folder") {
  const TemporaryFolder folder;
  for (int i = 0; i < 30; ++i) {
    folder.write(std::to_string(i / 10) + "/" + std::to_string(i) + ".ppm", ppm(2, 2, pattern));
  }
  const auto some = open_path(folder.path(), Split::train, {.limit = 6});
  CHECK(some->catalog().labels == std::vector<std::int32_t>{0, 0, 1, 1, 2, 2});
  CHECK(some->catalog().paths[2] == "1/10.ppm");
}

TEST_CASE("the fingerprint of a folder follows names, bytes and classes, not its place") {
  const TemporaryFolder folder;
  folder.write("a/x/1.ppm", ppm(2, 2, plain({1, 2, 3})));
  folder.write("a/y/1.ppm", ppm(2, 2, plain({4, 5, 6})));
  const std::uint64_t original = open_path(folder.at("a"))->fingerprint();
  fs::rename(folder.at("a"), folder.at("moved"));
  CHECK(open_path(folder.at("moved"))->fingerprint() == original);
  CHECK(open_path(folder.at("moved"), Split::train, {.picture_size = 5})->fingerprint() !=
        original);
  folder.write("moved/y/1.ppm", ppm(2, 2, plain({4, 5, 7})));
  CHECK(open_path(folder.at("moved"))->fingerprint() != original);
  folder.write("moved/y/1.ppm", ppm(2, 2, plain({4, 5, 6})));
  CHECK(open_path(folder.at("moved"))->fingerprint() == original);
  fs::rename(folder.at("moved/y/1.ppm"), folder.at("moved/y/2.ppm"));
  CHECK(open_path(folder.at("moved"))->fingerprint() != original);
}

// Of a large file only the start is looked at when it is opened.
TEST_CASE("the fingerprint of a folder follows the length of large files and what became bad") {
  const TemporaryFolder folder;
  const Bytes large = jpeg_behind(5000, {200, 31});
  folder.write("set/a.ppm", ppm(8, 8, plain({1, 2, 3})));
  const auto fingerprint = [&](const Bytes& file) {
    folder.write("set/b.jpg", file);
    return open_path(folder.at("set"), Split::train, {.max_bad_percent = 50})->fingerprint();
  };
  const std::uint64_t original = fingerprint(large);
  CHECK(fingerprint(large) == original);
  Bytes longer = large;
  longer.push_back(0);
  CHECK(fingerprint(longer) != original);
  Bytes cut = large;
  cut.back() = 0;  // no end marker: the ids that are left are others
  CHECK(fingerprint(cut) != original);
}

}  // namespace nat::data
