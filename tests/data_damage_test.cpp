// Pictures that were damaged at random: whatever is left gives pixels or one error. What is read
// that is not there shows under AddressSanitizer.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>

#include "data/decode.h"
#include "kernels/random.h"
#include "tests/data_support.h"

namespace nat::data {
namespace {

Bytes colour_jpeg(int width, int height) {
  Bytes file;
  const Bytes pixels = painted(width, height, pattern);
  const auto add = [](void* to, void* data, int size) {
    const auto* bytes = static_cast<const std::uint8_t*>(data);
    static_cast<Bytes*>(to)->insert(static_cast<Bytes*>(to)->end(), bytes, bytes + size);
  };
  REQUIRE(stbi_write_jpg_to_func(add, &file, width, height, 3, pixels.data(), 80) != 0);
  return file;
}

// Draws of one round, one after the other.
class Dice {
 public:
  explicit Dice(std::uint64_t round) : round_(round) {}
  std::size_t below(std::size_t count) {
    return philox(round_, RandomStream::synthetic, 0, draws_++).value[0] % count;
  }

 private:
  std::uint64_t round_, draws_ = 0;
};

void flip_bits(Bytes& file, Dice& dice) {
  for (std::size_t i = 1 + dice.below(4); i > 0; --i) {
    file[dice.below(file.size())] ^= static_cast<std::uint8_t>(1u << dice.below(8));
  }
}
void overwrite(Bytes& file, Dice& dice) {
  file[dice.below(file.size())] = static_cast<std::uint8_t>(dice.below(2) * 255);
}
void cut_end(Bytes& file, Dice& dice) { file.resize(dice.below(file.size())); }
void cut_middle(Bytes& file, Dice& dice) {
  const std::size_t from = dice.below(file.size());
  const std::size_t bytes = std::min(1 + dice.below(16), file.size() - from);
  const auto begin = file.begin() + static_cast<std::ptrdiff_t>(from);
  file.erase(begin, begin + static_cast<std::ptrdiff_t>(bytes));
}
void repeat(Bytes& file, Dice& dice) {
  const std::size_t from = dice.below(file.size());
  const std::size_t bytes = std::min(1 + dice.below(16), file.size() - from);
  const Bytes piece(file.begin() + static_cast<std::ptrdiff_t>(from),
                    file.begin() + static_cast<std::ptrdiff_t>(from + bytes));
  file.insert(file.begin() + static_cast<std::ptrdiff_t>(dice.below(file.size())), piece.begin(),
              piece.end());
}

Bytes damaged(Bytes file, Dice& dice) {
  constexpr void (*kWays[])(Bytes&, Dice&) = {flip_bits, overwrite, cut_end, cut_middle, repeat};
  kWays[dice.below(std::size(kWays))](file, dice);
  return file;
}

// Whether there are pixels, all of which are read. Any other exception than one about the data ends
// the test.
bool decodes(const Bytes& file) {
  try {
    const Picture picture = decode(file);
    const std::size_t count = std::size_t{3} * picture.size.width * picture.size.height;
    CHECK(count > 0);
    const volatile std::uint8_t* pixels = picture.pixels.get();
    for (std::size_t i = 0; i < count; ++i) static_cast<void>(pixels[i]);
    return true;
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::data);
    CHECK(std::string(error.what()).find('\n') == std::string::npos);
    return false;
  }
}

}  // namespace

TEST_CASE("a picture that was damaged at random gives pixels or one error") {
  constexpr int kRounds = 10000;
  const std::pair<const char*, Bytes> files[] = {
      {"colour JPEG", colour_jpeg(40, 24)},
      {"gray JPEG", gray_jpeg({200, 31, 128, 90})},
      {"progressive JPEG", gray_jpeg({200, 31, 128, 90}, JpegKind::progressive)},
      {"PNG", png(20, 14, pattern)},
      {"BMP", bmp(7, 5, pattern)},
      {"PPM", ppm(7, 5, pattern)}};
  for (const auto& file : files) {
    CAPTURE(file.first);
    REQUIRE(decodes(file.second));
    int decoded = 0;
    for (int round = 0; round < kRounds; ++round) {
      CAPTURE(round);
      Dice dice(static_cast<std::uint64_t>(round));
      decoded += decodes(damaged(file.second, dice));
    }
    CHECK(decoded > 0);
    CHECK(decoded < kRounds);
  }
}

}  // namespace nat::data
