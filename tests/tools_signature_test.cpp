// The signature of a training run: twenty seeded steps of a small network, from the order of the
// pictures to the loss, against committed numbers.
//
// Orders, crops, targets and the assignment are integers or exact by design: they must be the same
// on every machine. Losses differ in their last bits from processor to processor and are compared
// to 1e-4. A change that moves any of these numbers changes what every seed computes: make it
// knowingly, and commit the new numbers with it.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "data/augment.h"
#include "data/fingerprint.h"
#include "data/order.h"
#include "engine/init.h"
#include "nat/trainer.h"
#include "tests/tiny_network.h"
#include "tests/tiny_pictures.h"

using namespace nat;
using namespace nat::test;
using data::Fingerprint;

namespace {

constexpr std::uint64_t kSeed = 2017;
constexpr std::int64_t kImages = 64, kBatch = 16, kDimension = 16;
constexpr std::uint32_t kEpochs = 5;
constexpr int kStored = 14;  // pixels; crops of 12 at integers are exact copies

struct Signature {
  std::vector<double> losses;
  std::int64_t moved = 0;
  Fingerprint order, crops, targets, assignment;
};

// One batch of cropped pictures in memory of its own.
class CroppedBatch {
 public:
  CroppedBatch(const TinyPictures& pictures, std::uint32_t epoch,
               std::span<const std::int32_t> ids) {
    constexpr std::int64_t kPixels = kStored * kStored;
    const data::Augmentation augmentation{
        .crop = data::Crop::random_shift, .crop_size = 12, .mirror = data::Mirror::half};
    for (const std::int32_t id : ids) {
      ids_.push_back(id);
      pixels_.insert(pixels_.end(), pictures.picture(id), pictures.picture(id) + kPixels);
      boxes_.push_back(data::crop_box(augmentation, kSeed, epoch, id, kStored, kStored));
    }
  }
  ImageBatch view(const TinyPictures& pictures) const {
    const auto n = static_cast<std::int64_t>(ids_.size());
    return {.ids = ids_,
            .pixels = ConstView(pixels_.data(), DType::u8, pictures.shape(n)),
            .boxes = ConstView(boxes_.data(), DType::f32, Shape(n, 5))};
  }
  void add_to(Signature& signature) const {
    for (const std::int32_t id : ids_) signature.order.add(std::int64_t{id});
    for (const CropBox& box : boxes_) {
      for (const float side : {box.x, box.y, box.width, box.height, box.flip}) {
        signature.crops.add(static_cast<std::int64_t>(side));
      }
    }
  }

 private:
  std::vector<std::int32_t> ids_;
  std::vector<std::uint8_t> pixels_;
  std::vector<CropBox> boxes_;
};

void add_targets(Context& ctx, Targets& targets, Signature& signature) {
  const std::vector<std::int32_t> ids = data::epoch_order(kSeed, 0, kImages, false);
  std::vector<std::int32_t> held(ids.size());
  std::vector<float> rows(static_cast<std::size_t>(kImages * kDimension));
  const View held_view(held.data(), DType::i32, Shape(kImages));
  targets.held(ctx, ConstView(ids.data(), DType::i32, Shape(kImages)), held_view);
  targets.rows(ctx, held_view, View(rows.data(), DType::f32, Shape(kImages, kDimension)));
  for (const float value : rows) {
    signature.targets.add(std::int64_t{__builtin_bit_cast(std::int32_t, value)});
  }
}

Signature train() {
  Signature signature;
  Context ctx;
  const TinyPictures pictures(kImages, kStored);
  Sequential net = tiny_network(ctx, {.dimension = kDimension, .dropout = 0.5f});
  initialize(ctx, Init::he, kSeed, net.parameters());
  Targets targets(ctx, kSeed, kImages, kDimension);
  add_targets(ctx, targets, signature);
  const TrainerOptions options{
      .mean_loss = true, .sgd = {.momentum = 0.9f, .weight_decay = 1e-4f}, .seed = kSeed};
  Trainer trainer(ctx, net, targets, options, pictures.shape(kBatch));
  std::uint32_t step = 0;
  for (std::uint32_t epoch = 0; epoch < kEpochs; ++epoch) {
    const std::vector<std::int32_t> order = data::epoch_order(kSeed, epoch, kImages, true);
    for (std::size_t first = 0; first < order.size(); first += kBatch) {
      const CroppedBatch batch(pictures, epoch, std::span(order).subspan(first, kBatch));
      batch.add_to(signature);
      const StepReport report =
          trainer.step(ctx, batch.view(pictures),
                       {.step = step++, .reassign = reassigns(epoch, 3), .learning_rate = 0.02});
      signature.losses.push_back(report.loss);
      signature.moved += report.moved;
    }
  }
  for (const std::int32_t row : targets.permutation(ctx))
    signature.assignment.add(std::int64_t{row});
  return signature;
}

}  // namespace

TEST_CASE("twenty seeded steps compute what they always did") {
  const Signature signature = train();
  CHECK(signature.order.value() == 13755235433132423109u);
  CHECK(signature.crops.value() == 10642504330252426020u);
  CHECK(signature.targets.value() == 14210099769056289092u);
  CHECK(signature.assignment.value() == 14826293685192997957u);
  CHECK(signature.moved == 120);
  REQUIRE(signature.losses.size() == 20);
  CHECK(signature.losses[0] == doctest::Approx(1.28486).epsilon(1e-4));
  CHECK(signature.losses[4] == doctest::Approx(2.04693).epsilon(1e-4));
  CHECK(signature.losses[12] == doctest::Approx(1.27066).epsilon(1e-4));
  CHECK(signature.losses[19] == doctest::Approx(1.71465).epsilon(1e-4));
}

TEST_CASE("the same seed computes the same bits twice") { CHECK(train().losses == train().losses); }
