// STL-10, binary version (A. Coates, H. Lee, A. Ng, "An analysis of single-layer networks in
// unsupervised feature learning", AISTATS 2011).
//
//   train_X.bin      5,000 pictures     train_y.bin   their labels
//   test_X.bin       8,000 pictures     test_y.bin    their labels
//   unlabeled_X.bin  100,000 pictures without labels, to learn features from
//   class_names.txt  ten names, one a line
//
//   picture   27648 bytes, 96x96: 9216 red, 9216 green, 9216 blue, each plane column by column
//   label     one byte, 1..10; ours are 0..9
//
// A folder (the one with these files or the one above it, then stl10_binary) is the labelled
// pictures. The path of unlabeled_X.bin, or of a picture file with another name, is that file: a
// training set without labels. fold_indices.txt is not read. Pictures are turned to (96, 96, 3).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/open.h"

namespace nat::data {

// A file is recognised by its name.
bool looks_like_stl10(const std::string& path);
bool stl10_has_split(const std::string& path, Split split);

// The files of both splits that are there; of a path that is one file without labels, that file.
std::vector<std::string> stl10_files(const std::string& path);

// limit < 0: all pictures; otherwise only those are read. threads: 0 = one a processor.
std::unique_ptr<Dataset> open_stl10(const std::string& path, Split split, std::int64_t limit,
                                    int threads);

}  // namespace nat::data
