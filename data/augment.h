// Which part of a picture the network sees in an epoch: a pure function of (seed, epoch, id), so
// that neither the number of workers nor the point of resume changes a crop.
//
//   r = philox(seed, crop, epoch, id), u_k = uniform(r_k)
//   center        the middle square of crop_size (0: the whole short side), at integers
//   top_left, top_right, bottom_left, bottom_right   the same square in a corner
//   random_area   square of side sqrt(min_area + (max_area - min_area) u_2) min(width, height) at
//                 x = u_0 (width - side), y = u_1 (height - side), fractions kept
//   random_shift  square of crop_size at x = floor(u_0 (width - crop_size + 1)), y likewise from
//                 u_1; the official recipe is 224 out of short side 256
//   mirror        never, always, or when u_3 < 1/2
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/crop_box.h"

namespace nat::data {

enum class Crop {
  center,
  top_left,
  top_right,
  bottom_left,
  bottom_right,
  random_area,
  random_shift
};
enum class Mirror { never, half, always };

struct Augmentation {
  Crop crop = Crop::center;
  float min_area = 0.5f, max_area = 1.0f;  // random_area: part of the largest square
  int crop_size = 0;                       // of the others: pixels of the stored picture
  Mirror mirror = Mirror::never;
};

// width, height: the whole picture, Dataset::extent. The box lies inside it.
CropBox crop_box(const Augmentation& augmentation, std::uint64_t seed, std::uint32_t epoch,
                 std::int32_t id, int width, int height);

// The view for evaluation, never mirrored: the middle crop of the same size or, where training
// takes crops of any size (random_area), the whole middle square.
Augmentation evaluation_view(const Augmentation& training);

// So many views of every picture, for predictions that are averaged: 1, the evaluation view; 2,
// that and its mirror image; 10, the four corners and the middle and their mirror images
// (Krizhevsky, Sutskever and Hinton 2012). Error{usage} for other numbers, and for 10 when a crop
// leaves nothing of pictures of this short side.
std::vector<Augmentation> evaluation_views(const Augmentation& training, int views, int short_side);

// Error{usage} when the crop does not fit into stored pictures of this short side or an area is out
// of (0, 1].
void check_augmentation(const Augmentation& augmentation, int short_side);

}  // namespace nat::data
