// How names of files and folders tell pictures, classes and splits: the rules of image_folder.h,
// for folders on the disk and for those in archives.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "data/open.h"

namespace nat::data {

// .jpg .jpeg .png .bmp .ppm .pgm .tif .tiff .webp, in any case.
bool has_picture_name(const std::string& name);

// Without folders, or with a picture beside them, a root is one set without classes.
bool without_classes(const std::vector<std::string>& folders, bool has_pictures);

// Which of the folders below a root, sorted by bytes, holds a split: "train" and "test", else
// "val", where there are both, or "train" alone. Otherwise the root, "", is the training set.
std::optional<std::string> split_folder(const std::vector<std::string>& folders, Split split);

// A remark for every class without a picture.
void note_empty_classes(const std::vector<std::int32_t>& labels,
                        const std::vector<std::string>& class_names,
                        std::vector<std::string>& remarks);

}  // namespace nat::data
