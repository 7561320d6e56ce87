// Pictures in files of their own or in archives, whatever says which files they are: what folders
// of pictures, VOC, Tiny ImageNet and tar archives have in common.
//
// The header of every picture file is read when the data set is opened, the pixels when a picture
// is read. What cannot be decoded is a bad picture with its reason.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace nat::data {

constexpr int kMaxPictureSize = 4096;

struct PictureFileOptions {
  int picture_size = 0;     // short side after resizing; 0 = their median, at most 256
  std::int64_t limit = -1;  // < 0: all
  int threads = 0;
  double max_bad_percent = 5;
  std::vector<Quarantined> quarantined = {};  // by the run that goes on
};

// found: format, source, remarks, class names, and of every picture in the order of ids its path
// below `root` and, where there are any, its label or flags. The limit is applied here; shape,
// size, files and content follow from the files.
std::unique_ptr<Dataset> open_picture_files(Catalog found, const std::string& root,
                                            const PictureFileOptions& options);

// The same where picture i is not a file but parts[i], bytes in the middle of one of the archives.
// An archive is opened for each picture that is read, so their number is not limited.
struct ArchivePart {
  std::int32_t archive = 0;  // in archives
  std::int64_t offset = 0, size = 0;
};
struct PictureParts {
  std::vector<std::string> archives;
  std::vector<ArchivePart> parts;  // of every picture, in the order of ids
};
std::unique_ptr<Dataset> open_picture_parts(Catalog found, PictureParts where,
                                            const PictureFileOptions& options);

// Just these files, in this order, without labels, to be compared with pictures of shape `like`:
// its short side is theirs, and where it has one channel theirs is the mean of the colours. Those
// that cannot be read are bad pictures.
std::unique_ptr<Dataset> open_single_files(const std::vector<std::string>& files,
                                           const PictureShape& like);

// Labels of the two splits mean the same only when their classes are the same; both lists are
// sorted. `holders` says in the message what the classes are read from: "class folders".
void require_same_classes(const std::string& source, const std::string& holders,
                          const std::vector<std::string>& train,
                          const std::vector<std::string>& test);

}  // namespace nat::data
