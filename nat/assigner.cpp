#include "nat/assigner.h"

#include "kernels/gemm.h"
#include "kernels/reduce.h"
#include "nat/approximate_assignment.h"

namespace nat {

namespace {

Buffer elements(Context& ctx, std::int64_t count) {
  static_assert(sizeof(float) == sizeof(std::int32_t));
  return {ctx.device, static_cast<std::size_t>(count) * sizeof(float), "assigner"};
}

View f32(const Buffer& buffer, Shape shape) { return {buffer.data(), DType::f32, shape}; }

}  // namespace

Assigner::Assigner(Context& ctx, std::int64_t max_pool, std::int64_t dimension,
                   AssignmentSolver solver)
    : max_pool_(max_pool),
      dimension_(dimension),
      solver_(solver),
      mean_(elements(ctx, dimension)),
      centred_(elements(ctx, max_pool * dimension)),
      scores_(elements(ctx, max_pool * max_pool)),
      cosines_(elements(ctx, max_pool)),
      prices_(elements(ctx, max_pool)) {
  NAT_CHECK(ctx.device == Device::cpu || solver == AssignmentSolver::exact ||
                solver == AssignmentSolver::auction,
            ErrorKind::usage, "--solver greedy and sinkhorn run on the CPU only, not on ",
            name(ctx.device), "; use --solver exact, or --device cpu");
}

void Assigner::assign(Context& ctx, ConstView z, ConstView targets, const Assignment& result) {
  const std::int64_t n = z.shape[0];
  NAT_CHECK(z.shape == Shape(n, dimension_) && targets.shape == z.shape && n >= 1 && n <= max_pool_,
            ErrorKind::unexpected, "assigner: features ", to_string(z.shape), " and targets ",
            to_string(targets.shape), ", made for up to ", max_pool_, " rows of ", dimension_);
  const View cosines = f32(cosines_, Shape(n));
  row_dot(ctx, z, targets, cosines);
  sum(ctx, cosines, result.cosine_sum);
  solve(ctx, centred_scores(ctx, z, targets), result);
}

void Assigner::solve(Context& ctx, ConstView scores, const Assignment& result) {
  const View column = result.column_of_row;
  if (solver_ == AssignmentSolver::greedy) return assign_greedily(ctx, scores, column, result.lap);
  if (solver_ == AssignmentSolver::sinkhorn) {
    return assign_by_sinkhorn(ctx, scores, column, result.lap);
  }
  LapOptions options;
  if (solver_ == AssignmentSolver::auction) options.solver = LapSolver::auction;
  const View prices(prices_.data(), DType::i32, column.shape);
  lap_solve(ctx, options, scores, column, prices, result.lap);
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
