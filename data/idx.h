// IDX files, the format of MNIST, Fashion-MNIST, KMNIST, EMNIST and QMNIST (Y. LeCun's MNIST page).
//
//   0  0  type  d | d sizes, 32-bit big-endian | data, last index fastest
//   type 08 = unsigned byte; pictures 00 00 08 03 (n, rows, columns), labels 00 00 08 01 (n)
//
// A folder holds train-images-idx3-ubyte, train-labels-idx1-ubyte and the same with t10k- for the
// test pictures; each may end in .gz, and some copies write ".idx" for "-idx". A path may also name
// one pictures file. Labels are optional. Pictures have one channel.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/open.h"

namespace nat::data {

bool looks_like_idx(const std::string& path);
bool idx_has_split(const std::string& path, Split split);

// The files of both splits that are there.
std::vector<std::string> idx_files(const std::string& path);

// limit < 0: all pictures.
std::unique_ptr<Dataset> open_idx(const std::string& path, Split split, std::int64_t limit);

}  // namespace nat::data
