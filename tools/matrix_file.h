// Square matrices of numbers, read from files for nat lap:
//
//   csv        rows of numbers between commas; recognised by its commas or the name *.csv[.gz]
//   npy        NumPy's: floats of 2, 4 or 8 bytes, whole numbers of 1 to 8 with or without sign (up
//              to 2^53 in magnitude: beyond, doubles have gaps), either byte order, C or Fortran
//   OR-Library text: n, then n n numbers between blanks and line ends, row by row
//
// Any of them may be gzip-compressed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace nat::tools {

struct SquareMatrix {
  std::int64_t n = 0;
  std::vector<double> values;  // (n, n)
};

inline constexpr std::int64_t kMostRows = 32768;

// 1 <= n <= kMostRows, all values finite. Error(data) with the name of the file, and the line or
// the row where there is one.
SquareMatrix read_square_matrix(const std::string& path);

}  // namespace nat::tools
