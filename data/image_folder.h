// Folders of pictures.
//
//   root/<class>/[sub/...]file   ImageNet's layout: the label is the position of the class among
//                                the folders directly below root, sorted by bytes, empty ones too
//   root/[sub/...]file           with a picture directly in root: one flat set without labels
//
// root is PATH/train or PATH/test (else PATH/val) when PATH has train and test or val, or train
// alone; otherwise PATH itself, which is then a training set. Test classes must be the training
// classes. Names ending in .jpg .jpeg .png .bmp .ppm .pgm .tif .tiff .webp (any case) are taken;
// those whose content cannot be decoded are listed as bad with the reason. Links are followed, each
// folder once.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/decode.h"
#include "data/open.h"

namespace nat::data {

constexpr int kMaxPictureSize = 4096;

struct FolderOptions {
  int picture_size = 0;     // short side after resizing; 0 = their median, at most 256
  std::int64_t limit = -1;  // < 0: all
  int threads = 0;
  double max_bad_percent = 5;
  std::vector<Quarantined> quarantined = {};  // by the run that goes on
};

bool image_folder_has_split(const std::string& path, Split split);

// Reads the header of every picture; decodes when pictures are read.
std::unique_ptr<Dataset> open_image_folder(const std::string& path, Split split,
                                           const FolderOptions& options);

}  // namespace nat::data
