// What both backends of kernels/lap.h refuse.
#pragma once

#include "kernels/check.h"
#include "kernels/lap.h"

namespace nat::lap {

inline void check_square(const ConstView& scores) {
  NAT_CHECK(scores.shape.rank == 2 && scores.shape[0] == scores.shape[1], ErrorKind::usage,
            "lap_solve: scores are ", to_string(scores.shape), "; give a square matrix");
}

// One or several problems, one below the other.
inline void check_arguments(const LapOptions& options, const ConstView& scores,
                            const View& column_of_row, const View& prices,
                            const LapReport* report) {
  const Shape& shape = scores.shape;
  NAT_CHECK(shape.rank == 2 && scores.dtype == DType::f32 &&
                (shape[1] == 0 ? shape[0] == 0 : shape[0] % shape[1] == 0),
            ErrorKind::usage, "lap_solve: scores are ", to_string(shape), " ", name(scores.dtype),
            "; give square f32 matrices, one below the other");
  const Shape vector(shape[0]);
  NAT_CHECK(column_of_row.shape == vector && column_of_row.dtype == DType::i32 &&
                prices.shape == vector && prices.dtype == DType::i32,
            ErrorKind::usage, "lap_solve: column_of_row is ", to_string(column_of_row.shape), " ",
            name(column_of_row.dtype), " and prices ", to_string(prices.shape), " ",
            name(prices.dtype), "; both must be i32 of ", shape[0], " elements");
  NAT_CHECK(report != nullptr, ErrorKind::usage, "lap_solve: there is nowhere to report to");
  NAT_CHECK((options.alpha == 0 || options.alpha >= 2) && options.cut_div >= 0 &&
                options.round_cap >= 0 && options.finest_div >= 0 &&
                options.finest_div <= kLapLevels,
            ErrorKind::usage, "lap_solve: alpha is ", options.alpha, ", cut_div ", options.cut_div,
            ", round_cap ", options.round_cap, ", finest_div ", options.finest_div,
            "; alpha must be at least 2, the others positive, finest_div at most ", kLapLevels,
            ", or 0 for automatic");
  NAT_CHECK(options.shared_kib >= 0, ErrorKind::usage, "lap_solve: shared_kib is ",
            options.shared_kib, "; give KiB, or 0 for what the device has");
}

}  // namespace nat::lap
