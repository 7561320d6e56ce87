// How names of files and folders tell pictures, classes and splits: the rules of image_folder.h,
// for folders on the disk and for those in archives.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "data/open.h"

namespace nat::data {

// .jpg .jpeg .png .bmp .ppm .pgm .tif .tiff .webp, in any case.
bool has_picture_name(const std::string& name);

// Without folders, or with a picture beside them, a root is one set without classes.
bool without_classes(const std::vector<std::string>& folders, bool has_pictures);

// Which of the folders below a root, sorted by bytes, holds a split, in any case of its name:
// "train" and "test", else "val", "valid" or "validation", where there are both, or "train" alone.
// Otherwise the root, "", is the training set. Of several test folders it is the first that
// `is_labelled` says has class folders, if there is one.
using IsLabelled = std::function<bool(const std::string& folder)>;
std::optional<std::string> split_folder(
    const std::vector<std::string>& folders, Split split,
    const IsLabelled& is_labelled = [](const std::string&) { return true; });

// A remark where `test`, which split_folder chose, is not the one that the names alone say.
void note_passed_over(const std::vector<std::string>& folders, const std::string& test,
                      std::vector<std::string>& remarks);

// A remark where a root has folders and yet no labels, because of pictures beside them: `first`,
// and perhaps others.
void note_pictures_beside(std::size_t folders, const std::string& first, std::int64_t pictures,
                          std::vector<std::string>& remarks);

// A remark for every class with the name of a split.
void note_split_names(const std::vector<std::string>& class_names,
                      std::vector<std::string>& remarks);

// A remark for every class without a picture.
void note_empty_classes(const std::vector<std::int32_t>& labels,
                        const std::vector<std::string>& class_names,
                        std::vector<std::string>& remarks);

}  // namespace nat::data
