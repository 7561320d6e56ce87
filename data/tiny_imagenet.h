// Tiny ImageNet (Stanford's CS231n, 2015): 200 classes of ImageNet, 64x64 pixels.
//
//   train/<wnid>/images/<wnid>_<number>.JPEG
//   val/images/val_<number>.JPEG           the pictures of Split::test
//   val/val_annotations.txt                "<file> <wnid> <box>" a line; the order is that of our
//                                          ids, the box is not read
//   wnids.txt                              a tell-tale only
//   words.txt                              "<wnid> tab <name>, <other name>, ..." a line; optional
//
// PATH is the folder with train/, or holds it as tiny-imagenet-200. The label is the position of
// the wnid among the folders of train/, sorted by bytes. A class is named "goldfish (n01443537)",
// which is readable under a picture and different for every class, or by its wnid alone where
// words.txt has no name. test/ has no labels and is not read.
#pragma once

#include <memory>
#include <string>

#include "data/open.h"
#include "data/picture_files.h"

namespace nat::data {

bool looks_like_tiny_imagenet(const std::string& path);
bool tiny_imagenet_has_split(const std::string& path, Split split);

// Annotations and the pictures beside them must name each other; a picture that cannot be decoded
// is a bad picture.
std::unique_ptr<Dataset> open_tiny_imagenet(const std::string& path, Split split,
                                            const PictureFileOptions& options);

}  // namespace nat::data
