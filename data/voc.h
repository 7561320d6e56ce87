// Pascal VOC, several labels a picture (M. Everingham et al., The PASCAL Visual Object Classes
// Challenge, IJCV 2010; the layout is that of its development kit).
//
//   YEAR/JPEGImages/<id>.jpg                   ids are text: "000005", "2008_000008"
//   YEAR/ImageSets/Main/trainval.txt, test.txt one id a line, in the order of our ids; these are
//                                              Split::train and Split::test
//   YEAR/ImageSets/Main/<class>_trainval.txt, <class>_test.txt
//                                              "<id> <flag>" a line, padded with blanks; every id
//                                              once, in any order. 1: an object of the class is in
//                                              the picture, -1: none is, 0: only difficult ones
//
// PATH is YEAR, or holds exactly one YEAR, itself or in its folder VOCdevkit. Classes are those of
// the class files, sorted by bytes, the same in both splits; without class files a split has no
// labels. Annotations (XML) are not read.
#pragma once

#include <memory>
#include <string>

#include "data/open.h"
#include "data/picture_files.h"

namespace nat::data {

// Also where PATH holds several years, which open_voc refuses.
bool looks_like_voc(const std::string& path);
bool voc_has_split(const std::string& path, Split split);

// A listed picture that is missing is an error; one that cannot be decoded is a bad picture.
std::unique_ptr<Dataset> open_voc(const std::string& path, Split split,
                                  const PictureFileOptions& options);

}  // namespace nat::data
