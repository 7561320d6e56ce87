#include "nat/assigner.h"

#include <numeric>

#include "kernels/gemm.h"
#include "kernels/reduce.h"

namespace nat {

namespace {

Buffer elements(Context& ctx, std::int64_t count) {
  static_assert(sizeof(float) == sizeof(std::int32_t));
  return {ctx.device, static_cast<std::size_t>(count) * sizeof(float), "assigner"};
}

View f32(const Buffer& buffer, Shape shape) { return {buffer.data(), DType::f32, shape}; }
View i32(const Buffer& buffer, Shape shape) { return {buffer.data(), DType::i32, shape}; }

}  // namespace

Assigner::Assigner(Context& ctx, std::int64_t max_batch, std::int64_t dimension)
    : max_batch_(max_batch),
      dimension_(dimension),
      mean_(elements(ctx, dimension)),
      centred_(elements(ctx, max_batch * dimension)),
      scores_(elements(ctx, max_batch * max_batch)),
      cosines_(elements(ctx, max_batch)),
      column_of_row_(elements(ctx, max_batch)),
      prices_(elements(ctx, max_batch)),
      report_(ctx.device, sizeof(LapReport), "assigner") {}

Assignment Assigner::assign(Context& ctx, ConstView z, ConstView targets) {
  const std::int64_t n = z.shape[0];
  NAT_CHECK(
      z.shape == Shape(n, dimension_) && targets.shape == z.shape && n >= 1 && n <= max_batch_,
      ErrorKind::unexpected, "assigner: features ", to_string(z.shape), " and targets ",
      to_string(targets.shape), ", made for up to ", max_batch_, " rows of ", dimension_);
  Assignment assignment;
  assignment.mean_cosine_before = mean_cosine(ctx, z, targets);

  const View scores = centred_scores(ctx, z, targets);
  const View column_of_row = i32(column_of_row_, Shape(n));
  lap_solve(ctx, LapOptions{}, scores, column_of_row, i32(prices_, Shape(n)),
            report_.as<LapReport>());
  const Shape report_bytes(sizeof(LapReport));
  copy_to_host(ctx, ConstView(report_.data(), DType::u8, report_bytes),
               View(&assignment.lap, DType::u8, report_bytes));
  synchronize(ctx);
  assignment.column_of_row = {column_of_row.as<std::int32_t>(), static_cast<std::size_t>(n)};

  // Centring took the same amount from the value of every permutation.
  const double gain = assignment.lap.value - assignment.lap.identity_value;
  assignment.mean_cosine_after = assignment.mean_cosine_before + gain / static_cast<double>(n);
  return assignment;
}

double Assigner::mean_cosine(Context& ctx, ConstView z, ConstView targets) {
  const View cosines = f32(cosines_, Shape(z.shape[0]));
  row_dot(ctx, z, targets, cosines);
  const std::span<const float> values(cosines.as<float>(), static_cast<std::size_t>(z.shape[0]));
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

View Assigner::centred_scores(Context& ctx, ConstView z, ConstView targets) {
  const std::int64_t n = z.shape[0];
  const View mean = f32(mean_, Shape(dimension_));
  const View centred = f32(centred_, z.shape);
  const View scores = f32(scores_, Shape(n, n));
  column_mean(ctx, z, mean);
  center_rows(ctx, z, mean, centred);
  gemm(ctx, Transpose::no, Transpose::yes, 0, centred, targets, scores);
  return scores;
}

}  // namespace nat
