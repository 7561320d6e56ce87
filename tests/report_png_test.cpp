#include "tools/report/png.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#include <stb_image.h>

#include "kernels/check.h"
#include "tools/report/filters.h"

namespace report = nat::report;
using report::Picture;

namespace {

Picture random_picture(int width, int height, int channels, unsigned seed) {
  Picture picture{width, height, channels, {}};
  std::mt19937 random(seed);
  for (int i = 0; i < width * height * channels; ++i) {
    picture.pixels.push_back(static_cast<std::uint8_t>(random()));
  }
  return picture;
}

Picture decode(const std::string& file) {
  Picture picture;
  stbi_uc* pixels = stbi_load_from_memory(reinterpret_cast<const stbi_uc*>(file.data()),
                                          static_cast<int>(file.size()), &picture.width,
                                          &picture.height, &picture.channels, 0);
  REQUIRE(pixels != nullptr);
  picture.pixels.assign(pixels, pixels + picture.width * picture.height * picture.channels);
  stbi_image_free(pixels);
  return picture;
}

void check_equal(const Picture& a, const Picture& b) {
  CHECK(a.width == b.width);
  CHECK(a.height == b.height);
  CHECK(a.channels == b.channels);
  CHECK(a.pixels == b.pixels);
}

// What a Sobel layer followed by filter `w` (2, k, k) answers at one place of a gray picture:
// two cross-correlations in a row, written out.
double sobel_then_filter(const std::vector<double>& gray, int width, int x, int y, const float* w,
                         int k) {
  constexpr int kSobelX[3][3] = {{-1, 0, 1}, {-2, 0, 2}, {-1, 0, 1}};
  double sum = 0;
  for (int c = 0; c < 2; ++c) {
    for (int p = 0; p < k; ++p) {
      for (int q = 0; q < k; ++q) {
        for (int i = 0; i < 3; ++i) {
          for (int j = 0; j < 3; ++j) {
            const double sobel = c == 0 ? kSobelX[i][j] : kSobelX[j][i];
            sum += w[(c * k + p) * k + q] * sobel *
                   gray[static_cast<std::size_t>((y + p + i) * width + x + q + j)];
          }
        }
      }
    }
  }
  return sum;
}

}  // namespace

TEST_CASE("a PNG decodes to the same pixels") {
  for (int channels = 1; channels <= 4; ++channels) {
    for (const auto& size : {std::pair(1, 1), std::pair(7, 3), std::pair(64, 100)}) {
      CAPTURE(channels);
      CAPTURE(size.first);
      const Picture picture = random_picture(size.first, size.second, channels, 5);
      check_equal(decode(report::encode_png(picture)), picture);
    }
  }
}

TEST_CASE("a picture whose sizes and pixels disagree is refused") {
  Picture picture = random_picture(4, 4, 3, 1);
  picture.pixels.pop_back();
  CHECK_THROWS_AS(report::encode_png(picture), nat::Error);
  CHECK_THROWS_AS(report::encode_png(Picture{}), nat::Error);
  CHECK_THROWS_AS(report::encode_png(Picture{1, 1, 5, std::vector<std::uint8_t>(5)}), nat::Error);
}

TEST_CASE("enlarging turns every pixel into a square") {
  const Picture small{2, 1, 3, {1, 2, 3, 4, 5, 6}};
  const Picture large = report::enlarge(small, 2);
  check_equal(large,
              {4, 2, 3, {1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6, 1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5, 6}});
}

TEST_CASE("a contact sheet places pictures in rows with transparent gaps") {
  const std::vector<Picture> pictures = {{1, 1, 1, {9}}, {1, 1, 3, {1, 2, 3}}, {1, 1, 2, {7, 50}}};
  const Picture sheet = report::contact_sheet(pictures, 2, 1);
  check_equal(sheet, {3, 3, 4, {9, 9, 9, 255, 0, 0, 0, 0, 1, 2, 3, 255,  //
                                0, 0, 0, 0,   0, 0, 0, 0, 0, 0, 0, 0,    //
                                7, 7, 7, 50,  0, 0, 0, 0, 0, 0, 0, 0}});
  CHECK(report::contact_sheet(pictures, 99, 0).width == 3);
  CHECK_THROWS_AS(report::contact_sheet({}, 2, 1), nat::Error);
  const std::vector<Picture> mixed = {random_picture(2, 2, 1, 1), random_picture(3, 2, 1, 1)};
  CHECK_THROWS_AS(report::contact_sheet(mixed, 2, 1), nat::Error);
}

TEST_CASE("an impulse filter behind the Sobel layer is the Sobel kernel itself") {
  // One weight, at row 1, column 2 of the 3x3 filter on the horizontal gradient; then the same on
  // the vertical gradient, scaled.
  std::vector<float> weights(2 * 2 * 9);
  weights[0 * 18 + 0 * 9 + 1 * 3 + 2] = 1;
  weights[1 * 18 + 1 * 9 + 1 * 3 + 2] = 0.5f;
  const std::vector<float> composed = report::compose_with_sobel(weights, 2, 3);
  CHECK(composed == std::vector<float>{0, 0, 0,     0,  0,      //
                                       0, 0, -1,    0,  1,      //
                                       0, 0, -2,    0,  2,      //
                                       0, 0, -1,    0,  1,      //
                                       0, 0, 0,     0,  0,      //
                                       0, 0, 0,     0,  0,      //
                                       0, 0, -0.5f, -1, -0.5f,  //
                                       0, 0, 0,     0,  0,      //
                                       0, 0, 0.5f,  1,  0.5f,   //
                                       0, 0, 0,     0,  0});
  const std::vector<Picture> pictures = report::filter_pictures(weights, 2, 2, 3);
  REQUIRE(pictures.size() == 2);
  CHECK(pictures[0].width == 5);
  CHECK(pictures[0].channels == 1);
  CHECK(pictures[0].pixels == std::vector<std::uint8_t>{128, 128, 128, 128, 128,  //
                                                        128, 128, 64,  128, 191,  //
                                                        128, 128, 0,   128, 255,  //
                                                        128, 128, 64,  128, 191,  //
                                                        128, 128, 128, 128, 128});
}

TEST_CASE("the composed filter answers like the Sobel layer followed by the filter") {
  constexpr int kKernel = 11, kSize = kKernel + 2, kWidth = 16;
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  std::vector<float> weights(3 * 2 * kKernel * kKernel);
  for (float& weight : weights) weight = normal(random);
  std::vector<double> gray(kWidth * kWidth);
  for (double& value : gray) value = normal(random);

  const std::vector<float> composed = report::compose_with_sobel(weights, 3, kKernel);
  REQUIRE(composed.size() == 3 * kSize * kSize);
  for (int o = 0; o < 3; ++o) {
    double direct = 0;
    for (int i = 0; i < kSize; ++i) {
      for (int j = 0; j < kSize; ++j) {
        direct += composed[static_cast<std::size_t>((o * kSize + i) * kSize + j)] *
                  gray[static_cast<std::size_t>((i + 1) * kWidth + j + 2)];
      }
    }
    const double expected =
        sobel_then_filter(gray, kWidth, 2, 1, weights.data() + o * 2 * kKernel * kKernel, kKernel);
    // Each composed weight is a float sum of at most 12 products whose size is bounded by 8 of the
    // largest weight (|N| < 5 here): error below 12 * 2^-24 * 40 each, times sum |gray|.
    double gray_sum = 0;
    for (const double value : gray) gray_sum += std::fabs(value);
    CHECK(std::fabs(direct - expected) <= 12 * 0x1p-24 * 40 * gray_sum);
    CHECK(std::fabs(expected) > 1);
  }
}

TEST_CASE("gray, colour and constant filters become pictures of their own size") {
  const std::vector<float> gray = {0, 1, 2, 4};
  CHECK(report::filter_pictures(gray, 1, 1, 2)[0].pixels ==
        std::vector<std::uint8_t>{0, 64, 128, 255});
  // Colour planes follow each other in the weights and interleave in the picture.
  const std::vector<float> colour = {0, 10, 2, 4, 6, 8};
  const std::vector<float> one_pixel_each(colour.begin(), colour.begin() + 3);
  const Picture picture = report::filter_pictures(one_pixel_each, 1, 3, 1)[0];
  CHECK(picture.channels == 3);
  CHECK(picture.pixels == std::vector<std::uint8_t>{0, 255, 51});
  const std::vector<float> planes = {0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 2, 2};
  CHECK(report::filter_pictures(planes, 1, 3, 2)[0].pixels ==
        std::vector<std::uint8_t>{0, 128, 255, 0, 128, 255, 0, 128, 255, 0, 255, 255});
  CHECK(report::filter_pictures(std::vector<float>(4, 3.5f), 1, 1, 2)[0].pixels ==
        std::vector<std::uint8_t>(4, 128));
  CHECK_THROWS_AS(report::filter_pictures(gray, 1, 1, 3), nat::Error);
}
