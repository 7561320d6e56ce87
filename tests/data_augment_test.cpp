#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "data/augment.h"
#include "data/order.h"
#include "tests/data_support.h"

namespace nat::data {
namespace {

constexpr std::uint64_t kSeed = 0x123456789ABCDEFu;

bool same(const CropBox& a, const CropBox& b) {
  return a.x == b.x && a.y == b.y && a.width == b.width && a.height == b.height && a.flip == b.flip;
}

}  // namespace

TEST_CASE("center takes the middle square at integers and does not move") {
  const CropBox whole = crop_box({}, kSeed, 3, 7, 32, 32);
  CHECK(same(whole, {0, 0, 32, 32, 0}));
  const CropBox part = crop_box({.crop_size = 224}, kSeed, 3, 7, 341, 256);
  CHECK(same(part, {58, 16, 224, 224, 0}));
}

TEST_CASE("random_area covers the asked range of areas, inside the picture, uniformly") {
  const Augmentation crops{
      .crop = Crop::random_area, .min_area = 0.5f, .max_area = 1.0f, .mirror = Mirror::half};
  constexpr int kDraws = 20'000;
  constexpr int kWidth = 40, kHeight = 28;
  double area_sum = 0, place_sum = 0, flips = 0;
  double least = 1, most = 0;
  for (std::int32_t id = 0; id < kDraws; ++id) {
    const CropBox box = crop_box(crops, kSeed, 0, id, kWidth, kHeight);
    REQUIRE(box.width == box.height);
    REQUIRE(box.x >= 0);
    REQUIRE(box.y >= 0);
    // x + side may round up by one unit in the last place.
    REQUIRE(box.x + box.width <= kWidth * (1 + 1e-6f));
    REQUIRE(box.y + box.height <= kHeight * (1 + 1e-6f));
    const double area = double{box.width} * box.height / (kHeight * kHeight);
    least = std::min(least, area);
    most = std::max(most, area);
    area_sum += area;
    place_sum += box.x / (kWidth - box.width);
    flips += box.flip;
  }
  CHECK(least >= 0.5 - 1e-6);
  CHECK(most <= 1.0 + 1e-6);
  CHECK(least < 0.501);
  CHECK(most > 0.999);
  // Means of 20,000 uniform draws: five standard errors are 5 width / sqrt(12 n); of coin flips,
  // 5 / (2 sqrt n).
  const double error = 5 / std::sqrt(12.0 * kDraws);
  CHECK(std::abs(area_sum / kDraws - 0.75) < 0.5 * error);
  CHECK(std::abs(place_sum / kDraws - 0.5) < error);
  CHECK(std::abs(flips / kDraws - 0.5) < 2.5 / std::sqrt(double{kDraws}));
}

TEST_CASE("random_shift hits every integer place alike and no other") {
  const Augmentation crops{.crop = Crop::random_shift, .crop_size = 28};
  constexpr int kDraws = 14'000;
  std::vector<int> across(5), down(5);
  for (std::int32_t id = 0; id < kDraws; ++id) {
    const CropBox box = crop_box(crops, kSeed, 1, id, 32, 32);
    REQUIRE(box.x == std::floor(box.x));
    REQUIRE(box.width == 28);
    REQUIRE(box.flip == 0);
    REQUIRE((box.x >= 0 && box.x <= 4 && box.y >= 0 && box.y <= 4));
    ++across[static_cast<std::size_t>(box.x)];
    ++down[static_cast<std::size_t>(box.y)];
  }
  // Binomial counts with p = 1/5: five standard deviations.
  const double spread = 5 * std::sqrt(kDraws * 0.2 * 0.8);
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(std::abs(across[i] - kDraws * 0.2) < spread);
    CHECK(std::abs(down[i] - kDraws * 0.2) < spread);
  }
}

TEST_CASE("size, place and mirroring of a crop are drawn independently of each other") {
  constexpr int kDraws = 20'000, kWidth = 40, kHeight = 28;
  for (const Augmentation& crops :
       {Augmentation{.crop = Crop::random_area, .min_area = 0.5f, .mirror = Mirror::half},
        Augmentation{.crop = Crop::random_shift, .crop_size = 25, .mirror = Mirror::half}}) {
    // Whether each lies in the upper half of what it may be: a fair coin, four places down and 16
    // across included.
    const int signs = crops.crop == Crop::random_area ? 4 : 3;
    std::vector<int> together(16);
    for (std::int32_t id = 0; id < kDraws; ++id) {
      const CropBox box = crop_box(crops, kSeed, 2, id, kWidth, kHeight);
      const std::vector<bool> upper = {box.flip != 0, 2 * box.x + box.width > kWidth,
                                       2 * box.y + box.height > kHeight,
                                       box.width * box.height > 0.75f * kHeight * kHeight};
      for (int a = 0; a < signs; ++a) {
        for (int b = 0; b < a; ++b) {
          together[static_cast<std::size_t>(4 * a + b)] +=
              upper[static_cast<std::size_t>(a)] == upper[static_cast<std::size_t>(b)] ? 1 : -1;
        }
      }
    }
    // Sums of independent signs: five standard deviations.
    for (const int sum : together) CHECK(std::abs(sum) < 5 * std::sqrt(double{kDraws}));
  }
}

TEST_CASE("a crop depends on seed, epoch and id, and on nothing else") {
  const Augmentation crops{.crop = Crop::random_area, .mirror = Mirror::half};
  const CropBox box = crop_box(crops, kSeed, 4, 9, 32, 32);
  CHECK(same(box, crop_box(crops, kSeed, 4, 9, 32, 32)));
  CHECK_FALSE(same(box, crop_box(crops, kSeed + 1, 4, 9, 32, 32)));
  CHECK_FALSE(same(box, crop_box(crops, kSeed, 5, 9, 32, 32)));
  CHECK_FALSE(same(box, crop_box(crops, kSeed, 4, 10, 32, 32)));
}

TEST_CASE("the evaluation view is the middle crop of the same size") {
  const Augmentation shifted{.crop = Crop::random_shift, .crop_size = 224, .mirror = Mirror::half};
  const CropBox box = crop_box(evaluation_view(shifted), kSeed, 0, 0, 256, 256);
  CHECK(same(box, {16, 16, 224, 224, 0}));
  const Augmentation resized{.crop = Crop::random_area, .mirror = Mirror::half};
  CHECK(same(crop_box(evaluation_view(resized), kSeed, 0, 0, 28, 28), {0, 0, 28, 28, 0}));
}

TEST_CASE("ten views are the middle and the four corners, each also mirrored") {
  const Augmentation shifted{.crop = Crop::random_shift, .crop_size = 24, .mirror = Mirror::half};
  const std::vector<Augmentation> views = evaluation_views(shifted, 10, 32);
  const std::vector<CropBox> expected = {{4, 6, 24, 24, 0},
                                         {0, 0, 24, 24, 0},
                                         {9, 0, 24, 24, 0},
                                         {0, 12, 24, 24, 0},
                                         {9, 12, 24, 24, 0}};
  REQUIRE(views.size() == 10);
  for (std::size_t i = 0; i < views.size(); ++i) {
    CAPTURE(i);
    CropBox box = expected[i / 2];
    box.flip = i % 2 == 1 ? 1.0f : 0.0f;
    CHECK(same(crop_box(views[i], kSeed, 2, 5, 33, 36), box));
  }
}

TEST_CASE("one view is the evaluation view, two are that and its mirror image") {
  const Augmentation resized{.crop = Crop::random_area, .mirror = Mirror::half};
  const std::vector<Augmentation> one = evaluation_views(resized, 1, 28);
  REQUIRE(one.size() == 1);
  CHECK(same(crop_box(one[0], kSeed, 0, 0, 28, 28), {0, 0, 28, 28, 0}));
  const std::vector<Augmentation> two = evaluation_views(resized, 2, 28);
  REQUIRE(two.size() == 2);
  CHECK(same(crop_box(two[0], kSeed, 0, 0, 28, 28), {0, 0, 28, 28, 0}));
  CHECK(same(crop_box(two[1], kSeed, 0, 0, 28, 28), {0, 0, 28, 28, 1}));
}

TEST_CASE("views that a recipe does not have are refused") {
  const auto refused = [](const Augmentation& training, int views) {
    return message_of(ErrorKind::usage, [&] { evaluation_views(training, views, 28); });
  };
  CHECK_CONTAINS(refused({.crop = Crop::random_area}, 3), "give 1, 2 or 10");
  CHECK_CONTAINS(refused({.crop = Crop::random_area}, 10), "give 1 or 2");
  CHECK_CONTAINS(refused({.crop = Crop::random_shift, .crop_size = 28}, 10), "28 pixels");
  CHECK_CONTAINS(refused({.crop = Crop::center}, 10), "give 1 or 2");
}

TEST_CASE("crops that cannot be taken are refused") {
  const auto refused = [](const Augmentation& crops) {
    return message_of(ErrorKind::usage, [&] { check_augmentation(crops, 32); });
  };
  CHECK_CONTAINS(refused({.crop = Crop::random_shift, .crop_size = 33}), "give at most 32");
  CHECK_CONTAINS(refused({.crop_size = -1}), "crop size: -1");
  for (const auto& [low, high] : {std::pair{0.0f, 1.0f}, {0.5f, 1.5f}, {0.9f, 0.5f}}) {
    CHECK_CONTAINS(refused({.crop = Crop::random_area, .min_area = low, .max_area = high}),
                   "not a range within (0, 1]");
  }
  check_augmentation({.crop = Crop::random_area, .crop_size = 64}, 32);  // crop_size is not used
}

TEST_CASE("an epoch's order is a permutation that epoch and seed determine") {
  const std::vector<std::int32_t> order = epoch_order(kSeed, 2, 1000, true);
  std::vector<std::int32_t> sorted = order;
  std::sort(sorted.begin(), sorted.end());
  std::vector<std::int32_t> identity(1000);
  std::iota(identity.begin(), identity.end(), 0);
  CHECK(sorted == identity);
  CHECK(order != identity);
  CHECK(order == epoch_order(kSeed, 2, 1000, true));
  CHECK(order != epoch_order(kSeed, 3, 1000, true));
  CHECK(order != epoch_order(kSeed + 1, 2, 1000, true));
  CHECK(epoch_order(kSeed, 2, 1000, false) == identity);
  CHECK(epoch_order(kSeed, 0, 0, true).empty());
  CHECK(epoch_order(kSeed, 0, 1, true) == std::vector<std::int32_t>{0});
}

TEST_CASE("all orders of four pictures come up equally often") {
  constexpr int kEpochs = 24'000;
  std::vector<int> count(256);
  for (std::uint32_t epoch = 0; epoch < kEpochs; ++epoch) {
    std::size_t code = 0;
    for (const std::int32_t place : epoch_order(kSeed, epoch, 4, true)) {
      code = code * 4 + static_cast<std::size_t>(place);
    }
    ++count[code];
  }
  // 24 permutations, 1,000 expected each: chi-square with 23 degrees of freedom stays below 60 with
  // probability 1 - 4e-5.
  double chi_square = 0;
  int seen = 0;
  for (const int c : count) {
    if (c == 0) continue;
    ++seen;
    chi_square += (c - 1000.0) * (c - 1000.0) / 1000.0;
  }
  CHECK(seen == 24);
  CHECK(chi_square < 60);
}

}  // namespace nat::data
