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

  const auto square_at = [fixed_side](int x, int y) {
    const auto side = static_cast<float>(fixed_side);
    return CropBox{.x = static_cast<float>(x), .y = static_cast<float>(y), .width = side};
  };
  const int right = width - fixed_side, bottom = height - fixed_side;

  CropBox box;
  switch (augmentation.crop) {
    case Crop::center:
      box = square_at(right / 2, bottom / 2);
      break;
    case Crop::top_left:
      box = square_at(0, 0);
      break;
    case Crop::top_right:
      box = square_at(right, 0);
      break;
    case Crop::bottom_left:
      box = square_at(0, bottom);
      break;
    case Crop::bottom_right:
      box = square_at(right, bottom);
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
      box.x = std::floor(u(0) * static_cast<float>(right + 1));
      box.y = std::floor(u(1) * static_cast<float>(bottom + 1));
      break;
  }
  box.height = box.width;
  const bool mirrored =
      augmentation.mirror == Mirror::always || (augmentation.mirror == Mirror::half && u(3) < 0.5f);
  box.flip = mirrored ? 1.0f : 0.0f;
  return box;
}

Augmentation evaluation_view(const Augmentation& training) {
  Augmentation view;
  view.crop_size = training.crop == Crop::random_area ? 0 : training.crop_size;
  return view;
}

std::vector<Augmentation> evaluation_views(const Augmentation& training, int views,
                                           int short_side) {
  NAT_CHECK(views == 1 || views == 2 || views == 10, ErrorKind::usage, "--views ", views,
            " is not one of the choices; give 1, 2 or 10");
  const Augmentation middle = evaluation_view(training);
  NAT_CHECK(views < 10 || (middle.crop_size > 0 && middle.crop_size < short_side), ErrorKind::usage,
            "--views 10: 10 views need crops smaller than the picture, but in this run the crop is "
            "the whole of its ",
            short_side,
            " pixels; give 1 or 2, or train with --crop shift and a larger --stored-size");
  std::vector<Augmentation> chosen;
  const auto add = [&](Crop crop) {
    for (const Mirror mirror : {Mirror::never, Mirror::always}) {
      if (mirror == Mirror::always && views == 1) continue;
      Augmentation view = middle;
      view.crop = crop;
      view.mirror = mirror;
      chosen.push_back(view);
    }
  };
  add(Crop::center);
  if (views < 10) return chosen;
  for (const Crop corner :
       {Crop::top_left, Crop::top_right, Crop::bottom_left, Crop::bottom_right}) {
    add(corner);
  }
  return chosen;
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
