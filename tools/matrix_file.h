// Square matrices of numbers, read for nat lap from files, pipes and the standard input:
//
//   csv        rows of numbers between commas; recognised by a comma in the first row or the name
//              *.csv[.gz]
//   npy        NumPy's: floats of 2, 4 or 8 bytes, whole numbers of 1 to 8 with or without sign (up
//              to 2^53 in magnitude: beyond, doubles have gaps), either byte order, C or Fortran
//   OR-Library text: n, then n n numbers between blanks and line ends, row by row
//
// Any of them may be gzip-compressed. All are read once, from start to end, and no further than a
// matrix of their first row, or header, goes: what never ends is refused like any other.
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
inline constexpr const char* kStandardInput = "-";  // a path

// 1 <= n <= kMostRows, all values finite. Error(data) with the name of the file, and the line or
// the row where there is one. A pipe without a writer is waited for.
SquareMatrix read_square_matrix(const std::string& path);

}  // namespace nat::tools
