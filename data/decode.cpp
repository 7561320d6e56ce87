#include "data/decode.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <limits>

#include "kernels/check.h"

namespace {

// stb_image grows its buffers with what a damaged file claims; this is the most one may take. And
// of such a file it reads what it has not written: zeros give the same pixels every time.
constexpr std::size_t kMaxAllocation = std::size_t{1} << 30;

// Whether the machine had less than a picture may take, which is no fault of the picture.
thread_local bool machine_refused = false;

void* unless_refused(void* memory) {
  machine_refused = machine_refused || memory == nullptr;
  return memory;
}
void* bounded_calloc(std::size_t size) {
  return size <= kMaxAllocation ? unless_refused(std::calloc(size, 1)) : nullptr;
}
void* bounded_realloc(void* memory, std::size_t size) {
  return size <= kMaxAllocation ? unless_refused(std::realloc(memory, size)) : nullptr;
}

}  // namespace

// Only the decoders we want: the PNM reader of stb_image 2.27 reads out of bounds on 16-bit files.
#define STBI_ONLY_JPEG
#define STBI_ONLY_PNG
#define STBI_ONLY_BMP
#define STBI_NO_STDIO
#define STBI_MAX_DIMENSIONS 100000  // a side; our own limits are narrower, and say so
#define STBI_MALLOC(size) bounded_calloc(size)
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

static_assert(kMaxPixels * kMaxAspect < std::int64_t{STBI_MAX_DIMENSIONS} * STBI_MAX_DIMENSIONS);

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

// ---- what stb_image does not check --------------------------------------------------------------

// A walk over the markers of a JPEG, in the way stb_image does it. Error{data} for
//   - a Huffman table that lists more codes than fit: stb_image 2.27 writes out of bounds;
//   - a scan that uses a table which nothing before it defines: stb_image decodes by an empty one;
//   - more than 500 scans: each costs the time of all pixels however few bytes it has, so that a
//     small file could take hours. Writers make about ten.
// A file that ends early is no error here; what it cuts off is not looked at.
class JpegWalk {
 public:
  explicit JpegWalk(const Bytes& file) : file_(file) {}

  // Whether the end marker was met: newer versions of stb_image decode a cut-off JPEG to gray rows
  // without an error. What some writers put behind it, films and previews, is not looked at.
  bool reaches_end() {
    std::size_t at = 2;  // behind the start-of-image marker
    for (;;) {
      // Fill bytes and compressed data, in which FF is followed by 00 or a restart marker.
      while (at < file_.size() && file_[at] != 0xFF) ++at;
      while (at < file_.size() && file_[at] == 0xFF) ++at;
      if (at >= file_.size()) return false;
      const int marker = file_[at++];
      if (marker == kEndOfImage) return true;
      if (marker <= 1 || (marker >= 0xD0 && marker <= 0xD8)) continue;  // no segment follows
      const std::size_t end = at + static_cast<std::size_t>(number(at));
      segment(marker, at + 2, end);
      at = std::max(at, end);
    }
  }

 private:
  static constexpr int kEndOfImage = 0xD9, kHuffmanTables = 0xC4, kQuantisers = 0xDB, kScan = 0xDA;
  static constexpr int kFrames = 0xC0;  // baseline, sequential and (the third) progressive
  static constexpr int kTables = 4;     // of each kind
  using Defined = std::array<bool, kTables>;

  int byte(std::size_t at) const { return at < file_.size() ? int{file_[at]} : 0; }
  int number(std::size_t at) const { return byte(at) << 8 | byte(at + 1); }

  void segment(int marker, std::size_t at, std::size_t end) {
    if (marker == kHuffmanTables) return huffman_tables(at, end);
    if (marker == kQuantisers) return quantisers(at, end);
    if (marker == kScan && end <= file_.size()) return scan(at);
    const bool frame_marker = marker >= kFrames && marker <= kFrames + 2;
    if (frame_marker && frame_ == 0) {
      frame_ = at;
      progressive_ = marker == kFrames + 2;
    }
  }

  void huffman_tables(std::size_t at, std::size_t end) {
    constexpr std::size_t kCounts = 16;  // one a code length
    constexpr int kMaxCodes = 256;
    while (at < end) {
      int codes = 0;
      for (std::size_t i = 1; i <= kCounts; ++i) codes += byte(at + i);
      NAT_CHECK(codes <= kMaxCodes, ErrorKind::data, "damaged (a Huffman table of ", codes,
                " codes)");
      define(byte(at) >> 4 == 0 ? dc_ : ac_, byte(at) & 15);
      at += 1 + kCounts + static_cast<std::size_t>(codes);
    }
  }

  void quantisers(std::size_t at, std::size_t end) {
    while (at < end) {
      define(quantisers_, byte(at) & 15);
      at += byte(at) >> 4 == 0 ? 1 + 64 : 1 + 2 * 64;
    }
  }

  // Count of components, then of each its name and its two Huffman tables, then the coefficients
  // (first, last) and how many of their bits earlier scans had. A scan that is none stb_image
  // refuses.
  void scan(std::size_t at) {
    constexpr int kMostScans = 500;
    NAT_CHECK(++scans_ <= kMostScans, ErrorKind::data, "damaged (more than ", kMostScans,
              " scans)");
    const int components = byte(at++);
    const std::size_t tail = at + 2 * static_cast<std::size_t>(components);
    const int first = byte(tail), bits_before = byte(tail + 2) >> 4;
    const bool uses_dc = !progressive_ || (first == 0 && bits_before == 0);
    const bool uses_ac = !progressive_ || first > 0;
    for (; at < tail; at += 2) {
      require(quantisers_, quantiser_of(byte(at)), "quantisation");
      if (uses_dc) require(dc_, byte(at + 1) >> 4, "DC Huffman");
      if (uses_ac) require(ac_, byte(at + 1) & 15, "AC Huffman");
    }
  }

  // The frame: precision, height, width, count of components, then of each its name, its sampling
  // and its quantisation table. kTables when there is no such component.
  int quantiser_of(int component) const {
    const int components = frame_ == 0 ? 0 : byte(frame_ + 5);
    for (int i = 0; i < components; ++i) {
      const std::size_t at = frame_ + 6 + 3 * static_cast<std::size_t>(i);
      if (byte(at) == component) return byte(at + 2);
    }
    return kTables;
  }

  static void define(Defined& defined, int table) {
    if (table < kTables) defined[static_cast<std::size_t>(table)] = true;
  }
  static void require(const Defined& defined, int table, const char* kind) {
    NAT_CHECK(table >= kTables || defined[static_cast<std::size_t>(table)], ErrorKind::data,
              "damaged (a scan uses ", kind, " table ", table, ", which is not defined)");
  }

  const Bytes& file_;
  Defined dc_{}, ac_{}, quantisers_{};
  std::size_t frame_ = 0;  // where the frame's segment is, behind its length
  int scans_ = 0;
  bool progressive_ = false;
};

std::uint32_t big_endian(const Bytes& file, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | file[at + i];
  return value;
}

// Every PNG begins with its size; of one that is too large stb_image says only that it is unknown.
void check_png_size(const Bytes& file) {
  constexpr std::size_t kEnd = 24;
  if (file.size() < kEnd || std::memcmp(file.data() + 12, "IHDR", 4) != 0) return;
  const auto side = [&](std::size_t at) {
    constexpr std::uint32_t kLargest = std::numeric_limits<int>::max();
    return static_cast<int>(std::min(big_endian(file, at), kLargest));
  };
  check_size({side(16), side(20)});
}

std::int64_t little_endian(const Bytes& file, std::size_t at, std::size_t count) {
  std::int64_t value = 0;
  for (std::size_t i = 0; i < count; ++i) value |= std::int64_t{file[at + i]} << (8 * i);
  return value;
}

// Of the file header, the picture header up to the bit depth, and the palette.
struct Bmp {
  bool os2 = false;
  std::int64_t bits = 0, pixels = 0;   // a pixel; where they start
  std::size_t palette = 0, entry = 0;  // where it starts, bytes a colour
};

Bmp read_bmp_header(const Bytes& file) {
  constexpr std::size_t kHeader = 30;
  NAT_CHECK(file.size() >= kHeader, ErrorKind::data, "cut off inside the header");
  const std::int64_t length = little_endian(file, 14, 4);
  Bmp bmp;
  bmp.os2 = length == 12;
  bmp.bits = little_endian(file, bmp.os2 ? 24 : 28, 2);
  bmp.pixels = little_endian(file, 10, 4);
  bmp.palette = static_cast<std::size_t>(14 + length);
  bmp.entry = bmp.os2 ? 3 : 4;
  return bmp;
}

// stb_image reads zeros past the end of a cut-off BMP without an error.
void check_bmp_length(const Bytes& file, const Bmp& bmp, const PictureSize& size) {
  const std::int64_t row = (size.width * bmp.bits + 31) / 32 * 4;
  constexpr std::int64_t kMissingPadding = 3;
  NAT_CHECK(
      static_cast<std::int64_t>(file.size()) + kMissingPadding >= bmp.pixels + row * size.height,
      ErrorKind::data, "cut off (fewer bytes than its size needs)");
}

// ---- short palettes -----------------------------------------------------------------------------

// Indices beyond a palette are black. stb_image takes what lies on its stack, so it is given files
// whose palettes are whole.
constexpr std::size_t kColours = 256;

// Where the first palette is, its length included; 0 when there is none.
std::size_t png_palette(const Bytes& file) {
  constexpr std::size_t kSignature = 8, kAround = 12;  // length, type and checksum of a chunk
  for (std::size_t at = kSignature; at + kAround <= file.size();) {
    if (std::memcmp(file.data() + at + 4, "PLTE", 4) == 0) return at;
    at += kAround + big_endian(file, at);
  }
  return 0;
}

// A black palette in front of the first one, which then says what it has to say.
Bytes with_whole_png_palette(const Bytes& file, std::size_t palette) {
  constexpr std::uint8_t kStart[] = {0, 0, 3 * kColours >> 8, 0, 'P', 'L', 'T', 'E'};
  Bytes whole = file;
  const auto checksum =
      whole.insert(whole.begin() + palette, 3 * kColours + 4, 0);  // not looked at
  whole.insert(checksum, std::begin(kStart), std::end(kStart));
  return whole;
}

// The palette ends where the pixels begin, but for stb_image that of OS/2 ends twelve bytes
// earlier.
Bytes with_whole_bmp_palette(const Bytes& file, const Bmp& bmp) {
  const auto pixels = static_cast<std::size_t>(bmp.pixels);
  NAT_CHECK(pixels >= bmp.palette + bmp.entry && pixels <= file.size(), ErrorKind::data,
            "damaged (no palette)");
  const std::size_t colours = std::min((pixels - bmp.palette) / bmp.entry, kColours);
  Bytes whole(file.begin(), file.begin() + bmp.palette + colours * bmp.entry);
  whole.resize(bmp.palette + kColours * bmp.entry + (bmp.os2 ? 12 : 0));
  for (std::size_t i = 0; i < 4; ++i) {
    whole[10 + i] = static_cast<std::uint8_t>(whole.size() >> (8 * i));
  }
  whole.insert(whole.end(), file.begin() + pixels, file.end());
  return whole;
}

// ---- PNM ----------------------------------------------------------------------------------------

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

PictureSize size_by_stb(const Bytes& file) {
  PictureSize size;
  int channels = 0;
  NAT_CHECK(stbi_info_from_memory(file.data(), stb_length(file), &size.width, &size.height,
                                  &channels) == 1,
            ErrorKind::data, stb_reason());
  constexpr int kLargest = std::numeric_limits<int>::max();
  size.height = std::abs(std::max(size.height, -kLargest));  // a BMP stored from top to bottom
  check_size(size);
  return size;
}

Picture decode_by_stb(const Bytes& file) {
  PictureSize size;
  int channels = 0;
  machine_refused = false;
  std::uint8_t* pixels =
      stbi_load_from_memory(file.data(), stb_length(file), &size.width, &size.height, &channels, 3);
  NAT_CHECK(pixels != nullptr || !machine_refused, ErrorKind::memory,
            "no memory to decode a picture; free some, or ask for fewer threads or loaders");
  NAT_CHECK(pixels != nullptr, ErrorKind::data, stb_reason());
  return {size, {pixels, [](std::uint8_t* p) { std::free(p); }}};
}

Picture decode_jpeg(const Bytes& file) {
  const bool ends = JpegWalk(file).reaches_end();
  size_by_stb(file);
  NAT_CHECK(ends, ErrorKind::data, "cut off (no end-of-image marker)");
  return decode_by_stb(file);
}

Picture decode_png(const Bytes& file) {
  check_png_size(file);
  size_by_stb(file);
  const std::size_t palette = png_palette(file);
  if (palette == 0) return decode_by_stb(file);
  return decode_by_stb(with_whole_png_palette(file, palette));
}

Picture decode_bmp(const Bytes& file) {
  const PictureSize size = size_by_stb(file);
  const Bmp bmp = read_bmp_header(file);
  check_bmp_length(file, bmp, size);
  const bool has_palette = bmp.bits < 16;
  if (!has_palette) return decode_by_stb(file);
  return decode_by_stb(with_whole_bmp_palette(file, bmp));
}

}  // namespace

PictureSize read_size(const Bytes& file) {
  const Kind kind = sniff(file);
  if (kind == Kind::pnm) {
    const PictureSize size = read_pnm_header(file).size;
    check_size(size);
    return size;
  }
  if (kind == Kind::jpeg) JpegWalk(file).reaches_end();  // for its errors
  if (kind == Kind::png) check_png_size(file);
  return size_by_stb(file);
}

Picture decode(const Bytes& file) {
  switch (sniff(file)) {
    case Kind::jpeg:
      return decode_jpeg(file);
    case Kind::png:
      return decode_png(file);
    case Kind::bmp:
      return decode_bmp(file);
    case Kind::pnm:
      break;
  }
  return decode_pnm(file);
}

}  // namespace nat::data
