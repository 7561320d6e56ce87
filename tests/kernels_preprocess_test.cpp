// Crop, resize, flip, per-image normalisation and front ends (kernels/preprocess.h).
#include "kernels/preprocess.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/opcases/determinism.h"
#include "tests/opcases/device.h"
#include "tests/reference/preprocess.h"

namespace nat::test {
namespace {

using Values = std::vector<double>;

Tensor random_pictures(std::uint64_t seed, const Shape& shape) {
  Tensor pictures(shape, DType::u8);
  return pictures.fill_uniform(seed, 0, 256);
}

Tensor as_tensor(const std::vector<CropBox>& boxes) {
  Tensor tensor(Shape(static_cast<std::int64_t>(boxes.size()), 5), DType::f32);
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    const float row[5] = {boxes[i].x, boxes[i].y, boxes[i].width, boxes[i].height, boxes[i].flip};
    for (std::size_t j = 0; j < 5; ++j) {
      tensor.set(static_cast<std::int64_t>(i * 5 + j), static_cast<double>(row[j]));
    }
  }
  return tensor;
}

Tensor run(FrontEnd front, const Tensor& pictures, const std::vector<CropBox>& boxes,
           std::int64_t size, DType dtype) {
  Context ctx(kDevice);
  const Tensor box_tensor = as_tensor(boxes);
  const int channels = front_end_channels(front, static_cast<int>(pictures.shape()[3]));
  Tensor images(Shape(pictures.shape()[0], size, size, channels), dtype);
  preprocess(ctx, front, pictures.view(), box_tensor.view(), images.view());
  CHECK(images.canaries_intact());
  return images;
}

reference::Picture picture(const Tensor& pictures, std::int64_t i) {
  const auto [n, height, width, channels] = pictures.shape().dim;
  reference::Picture out{height, width, channels, {}};
  const std::int64_t row = pictures.shape().row();
  for (std::int64_t j = 0; j < row; ++j) out.value.push_back(pictures.get(i * row + j));
  return out;
}

// Error of the type of computation, u its unit roundoff. Two interpolations of values up to 255:
// 2 u 255 each; the weights are rounded: u 255 each. Scale and shift: 3 u (|x| + |mean|) / std. So
// a normalised value errs by at most 12 u 255 / std. A filter adds up the errors of its taps, whose
// absolute weights sum to 8 (Sobel) or 2 (high-pass), and at most 9 roundings of sums no larger
// than 8 times the largest value. Statistics are double. Storage rounds once more.
void check_against_reference(FrontEnd front, const Tensor& pictures,
                             const std::vector<CropBox>& boxes, std::int64_t size, DType dtype) {
  const Tensor images = run(front, pictures, boxes, size, dtype);
  const double u = unit_roundoff(dtype == DType::f64 ? DType::f64 : DType::f32);
  Values want, bounds;
  for (std::size_t i = 0; i < boxes.size(); ++i) {
    const reference::Picture crop =
        reference::crop(picture(pictures, static_cast<std::int64_t>(i)), boxes[i], size);
    const reference::Picture normal = reference::normalised(crop);
    const auto [low, high] = std::minmax_element(crop.value.begin(), crop.value.end());
    const auto [least, most] = std::minmax_element(normal.value.begin(), normal.value.end());
    const double deviation = *most > *least ? (*high - *low) / (*most - *least) : 1;
    const double largest = std::max(-*least, *most);
    const double taps = front == FrontEnd::sobel ? 8 : front == FrontEnd::high_pass ? 2 : 1;
    const double error = taps * (12 * u * 255 / deviation) + 9 * u * 8 * largest;
    for (const double v : reference::filtered(normal, front).value) {
      want.push_back(v);
      bounds.push_back(error + unit_roundoff(dtype) * std::abs(v));
    }
  }
  CHECK(close("images", images, want,
              [&](std::int64_t i) { return bounds[static_cast<std::size_t>(i)]; }));
}

TEST_CASE("Every front end equals the double reference, for crops of any size and position") {
  const std::vector<CropBox> boxes = {
      {.x = 0, .y = 0, .width = 12, .height = 12, .flip = 0},
      {.x = 2, .y = 1, .width = 9, .height = 9, .flip = 1},
      {.x = 1.25f, .y = 0.5f, .width = 7.75f, .height = 10.5f, .flip = 0},
      {.x = 0.1f, .y = 3.7f, .width = 11.3f, .height = 5.2f, .flip = 1},
      {.x = -3, .y = -2.5f, .width = 20, .height = 17, .flip = 0},  // beyond the picture
      {.x = 4, .y = 4, .width = 0.5f, .height = 0.5f, .flip = 0},   // within one pixel
  };
  for (const std::int64_t channels : {1, 3}) {
    const Tensor pictures = random_pictures(3, Shape(6, 12, 14, channels));
    for (const FrontEnd front : {FrontEnd::clean, FrontEnd::sobel, FrontEnd::high_pass}) {
      for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
        for (const std::int64_t size : {9, 16, 1}) {
          CAPTURE(channels);
          CAPTURE(static_cast<int>(front));
          CAPTURE(name(dtype));
          CAPTURE(size);
          check_against_reference(front, pictures, boxes, size, dtype);
        }
      }
    }
  }
}

TEST_CASE("Images larger than any tile of a kernel equal the double reference") {
  const std::vector<CropBox> boxes = {
      {.x = 3, .y = 2, .width = 67, .height = 67, .flip = 1},
      {.x = -1.5f, .y = 4.25f, .width = 80.5f, .height = 71, .flip = 0},
  };
  for (const std::int64_t channels : {1, 3}) {
    const Tensor pictures = random_pictures(10, Shape(2, 75, 81, channels));
    for (const FrontEnd front : {FrontEnd::clean, FrontEnd::sobel, FrontEnd::high_pass}) {
      for (const std::int64_t size : {32, 67}) {
        CAPTURE(channels);
        CAPTURE(static_cast<int>(front));
        CAPTURE(size);
        check_against_reference(front, pictures, boxes, size, DType::bf16);
      }
    }
  }
}

TEST_CASE("The bits do not depend on the alignment of the images") {
  Context ctx(kDevice);
  const Tensor pictures = random_pictures(11, Shape(2, 20, 20, 3));
  const std::vector<CropBox> boxes = {{.x = 1.5f, .y = 2, .width = 17, .height = 16},
                                      {.x = 3, .y = 2, .width = 15, .height = 15}};
  const Tensor box_tensor = as_tensor(boxes);
  for (const FrontEnd front : {FrontEnd::clean, FrontEnd::sobel, FrontEnd::high_pass}) {
    for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
      const Tensor images = run(front, pictures, boxes, 15, dtype);
      Misaligned shifted(Tensor(images.shape(), dtype)), bytes(pictures);
      preprocess(ctx, front, bytes.view(), box_tensor.view(), shifted.view());
      CHECK(same_bits(shifted.aligned(), images));
      CHECK(shifted.canaries_intact());
    }
  }
}

// A picture of its own with no bytes around it, and a crop that a kernel may read with some of
// them.
TEST_CASE("The bits of a copied crop do not depend on what lies around it") {
  for (const std::int64_t channels : {1, 3}) {
    const Tensor pictures = random_pictures(12, Shape(3, 70, 77, channels));
    for (const std::int64_t size : {1, 2, 9, 56, 60, 67}) {
      for (const std::int64_t x : {0, 1, 2, 3, 7}) {
        const std::int64_t y = x % 4;
        Tensor alone(Shape(1, size, size, channels), DType::u8);
        for (std::int64_t i = 0; i < size; ++i) {
          const std::int64_t row = ((70 + y + i) * 77 + x) * channels;  // of the second picture
          for (std::int64_t j = 0; j < size * channels; ++j) {
            alone.set(i * size * channels + j, pictures.get(row + j));
          }
        }
        CropBox box{.width = static_cast<float>(size), .height = static_cast<float>(size)};
        CropBox inside = box;
        inside.x = static_cast<float>(x);
        inside.y = static_cast<float>(y);
        box.flip = inside.flip = static_cast<float>(x % 2);
        for (const FrontEnd front : {FrontEnd::clean, FrontEnd::sobel, FrontEnd::high_pass}) {
          for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
            const Tensor want = run(front, alone, {box}, size, dtype);
            const Tensor got = run(front, pictures, {inside, inside, inside}, size, dtype);
            const std::int64_t row = want.size();
            std::int64_t different = 0;
            for (std::int64_t i = 0; i < row; ++i) different += got.get(row + i) != want.get(i);
            CAPTURE(channels);
            CAPTURE(size);
            CAPTURE(x);
            CAPTURE(static_cast<int>(front));
            CAPTURE(name(dtype));
            CHECK(different == 0);
          }
        }
      }
    }
  }
}

TEST_CASE("A crop that hardly varies is normalised by its own deviation") {
  Tensor pictures(Shape(1, 40, 40, 3), DType::u8);
  pictures.fill(200).set(2500, 201);
  const std::vector<CropBox> whole = {{.x = 0, .y = 0, .width = 40, .height = 40}};
  for (const DType dtype : {DType::f32, DType::f64}) {
    check_against_reference(FrontEnd::clean, pictures, whole, 40, dtype);
  }
  pictures.fill(200).set(0, 201);  // the very first sample is the odd one
  check_against_reference(FrontEnd::clean, pictures, whole, 40, DType::f64);
}

TEST_CASE("A whole box of the output's size is an exact copy, normalised") {
  for (const std::int64_t channels : {1, 3}) {
    const Tensor pictures = random_pictures(4, Shape(1, 8, 8, channels));
    const Tensor images =
        run(FrontEnd::clean, pictures, {{.x = 0, .y = 0, .width = 8, .height = 8}}, 8, DType::f64);
    double sum = 0, square = 0;
    for (std::int64_t i = 0; i < images.size(); ++i) sum += pictures.get(i);
    const double n = static_cast<double>(images.size()), mean = sum / n;
    for (std::int64_t i = 0; i < images.size(); ++i) square += std::pow(pictures.get(i) - mean, 2);
    for (std::int64_t i = 0; i < images.size(); ++i) {
      CHECK(images.get(i) ==
            doctest::Approx((pictures.get(i) - mean) / std::sqrt(square / n)).epsilon(1e-13));
    }
  }
}

TEST_CASE("A normalised image has mean 0 and variance 1") {
  const Tensor pictures = random_pictures(5, Shape(2, 20, 20, 3));
  const Tensor images = run(
      FrontEnd::clean, pictures,
      {{.x = 1, .y = 2, .width = 13, .height = 11}, {.x = 0, .y = 0, .width = 20, .height = 20}},
      16, DType::f64);
  const std::int64_t row = images.shape().row();
  for (std::int64_t i = 0; i < 2; ++i) {
    double sum = 0, square = 0;
    for (std::int64_t j = 0; j < row; ++j) {
      sum += images.get(i * row + j);
      square += images.get(i * row + j) * images.get(i * row + j);
    }
    const double n = static_cast<double>(row);
    CHECK(std::abs(sum / n) < 1e-13);
    CHECK(std::abs(square / n - 1) < 1e-12);
  }
}

TEST_CASE("A flip mirrors the crop left to right") {
  const std::int64_t size = 10, channels = 3;
  const Tensor pictures = random_pictures(6, Shape(1, 12, 12, channels));
  CropBox box{.x = 0.75f, .y = 1, .width = 9.5f, .height = 10};
  const Tensor plain = run(FrontEnd::clean, pictures, {box}, size, DType::f64);
  box.flip = 1;
  const Tensor mirrored = run(FrontEnd::clean, pictures, {box}, size, DType::f64);
  for (std::int64_t y = 0; y < size; ++y) {
    for (std::int64_t x = 0; x < size; ++x) {
      for (std::int64_t c = 0; c < channels; ++c) {
        const double a = plain.get((y * size + x) * channels + c);
        const double b = mirrored.get((y * size + size - 1 - x) * channels + c);
        CHECK(std::abs(a - b) < 1e-13);  // statistics add up in another order
      }
    }
  }
}

TEST_CASE("A constant picture becomes 0 under every front end") {
  for (const FrontEnd front : {FrontEnd::clean, FrontEnd::sobel, FrontEnd::high_pass}) {
    for (const double value : {0.0, 7.0, 255.0}) {
      for (const DType dtype : {DType::f32, DType::bf16, DType::f64}) {
        Tensor pictures(Shape(1, 9, 9, 3), DType::u8);
        pictures.fill(value);
        const Tensor images =
            run(front, pictures, {{.x = 0.3f, .y = 0.7f, .width = 7.1f, .height = 6.3f}}, 8, dtype);
        for (const double v : images.values()) CHECK(v == 0);
      }
    }
  }
}

// One bright pixel in the middle: after normalisation background b and peak p. Sobel kernels sum to
// 0, so that away from the border only p - b shows, as the mirrored kernel (cross-correlation).
TEST_CASE("An impulse under Sobel shows the two kernels") {
  Tensor pictures(Shape(1, 7, 7, 1), DType::u8);
  pictures.fill(10).set(3 * 7 + 3, 59);
  const Tensor images =
      run(FrontEnd::sobel, pictures, {{.x = 0, .y = 0, .width = 7, .height = 7}}, 7, DType::f64);
  const double step = 49 / std::sqrt(49 * 49 * (1.0 / 49) * (48.0 / 49));  // (p - b) / deviation
  const double mirrored_gx[3][3] = {{1, 0, -1}, {2, 0, -2}, {1, 0, -1}};
  for (std::int64_t r = 0; r < 3; ++r) {
    for (std::int64_t s = 0; s < 3; ++s) {
      const std::int64_t at = ((2 + r) * 7 + 2 + s) * 2;
      CHECK(images.get(at) == doctest::Approx(step * mirrored_gx[r][s]).epsilon(1e-12));
      CHECK(images.get(at + 1) == doctest::Approx(step * mirrored_gx[s][r]).epsilon(1e-12));
    }
  }
}

TEST_CASE("An impulse under the high-pass leaves 8/9 of itself and -1/9 around") {
  Tensor pictures(Shape(1, 7, 7, 1), DType::u8);
  pictures.fill(10).set(3 * 7 + 3, 59);
  const Tensor images = run(FrontEnd::high_pass, pictures,
                            {{.x = 0, .y = 0, .width = 7, .height = 7}}, 7, DType::f64);
  const double step = 49 / std::sqrt(49 * 49 * (1.0 / 49) * (48.0 / 49));
  CHECK(images.get(3 * 7 + 3) == doctest::Approx(step * 8 / 9).epsilon(1e-12));
  CHECK(images.get(2 * 7 + 4) == doctest::Approx(-step / 9).epsilon(1e-12));
  CHECK(std::abs(images.get(1 * 7 + 5)) < 1e-12);
}

TEST_CASE("One thread and several threads give the same bits, with any number of images") {
  for (const std::int64_t n : {1, 2, 5, 33}) {
    const Tensor pictures = random_pictures(8, Shape(n, 30, 30, 3));
    const std::vector<CropBox> boxes(static_cast<std::size_t>(n),
                                     {.x = 1.5f, .y = 2, .width = 26, .height = 25.5f, .flip = 1});
    Tensor one(Shape(1), DType::f32), many(Shape(1), DType::f32);
    with_threads(1, [&] { one = run(FrontEnd::sobel, pictures, boxes, 28, DType::f32); });
    with_threads(3, [&] { many = run(FrontEnd::sobel, pictures, boxes, 28, DType::f32); });
    CHECK(same_bits(one, many));
  }
}

TEST_CASE("Wrong shapes, types and boxes are refused") {
  Context ctx(kDevice);
  const Tensor pictures = random_pictures(9, Shape(2, 8, 8, 3));
  const CropBox whole{.x = 0, .y = 0, .width = 8, .height = 8};
  const auto refused = [&](const Tensor& from, const std::vector<CropBox>& boxes,
                           const Shape& images, DType dtype = DType::f32) {
    const Tensor box_tensor = as_tensor(boxes);
    Tensor out(images, dtype);
    CHECK_THROWS_AS(preprocess(ctx, FrontEnd::sobel, from.view(), box_tensor.view(), out.view()),
                    Error);
  };
  const Shape good(2, 8, 8, 2);
  refused(random_pictures(9, Shape(2, 8, 8, 2)), {whole, whole}, good);
  refused(Tensor(Shape(2, 8, 8, 3), DType::f32), {whole, whole}, good);
  refused(pictures, {whole}, good);
  refused(pictures, {whole, whole}, Shape(2, 8, 8, 3));
  refused(pictures, {whole, whole}, Shape(2, 8, 9, 2));
  refused(pictures, {whole, whole}, Shape(3, 8, 8, 2));
  refused(pictures, {whole, whole}, good, DType::u8);
}

TEST_CASE(
    "A box that is no box is refused, or spoils its image alone where it cannot be looked at") {
  Context ctx(kDevice);
  const Tensor pictures = random_pictures(9, Shape(2, 8, 8, 3));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const CropBox& bad : {CropBox{.x = 0, .y = 0, .width = 0, .height = 8},
                             CropBox{.x = 0, .y = 0, .width = 8, .height = -1},
                             CropBox{.x = nan, .y = 0, .width = 8, .height = 8},
                             CropBox{.x = 0, .y = 0, .width = infinity, .height = 8}}) {
    const std::vector<CropBox> boxes = {{.x = 0, .y = 0, .width = 8, .height = 8}, bad};
    if constexpr (kOnCuda) {
      const Tensor images = run(FrontEnd::sobel, pictures, boxes, 8, DType::f32);
      const std::int64_t row = images.shape().row();
      for (std::int64_t i = 0; i < 2 * row; ++i) CHECK(std::isnan(images.get(i)) == (i >= row));
    } else {
      Tensor out(Shape(2, 8, 8, 2), DType::f32);
      const Tensor box_tensor = as_tensor(boxes);
      CHECK_THROWS_AS(
          preprocess(ctx, FrontEnd::sobel, pictures.view(), box_tensor.view(), out.view()), Error);
    }
  }
}

}  // namespace
}  // namespace nat::test
