// Pictures in tar archives, read where they are.
//
//   NAME.tar                         one archive
//   DIR/train-{000000..000146}.tar   a range of archives, zeros in front as the numbers have here
//   FOLDER                           the .tar files in it, sorted by bytes
//
// Without members *.cls an archive is a folder of pictures: classes, labels, ids and names
// are those that image_folder.h finds where it is unpacked, one archive after the other. Folders
// that all members share are passed ("tar cf x.tar PICTURES" packs one), unless the archive has its
// root "./" as a member ("tar cf x.tar -C PICTURES ."). Archives in an archive are class folders.
//
// With members *.cls they are shards of WebDataset. Members that follow each other and agree up to
// the first dot behind the last slash are one sample: a picture, named like those of a folder, and
// *.cls, its label as a decimal number, which all samples have. Ids go by position. What else a
// sample has, and names that begin with "__", are ignored.
//
// Splits of a FOLDER: its folders train and test, val, valid or validation, if they hold the
// archives; else archives with these words in their names ("img_train-000.tar"; a word is a run of
// letters, in any case). Otherwise, as of an image folder, such folders in the archives: there, of
// several test folders, one with class folders comes first.
#pragma once

#include <memory>
#include <string>

#include "data/open.h"
#include "data/picture_files.h"

namespace nat::data {

bool tar_shards_have_split(const std::string& path, Split split);

std::unique_ptr<Dataset> open_tar_shards(const std::string& path, Split split,
                                         const PictureFileOptions& options);

}  // namespace nat::data
