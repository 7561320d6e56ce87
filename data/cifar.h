// CIFAR-10 and CIFAR-100, binary version (A. Krizhevsky, "Learning multiple layers of features from
// tiny images", 2009).
//
//   CIFAR-10   3073 bytes a record: label 0..9, pixels
//   CIFAR-100  3074 bytes a record: coarse label 0..19, fine label 0..99 (the one used), pixels
//   pixels     32x32: 1024 red, 1024 green, 1024 blue bytes, each plane row by row
//
// CIFAR-10: data_batch_1.bin .. data_batch_5.bin, test_batch.bin, names in batches.meta.txt; the
// batches may stop early but not leave one out. CIFAR-100: train.bin, test.bin, names in
// fine_label_names.txt. The path is the folder with these files or the one above it. Pictures are
// turned to (32, 32, 3).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/open.h"

namespace nat::data {

bool looks_like_cifar(const std::string& path, Format format);
bool looks_like_pickled_cifar(const std::string& path);
bool cifar_has_split(const std::string& path, Format format, Split split);

// The files of both splits that are there.
std::vector<std::string> cifar_files(const std::string& path, Format format);

// format: Format::cifar10 or Format::cifar100. limit < 0: all pictures.
std::unique_ptr<Dataset> open_cifar(const std::string& path, Format format, Split split,
                                    std::int64_t limit);

}  // namespace nat::data
