// Folders of pictures.
//
//   root/<class>/[sub/...]file   ImageNet's layout: the label is the position of the class among
//                                the folders directly below root, sorted by bytes, empty ones too
//   root/[sub/...]file           with a picture directly in root: one flat set without labels
//
// root is PATH/train or PATH/test (else PATH/val, valid or validation; of several the first with
// class folders) when PATH has train and one of these, or train alone; otherwise PATH itself, which
// is then a training set. The names of splits may be written in any case. Test classes must be the
// training classes. Names ending in .jpg .jpeg .png .bmp .ppm .pgm .tif .tiff .webp (any case) are
// taken; those whose content cannot be decoded are listed as bad with the reason. Links are
// followed, each folder once: pictures that lie below root belong to the class in whose folder they
// lie, whatever link leads there; what is left out for that is told in a remark.
#pragma once

#include <memory>
#include <string>

#include "data/open.h"
#include "data/picture_files.h"

namespace nat::data {

bool image_folder_has_split(const std::string& path, Split split);

std::unique_ptr<Dataset> open_image_folder(const std::string& path, Split split,
                                           const PictureFileOptions& options);

}  // namespace nat::data
