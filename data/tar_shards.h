// Pictures in tar archives, which stay packed.
//
//   PATH.tar                     one archive
//   DIR/train-{000000..000146}.tar   a range of archives; numbers get zeros in front as they have
//   here FOLDER                       the .tar files in it, sorted by bytes
//
// Without members *.cls an archive is a folder of pictures: classes, labels, ids and names are
// those that image_folder.h would find where it was unpacked. Folders that all members share are
// passed
// ("tar cf x.tar PICTURES" packs one), unless the archive has its root "./" as a member ("tar cf
// x.tar -C PICTURES ."). An archive in the archive is a class folder (ILSVRC2012_img_train.tar).
//
// With them the archives are shards of WebDataset: members that follow each other and agree up to
// the first dot behind the last slash are one sample: its picture, named like those of a folder,
// and
// *.cls, the label as a decimal number, which every sample then has. Names that begin with "__" and
// what else a sample has are ignored.
//
// Splits of a FOLDER: its folders train and test or val if they hold the archives; else its
// archives with the word train, and test, or val or validation, in their names
// ("img_train-000.tar"; words are runs of letters). Else, as of an image folder, folders train and
// test or val in the archives. Ids go through the archives in turn; in a shard by position.
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
