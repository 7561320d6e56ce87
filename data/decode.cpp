#include "data/decode.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <limits>

#include "kernels/check.h"

namespace {

// stb_image grows its buffers with what a damaged file claims; this is the most one may take.
constexpr std::size_t kMaxAllocation = std::size_t{1} << 30;
void* bounded_malloc(std::size_t size) {
  return size <= kMaxAllocation ? std::malloc(size) : nullptr;
}
void* bounded_realloc(void* memory, std::size_t size) {
  return size <= kMaxAllocation ? std::realloc(memory, size) : nullptr;
}

}  // namespace

// Only the decoders we want: the PNM reader of stb_image 2.27 reads out of bounds on 16-bit files.
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS 30000
#define STBI_MALLOC(size) bounded_malloc(size)
#define STBI_REALLOC(memory, size) bounded_realloc(memory, size)
#define STBI_FREE(memory) std::free(memory)
#define STB_IMAGE_STATIC
#define STB_IMAGE_IMPLEMENTATION
#include <stb_image.h>

namespace nat::data {
namespace {

enum class Kind { jpeg, png, bmp, pnm };

bool begins_with(const Bytes& file, std::initializer_list<int> magic) {
  return file.size() >= magic.size() &&
         std::equal(magic.begin(), magic.end(), file.begin(),
                    [](int expected, std::uint8_t byte) { return expected == byte; });
}

Kind sniff(const Bytes& file) {
  NAT_CHECK(!file.empty(), ErrorKind::data, "the file is empty");
  if (begins_with(file, {0xFF, 0xD8, 0xFF})) return Kind::jpeg;
  if (begins_with(file, {0x89, 'P', 'N', 'G'})) return Kind::png;
  if (begins_with(file, {'B', 'M'})) return Kind::bmp;
  if (begins_with(file, {'P', '5'}) || begins_with(file, {'P', '6'})) return Kind::pnm;
  const bool webp = begins_with(file, {'R', 'I', 'F', 'F'}) && file.size() >= 12 &&
                    std::memcmp(file.data() + 8, "WEBP", 4) == 0;
  const bool tiff = begins_with(file, {'I', 'I', 42, 0}) || begins_with(file, {'M', 'M', 0, 42});
  const char* found = webp                                      ? "a WebP picture"
                      : tiff                                    ? "a TIFF picture"
                      : begins_with(file, {'G', 'I', 'F', '8'}) ? "a GIF picture"
                                                                : "not a known picture";
  throw Error(ErrorKind::data, str(found, "; readable are JPEG, PNG, BMP and binary PGM/PPM"));
}

void check_size(const PictureSize& size) {
  NAT_CHECK(size.width > 0 && size.height > 0, ErrorKind::data, "the header states a size of ",
            size.width, "x", size.height);
  NAT_CHECK(std::int64_t{size.width} * size.height <= kMaxPixels, ErrorKind::data,
            "too large: ", size.width, "x", size.height, " is above ", kMaxPixels / 1'000'000,
            " million pixels");
  const auto [shorter, longer] = std::minmax(size.width, size.height);
  NAT_CHECK(longer <= std::int64_t{kMaxAspect} * shorter, ErrorKind::data,
            "too elongated: ", size.width, "x", size.height, " is above ", kMaxAspect, ":1");
}

// The reason text of stb_image is empty for some damaged files.
std::string stb_reason() {
  const char* reason = stbi_failure_reason();
  const bool known = reason != nullptr && *reason != '\0';
  return known ? str("damaged (", reason, ")") : "damaged";
}

// Newer versions of stb_image decode a cut-off JPEG to gray rows without an error: look for the
// end-of-image marker, which a few writers follow by some bytes of their own.
void check_jpeg_end(const Bytes& file) {
  constexpr std::size_t kTail = 4096;
  constexpr std::uint8_t kEnd[] = {0xFF, 0xD9};
  const auto tail = file.end() - static_cast<std::ptrdiff_t>(std::min(kTail, file.size()));
  NAT_CHECK(std::search(tail, file.end(), std::begin(kEnd), std::end(kEnd)) != file.end(),
            ErrorKind::data, "cut off (no end-of-image marker)");
}

// stb_image 2.27 writes out of bounds when a Huffman table lists more codes than fit. Tables may
// stand between the scans: walk over all markers, in the way stb_image does.
void check_jpeg_tables(const Bytes& file) {
  constexpr std::uint8_t kHuffmanTables = 0xC4;
  constexpr std::size_t kCounts = 16;  // one a code length
  constexpr int kMaxCodes = 256;
  const auto byte = [&](std::size_t at) { return at < file.size() ? int{file[at]} : 0; };
  const auto is_bare = [](int marker) { return marker <= 1 || (marker >= 0xD0 && marker <= 0xD9); };

  std::size_t at = 2;  // behind the start-of-image marker
  for (;;) {
    // Fill bytes and compressed data, in which FF is followed by 00 or a restart marker.
    while (at < file.size() && file[at] != 0xFF) ++at;
    while (at < file.size() && file[at] == 0xFF) ++at;
    if (at >= file.size()) return;
    const int marker = file[at++];
    if (is_bare(marker)) continue;
    const std::size_t end = at + static_cast<std::size_t>(byte(at) << 8 | byte(at + 1));
    if (marker == kHuffmanTables) {
      for (std::size_t table = at + 2; table < end;) {
        int codes = 0;
        for (std::size_t i = 1; i <= kCounts; ++i) codes += byte(table + i);
        NAT_CHECK(codes <= kMaxCodes, ErrorKind::data, "damaged (a Huffman table of ", codes,
                  " codes)");
        table += 1 + kCounts + static_cast<std::size_t>(codes);
      }
    }
    at = std::max(at, end);
  }
}

// stb_image reads zeros past the end of a cut-off BMP without an error.
void check_bmp_length(const Bytes& file, const PictureSize& size) {
  const auto number = [&](std::size_t at, std::size_t count) {
    std::int64_t value = 0;
    for (std::size_t i = 0; i < count; ++i) value |= std::int64_t{file[at + i]} << (8 * i);
    return value;
  };
  constexpr std::size_t kHeader = 30;  // up to the bit depth of every version
  NAT_CHECK(file.size() >= kHeader, ErrorKind::data, "cut off inside the header");
  const bool os2 = number(14, 4) == 12;
  const std::int64_t bits = os2 ? number(24, 2) : number(28, 2);
  const std::int64_t row = (size.width * bits + 31) / 32 * 4;
  constexpr std::int64_t kMissingPadding = 3;
  NAT_CHECK(
      static_cast<std::int64_t>(file.size()) + kMissingPadding >= number(10, 4) + row * size.height,
      ErrorKind::data, "cut off (fewer bytes than its size needs)");
}

// Binary PGM/PPM: "P5" or "P6", width, height, 255, one blank, then the bytes. '#' starts a
// comment.
struct Pnm {
  PictureSize size;
  int channels = 0;
  std::size_t data = 0;  // where the pixels start
};

Pnm read_pnm_header(const Bytes& file) {
  std::size_t at = 2;
  const auto next = [&]() -> int { return at < file.size() ? file[at] : -1; };
  const auto skip_blanks = [&] {
    while (std::isspace(next()) || next() == '#') {
      if (next() == '#') {
        while (next() >= 0 && next() != '\n') ++at;
      } else {
        ++at;
      }
    }
  };
  const auto number = [&] {
    skip_blanks();
    NAT_CHECK(std::isdigit(next()), ErrorKind::data, "damaged (no number in the PNM header)");
    int value = 0;
    for (; std::isdigit(next()) && value < 1'000'000; ++at) value = value * 10 + (next() - '0');
    return value;
  };
  Pnm header;
  header.channels = file[1] == '5' ? 1 : 3;
  header.size.width = number();
  header.size.height = number();
  const int maximum = number();
  NAT_CHECK(maximum == 255, ErrorKind::data, "PNM with a maximum of ", maximum,
            "; only 255 is readable");
  NAT_CHECK(std::isspace(next()), ErrorKind::data, "damaged (PNM header does not end)");
  header.data = at + 1;
  return header;
}

Picture decode_pnm(const Bytes& file) {
  const Pnm header = read_pnm_header(file);
  check_size(header.size);
  const std::size_t pixels = static_cast<std::size_t>(header.size.width) * header.size.height;
  NAT_CHECK(file.size() - header.data >= pixels * header.channels, ErrorKind::data,
            "cut off (fewer bytes than its size needs)");
  Picture picture{header.size, {new std::uint8_t[pixels * 3], [](std::uint8_t* p) { delete[] p; }}};
  const std::uint8_t* in = file.data() + header.data;
  for (std::size_t i = 0; i < pixels * 3; ++i) {
    picture.pixels[i] = header.channels == 3 ? in[i] : in[i / 3];
  }
  return picture;
}

int stb_length(const Bytes& file) {
  NAT_CHECK(file.size() <= std::numeric_limits<int>::max(), ErrorKind::data, "the file is too big");
  return static_cast<int>(file.size());
}

}  // namespace

PictureSize read_size(const Bytes& file) {
  PictureSize size;
  const Kind kind = sniff(file);
  if (kind == Kind::jpeg) check_jpeg_tables(file);
  if (kind == Kind::pnm) {
    size = read_pnm_header(file).size;
  } else {
    int channels = 0;
    NAT_CHECK(stbi_info_from_memory(file.data(), stb_length(file), &size.width, &size.height,
                                    &channels) == 1,
              ErrorKind::data, stb_reason());
    size.height = std::abs(size.height);  // a BMP stored from top to bottom
  }
  check_size(size);
  return size;
}

Picture decode(const Bytes& file) {
  const Kind kind = sniff(file);
  if (kind == Kind::pnm) return decode_pnm(file);
  const PictureSize claimed = read_size(file);
  if (kind == Kind::jpeg) check_jpeg_end(file);
  if (kind == Kind::bmp) check_bmp_length(file, claimed);
  PictureSize size;
  int channels = 0;
  std::uint8_t* pixels =
      stbi_load_from_memory(file.data(), stb_length(file), &size.width, &size.height, &channels, 3);
  NAT_CHECK(pixels != nullptr, ErrorKind::data, stb_reason());
  return {size, {pixels, [](std::uint8_t* p) { std::free(p); }}};
}

}  // namespace nat::data
