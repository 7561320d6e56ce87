#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <numeric>
#include <string>
#include <vector>

#include "data/loader.h"
#include "data/open.h"
#include "data/order.h"
#include "data/store.h"
#include "tests/data_support.h"

namespace {
std::atomic<long> allocations{0};
}  // namespace

// Counts every allocation of this program.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace nat::data {
namespace {

constexpr PictureShape kShape{4, 5, 3};

Catalog numbered_catalog(std::int64_t n, const PictureShape& shape) {
  Catalog catalog;
  catalog.format = "test";
  catalog.shape = shape;
  catalog.size = n;
  catalog.class_names = {"even", "odd"};
  for (std::int64_t i = 0; i < n; ++i) {
    catalog.records.push_back(i);
    catalog.labels.push_back(static_cast<std::int32_t>(i % 2));
  }
  return catalog;
}

// n pictures of random bytes in memory; some of them bad.
MemoryDataset stored_pictures(std::int64_t n, std::vector<BadPicture> bad = {}) {
  Bytes pixels(static_cast<std::size_t>(n * kShape.bytes()));
  std::uint32_t state = 1;
  for (std::uint8_t& byte : pixels) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<std::uint8_t>(state >> 24);
  }
  return MemoryDataset(numbered_catalog(n, kShape), std::move(pixels), std::move(bad));
}

// Pictures wider or higher than what is stored, seen through a window: byte (y, x) of picture id is
// 10 id + x, or 10 id + y of the high ones.
enum class Long { across, down };
class LongPictures : public Dataset {
 public:
  static constexpr int kSide = 8, kLength = 20;
  LongPictures(std::int64_t n, Long way)
      : Dataset(numbered_catalog(n, {kSide, kSide, 1}), {}), down_(way == Long::down) {}
  PictureShape extent(std::int32_t) const override {
    return {down_ ? kLength : kSide, down_ ? kSide : kLength, 1};
  }
  void read_window(std::int32_t id, int left, int top, std::uint8_t* out) const override {
    for (int i = 0; i < kSide * kSide; ++i) {
      out[i] = static_cast<std::uint8_t>(10 * id + (down_ ? top + i / kSide : left + i % kSide));
    }
  }

 private:
  bool down_;
};

// Fails at one picture.
class FailingPictures : public Dataset {
 public:
  FailingPictures(std::int64_t n, std::int32_t failing)
      : Dataset(numbered_catalog(n, {1, 1, 1}), {}), failing_(failing) {}
  void read_window(std::int32_t id, int, int, std::uint8_t* out) const override {
    NAT_CHECK(id != failing_, ErrorKind::data, "picture ", id, " is gone");
    *out = static_cast<std::uint8_t>(id);
  }

 private:
  std::int32_t failing_;
};

// All that a batch holds, as bytes.
void append_batch(const Batch& batch, std::int64_t picture_bytes, Bytes& all) {
  const auto add = [&](const void* data, std::size_t count) {
    const auto* bytes = static_cast<const std::uint8_t*>(data);
    all.insert(all.end(), bytes, bytes + count);
  };
  const auto n = static_cast<std::size_t>(batch.size());
  add(&batch.step_in_epoch, sizeof batch.step_in_epoch);
  add(batch.ids.data(), n * sizeof(std::int32_t));
  add(batch.labels.data(), n * sizeof(std::int32_t));
  add(batch.boxes.data(), n * sizeof(CropBox));
  add(batch.pixels, n * static_cast<std::size_t>(picture_bytes));
}

Bytes epoch_bytes(const Dataset& dataset, const LoaderOptions& options, std::uint32_t epoch,
                  std::int64_t first_batch = 0) {
  Loader loader(dataset, options);
  loader.start_epoch(epoch, first_batch);
  Bytes all;
  while (const Batch* batch = loader.next()) append_batch(*batch, dataset.shape().bytes(), all);
  return all;
}

LoaderOptions training(int batch_size, int threads) {
  LoaderOptions options;
  options.batch_size = batch_size;
  options.augmentation = {.crop = Crop::random_area, .mirror = Mirror::half};
  options.seed = 42;
  options.threads = threads;
  return options;
}

}  // namespace

TEST_CASE("an epoch delivers every picture once, with its label, pixels and crop") {
  const MemoryDataset pictures = stored_pictures(103);
  LoaderOptions options = training(10, 2);
  options.drop_last = false;
  Loader loader(pictures, options);
  CHECK(loader.batches_per_epoch() == 11);
  CHECK(loader.next() == nullptr);
  loader.start_epoch(5);
  const std::vector<std::int32_t> order = epoch_order(42, 5, 103, true);
  std::int64_t seen = 0, step = 0;
  Bytes expected(static_cast<std::size_t>(kShape.bytes()));
  while (const Batch* batch = loader.next()) {
    REQUIRE(batch->step_in_epoch == step++);
    REQUIRE(batch->size() == (step == 11 ? 3 : 10));
    for (std::size_t i = 0; i < batch->ids.size(); ++i) {
      const std::int32_t id = batch->ids[i];
      REQUIRE(id == order[static_cast<std::size_t>(seen++)]);
      REQUIRE(batch->labels[i] == id % 2);
      pictures.read(id, expected.data());
      REQUIRE(std::memcmp(batch->pixels + i * expected.size(), expected.data(), expected.size()) ==
              0);
      const CropBox box = crop_box(options.augmentation, 42, 5, id, kShape.width, kShape.height);
      REQUIRE(std::memcmp(&box, &batch->boxes[i], sizeof box) == 0);
    }
  }
  CHECK(seen == 103);
  CHECK(loader.next() == nullptr);
}

TEST_CASE("one worker and four deliver the same bytes") {
  const MemoryDataset pictures = stored_pictures(500);
  const Bytes one = epoch_bytes(pictures, training(16, 1), 3);
  CHECK(one == epoch_bytes(pictures, training(16, 4), 3));
  CHECK(one == epoch_bytes(pictures, training(16, 7), 3));
  CHECK(one != epoch_bytes(pictures, training(16, 1), 4));
}

TEST_CASE("who does not choose gets one worker beside computing processors, several beside a GPU") {
  constexpr std::int64_t kMiB = 1 << 20;
  CHECK(automatic_threads(true, 64, kMiB) == 1);
  CHECK(automatic_threads(false, 64, kMiB) == 8);
  CHECK(automatic_threads(false, 6, kMiB) == 4);
  CHECK(automatic_threads(false, 1, kMiB) == 1);
  // Five batches of 400 MiB in 2 GiB, two of them between the threads and the step.
  CHECK(automatic_threads(false, 64, 400 * kMiB) == 3);
  CHECK(automatic_threads(false, 64, 900 * kMiB) == 1);
  CHECK(automatic_threads(false, 64, 9000 * kMiB) == 1);
}

TEST_CASE("an epoch resumed in its middle continues with the same batches") {
  const MemoryDataset pictures = stored_pictures(200);
  const auto whole = epoch_bytes(pictures, training(16, 3), 2);
  const std::size_t batch_bytes = whole.size() / 12;  // 200 / 16, the rest dropped
  for (const std::int64_t first : {0, 1, 5, 11, 12}) {
    const Bytes rest = epoch_bytes(pictures, training(16, 3), 2, first);
    CHECK(rest ==
          Bytes(whole.begin() + static_cast<std::ptrdiff_t>(batch_bytes) * first, whole.end()));
  }
  Loader loader(pictures, training(16, 3));
  CHECK_CONTAINS(message_of(ErrorKind::usage, [&] { loader.start_epoch(0, 13); }),
                 "cannot begin at batch 13 of 12");
}

TEST_CASE("a new epoch may begin before the last one is over") {
  const MemoryDataset pictures = stored_pictures(300);
  const Bytes expected = epoch_bytes(pictures, training(8, 1), 9);
  Loader loader(pictures, training(8, 4));
  for (std::uint32_t epoch = 0; epoch < 40; ++epoch) {
    loader.start_epoch(epoch);
    for (std::uint32_t i = 0; i < epoch % 5; ++i) REQUIRE(loader.next() != nullptr);
  }
  loader.start_epoch(9);
  Bytes all;
  while (const Batch* batch = loader.next()) append_batch(*batch, kShape.bytes(), all);
  CHECK(all == expected);
}

TEST_CASE("the last partial batch is dropped or delivered short") {
  const MemoryDataset pictures = stored_pictures(10);
  LoaderOptions options = training(4, 2);
  CHECK(Loader(pictures, options).batches_per_epoch() == 2);
  options.drop_last = false;
  CHECK(Loader(pictures, options).batches_per_epoch() == 3);
  options.batch_size = 64;  // larger than the data
  Loader loader(pictures, options);
  loader.start_epoch(0);
  const Batch* batch = loader.next();
  REQUIRE(batch != nullptr);
  CHECK(batch->size() == 10);
  CHECK(loader.next() == nullptr);
}

TEST_CASE("without shuffling ids come in their order") {
  const MemoryDataset pictures = stored_pictures(9);
  Loader loader(pictures, {.batch_size = 9, .shuffle = false});
  loader.start_epoch(0);
  const Batch* batch = loader.next();
  REQUIRE(batch != nullptr);
  CHECK(batch->ids == std::vector<std::int32_t>{0, 1, 2, 3, 4, 5, 6, 7, 8});
}

TEST_CASE("bad pictures are left out") {
  const MemoryDataset pictures = stored_pictures(6, {{4, "bad"}, {1, "bad"}});
  Loader usable(pictures, {.batch_size = 4, .shuffle = false});
  usable.start_epoch(0);
  CHECK(usable.next()->ids == std::vector<std::int32_t>{0, 2, 3, 5});
}

TEST_CASE("crops anywhere in a wide or high picture reach the batch through its window") {
  constexpr int kSide = LongPictures::kSide, kLength = LongPictures::kLength;
  const std::vector<Augmentation> ways_to_crop = {{.crop = Crop::random_shift, .crop_size = 6},
                                                  {.crop = Crop::random_area, .min_area = 0.3f},
                                                  {.crop_size = 6}};
  for (int run = 0; run < 6; ++run) {
    const bool down = run >= 3;
    const Augmentation& augmentation = ways_to_crop[static_cast<std::size_t>(run % 3)];
    CAPTURE(run);
    const LongPictures pictures(12, down ? Long::down : Long::across);
    LoaderOptions options = training(12, 2);
    options.augmentation = augmentation;
    Loader loader(pictures, options);
    float first = kLength, last = 0;
    for (std::uint32_t epoch = 0; epoch < 50; ++epoch) {
      loader.start_epoch(epoch);
      const Batch* batch = loader.next();
      REQUIRE(batch != nullptr);
      for (std::size_t i = 0; i < 12; ++i) {
        const CropBox& box = batch->boxes[i];
        const float at = down ? box.y : box.x;
        REQUIRE(at >= 0);
        REQUIRE(at + box.width <= kSide);
        // Where the crop lies in the whole picture, read back from the pixels.
        const int window = batch->pixels[i * 64] - 10 * batch->ids[i];
        const CropBox wanted = crop_box(augmentation, options.seed, epoch, batch->ids[i],
                                        down ? kSide : kLength, down ? kLength : kSide);
        const float wanted_at = down ? wanted.y : wanted.x;
        // A fractional crop nearly as wide as the window may be pushed by half a pixel; otherwise
        // only float rounding of numbers up to 20 remains.
        const float slack = wanted.width > kSide - 1 ? 0.5f + 1e-5f : 1e-5f;
        REQUIRE(std::abs(static_cast<float>(window) + at - wanted_at) <= slack);
        first = std::min(first, wanted_at);
        last = std::max(last, wanted_at + wanted.width);
      }
    }
    if (augmentation.crop != Crop::center) {
      CHECK(first < 1);
      CHECK(last > kLength - 1);
    }
  }
}

TEST_CASE("what a worker throws comes out of next, in the place of its batch") {
  const FailingPictures pictures(40, 17);
  for (const int threads : {1, 4}) {
    LoaderOptions options;
    options.batch_size = 5;
    options.shuffle = false;
    options.threads = threads;
    Loader loader(pictures, options);
    for (int attempt = 0; attempt < 2; ++attempt) {
      loader.start_epoch(0);
      for (int i = 0; i < 3; ++i) REQUIRE(loader.next() != nullptr);
      CHECK(message_of(ErrorKind::data, [&] { loader.next(); }) == "picture 17 is gone");
      CHECK(message_of(ErrorKind::data, [&] { loader.next(); }) == "picture 17 is gone");
    }
    loader.start_epoch(0, 4);  // what lies behind it still works
    REQUIRE(loader.next() != nullptr);
  }
}

TEST_CASE("with pictures in memory an epoch allocates nothing") {
  const MemoryDataset pictures = stored_pictures(2000);
  Loader loader(pictures, training(16, 3));
  loader.start_epoch(0);
  REQUIRE(loader.next() != nullptr);
  const long before = allocations;
  std::int64_t batches = 1;
  while (loader.next() != nullptr) ++batches;
  const long after = allocations;
  CHECK(batches == 125);
  CHECK(after == before);
}

TEST_CASE("a loader can be destroyed at any moment") {
  const MemoryDataset pictures = stored_pictures(400);
  for (int i = 0; i < 60; ++i) {
    Loader loader(pictures, training(7, 1 + i % 4));
    if (i % 3 == 0) continue;  // never started
    loader.start_epoch(0);
    for (int k = 0; k < i % 5; ++k) loader.next();
  }
}

TEST_CASE("waiting for the workers is measured and starts at zero") {
  const MemoryDataset pictures = stored_pictures(100);
  Loader loader(pictures, training(10, 1));
  CHECK(loader.data_wait_seconds() == 0);
  loader.start_epoch(0);
  while (loader.next() != nullptr) continue;
  CHECK(loader.data_wait_seconds() > 0);
  loader.start_epoch(1);
  CHECK(loader.data_wait_seconds() == 0);
}

TEST_CASE("options that make no batch are refused") {
  const MemoryDataset pictures = stored_pictures(10);
  const auto refused = [&](const LoaderOptions& options) {
    return message_of(ErrorKind::usage, [&] { const Loader loader(pictures, options); });
  };
  CHECK_CONTAINS(refused({.batch_size = 0}), "batch size: 0");
  CHECK_CONTAINS(refused({.batch_size = 11}), "is more than the 10 pictures; give at most 10");
  CHECK_CONTAINS(refused({.batch_size = 2, .threads = 0}), "loader threads: 0");
  CHECK_CONTAINS(refused({.batch_size = 2, .augmentation = {.crop_size = 5}}),
                 "does not fit pictures of 4 pixels");
}

}  // namespace nat::data
