#include "data/augment.h"

#include <algorithm>
#include <cmath>

#include "kernels/check.h"
#include "kernels/random.h"

namespace nat::data {

CropBox crop_box(const Augmentation& augmentation, std::uint64_t seed, std::uint32_t epoch,
                 std::int32_t id, int width, int height) {
  const Random4 random = philox(seed, RandomStream::crop, epoch, static_cast<std::uint64_t>(id));
  const auto u = [&](int k) { return uniform(random.value[k]); };
  const int short_side = std::min(width, height);
  const int fixed_side = augmentation.crop_size > 0 ? augmentation.crop_size : short_side;

  CropBox box;
  switch (augmentation.crop) {
    case Crop::center:
      box.width = static_cast<float>(fixed_side);
      box.x = static_cast<float>((width - fixed_side) / 2);
      box.y = static_cast<float>((height - fixed_side) / 2);
      break;
    case Crop::random_area: {
      // fma, so that no compiler rounds a crop differently.
      const float area =
          std::fma(augmentation.max_area - augmentation.min_area, u(2), augmentation.min_area);
      box.width = std::sqrt(area) * static_cast<float>(short_side);
      box.x = u(0) * (static_cast<float>(width) - box.width);
      box.y = u(1) * (static_cast<float>(height) - box.width);
      break;
    }
    case Crop::random_shift:
      box.width = static_cast<float>(fixed_side);
      box.x = std::floor(u(0) * static_cast<float>(width - fixed_side + 1));
      box.y = std::floor(u(1) * static_cast<float>(height - fixed_side + 1));
      break;
  }
  box.height = box.width;
  box.flip = augmentation.flip && u(3) < 0.5f ? 1.0f : 0.0f;
  return box;
}

Augmentation evaluation_view(const Augmentation& training) {
  Augmentation view;
  view.crop_size = training.crop == Crop::random_area ? 0 : training.crop_size;
  return view;
}

void check_augmentation(const Augmentation& augmentation, int short_side) {
  if (augmentation.crop == Crop::random_area) {
    NAT_CHECK(augmentation.min_area > 0 && augmentation.min_area <= augmentation.max_area &&
                  augmentation.max_area <= 1,
              ErrorKind::usage, "crop area: ", augmentation.min_area, " to ", augmentation.max_area,
              " is not a range within (0, 1]; give for example 0.5 to 1");
    return;
  }
  NAT_CHECK(augmentation.crop_size >= 0 && augmentation.crop_size <= short_side, ErrorKind::usage,
            "crop size: ", augmentation.crop_size, " does not fit pictures of ", short_side,
            " pixels; give at most ", short_side);
}

}  // namespace nat::data
