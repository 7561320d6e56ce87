// Small dense helpers.
//
//   column_mean    mean[j] = sum_i x[i,j] / n                          x (n, d), mean (d)
//   center_rows    y[i,j] = x[i,j] - mean[j]                           y may be the memory of x
//   row_dot        dot[i] = a_i . b_i                                  a, b (n, d), dot (n)
//   sum            total[0] = sum of x, accumulated in double           total (1)
//
// f32, or all f64. Sums over rows use a fixed number of chunks combined in order: the result does
// not depend on the number of threads.
#pragma once

#include "kernels/op.h"
#include "kernels/view.h"

namespace nat {

using ColumnMean = void(Context&, ConstView x, View mean);
using CenterRows = void(Context&, ConstView x, ConstView mean, View y);
using RowDot = void(Context&, ConstView a, ConstView b, View dot);
using Sum = void(Context&, ConstView x, View total);

namespace cpu {
ColumnMean column_mean;
CenterRows center_rows;
RowDot row_dot;
Sum sum;
}  // namespace cpu
namespace gpu {
ColumnMean column_mean;
CenterRows center_rows;
RowDot row_dot;
Sum sum;
}  // namespace gpu

inline constexpr Op<ColumnMean> column_mean{cpu::column_mean, gpu_or_null<gpu::column_mean>()};
inline constexpr Op<CenterRows> center_rows{cpu::center_rows, gpu_or_null<gpu::center_rows>()};
inline constexpr Op<RowDot> row_dot{cpu::row_dot, gpu_or_null<gpu::row_dot>()};
inline constexpr Op<Sum> sum{cpu::sum, gpu_or_null<gpu::sum>()};

}  // namespace nat
