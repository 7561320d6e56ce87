#include "nat/assigner.h"

#include "kernels/gemm.h"
#include "kernels/reduce.h"

namespace nat {

namespace {

Buffer elements(Context& ctx, std::int64_t count) {
  static_assert(sizeof(float) == sizeof(std::int32_t));
  return {ctx.device, static_cast<std::size_t>(count) * sizeof(float), "assigner"};
}

View f32(const Buffer& buffer, Shape shape) { return {buffer.data(), DType::f32, shape}; }

}  // namespace

Assigner::Assigner(Context& ctx, std::int64_t max_batch, std::int64_t dimension)
    : max_batch_(max_batch),
      dimension_(dimension),
      mean_(elements(ctx, dimension)),
      centred_(elements(ctx, max_batch * dimension)),
      scores_(elements(ctx, max_batch * max_batch)),
      cosines_(elements(ctx, max_batch)),
      prices_(elements(ctx, max_batch)) {}

void Assigner::assign(Context& ctx, ConstView z, ConstView targets, const Assignment& result) {
  const std::int64_t n = z.shape[0];
  NAT_CHECK(
      z.shape == Shape(n, dimension_) && targets.shape == z.shape && n >= 1 && n <= max_batch_,
      ErrorKind::unexpected, "assigner: features ", to_string(z.shape), " and targets ",
      to_string(targets.shape), ", made for up to ", max_batch_, " rows of ", dimension_);
  const View cosines = f32(cosines_, Shape(n));
  row_dot(ctx, z, targets, cosines);
  sum(ctx, cosines, result.cosine_sum);
  const View prices(prices_.data(), DType::i32, Shape(n));
  lap_solve(ctx, LapOptions{}, centred_scores(ctx, z, targets), result.column_of_row, prices,
            result.lap);
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
