#include "kernels/batchnorm.h"

#include "kernels/batchnorm_check.h"

namespace nat {

Shape batchnorm_output(const BatchNorm& norm, const Shape& x) {
  NAT_CHECK(x.rank == 2 || x.rank == 4, ErrorKind::usage, "batch norm: x has shape ", to_string(x),
            ", expected n x c or n x h x w x c");
  if (norm.pool == 0) return x;
  NAT_CHECK(x.rank == 4, ErrorKind::usage, "batch norm: x has shape ", to_string(x),
            "; only n x h x w x c can be pooled");
  NAT_CHECK(norm.pool > 0 && norm.pool <= kLargestPool && norm.pool_stride > 0 &&
                norm.pool <= x[1] && norm.pool <= x[2],
            ErrorKind::usage, "batch norm: pool ", norm.pool, " stride ", norm.pool_stride,
            " does not fit a picture of ", x[1], "x", x[2], " (pool 1 to ", kLargestPool,
            ", stride at least 1)");
  const auto size = [&](std::int64_t in) { return (in - norm.pool) / norm.pool_stride + 1; };
  return {x[0], size(x[1]), size(x[2]), x[3]};
}

namespace {

void check_view(const char* what, const ConstView& view, const Shape& shape, DType dtype) {
  NAT_CHECK(!view.empty() && view.shape == shape && view.dtype == dtype, ErrorKind::usage,
            "batch norm: ", what, " is ", name(view.dtype), " ", to_string(view.shape),
            ", expected ", name(dtype), " ", to_string(shape));
}

void check_channels(const char* what, const ConstView& view, const ConstView& x) {
  check_view(what, view, Shape(x.shape.channels()), parameter_dtype(x.dtype));
}

// What forward and backward have in common. `y` is the output or its gradient.
void check(const BatchNorm& norm, const ConstView& x, const ConstView& y,
           const BatchNormSaved& saved) {
  const Shape out = batchnorm_output(norm, x.shape);
  NAT_CHECK(x.shape.elements() > 0, ErrorKind::usage, "batch norm: x is empty (",
            to_string(x.shape), "); give at least one image");
  NAT_CHECK(norm.dropout >= 0 && norm.dropout < 1, ErrorKind::usage, "batch norm: dropout ",
            norm.dropout, " is not in [0, 1)");
  NAT_CHECK(norm.dropout == 0 || (norm.relu && x.shape.rank == 2), ErrorKind::usage,
            "batch norm: dropout needs a matrix and a ReLU in front of it");
  check_view("y or dy", y, out, x.dtype);
  check_channels("mean", saved.mean, x);
  check_channels("inv_std", saved.inv_std, x);
}

void check_picks(const BatchNorm& norm, const ConstView& y, const BatchNormSaved& saved) {
  if (norm.pool == 0) return;
  check_view("argmax", saved.argmax, y.shape, DType::u8);
  check_view("picked", saved.picked, y.shape, y.dtype);
}

}  // namespace

void check_batchnorm_forward(const BatchNorm& norm, Mode mode, const DropoutKey& key,
                             const ConstView& x, const BatchNormParameters& parameters,
                             const BatchNormSaved& saved, const ConstView& y) {
  check(norm, x, y, saved);
  if (mode == Mode::train || saved.has_picks()) check_picks(norm, y, saved);
  NAT_CHECK(mode == Mode::eval || norm.dropout == 0 || key.step != nullptr, ErrorKind::usage,
            "batch norm: dropout of ", norm.dropout, " in training needs the number of the step");
  check_channels("gamma", parameters.gamma, x);
  check_channels("beta", parameters.beta, x);
  check_channels("running_mean", parameters.running_mean, x);
  check_channels("running_var", parameters.running_var, x);
}

void check_batchnorm_backward(const BatchNorm& norm, const ConstView& x, const ConstView& y,
                              const ConstView& gamma, const BatchNormSaved& saved,
                              const ConstView& dy, const ConstView& dgamma, const ConstView& dbeta,
                              const ConstView& dx) {
  check(norm, x, dy, saved);
  check_picks(norm, dy, saved);
  check_channels("gamma", gamma, x);
  check_channels("dgamma", dgamma, x);
  check_channels("dbeta", dbeta, x);
  if (norm.relu && norm.pool == 0) check_view("y", y, x.shape, x.dtype);
  if (!dx.empty()) check_view("dx", dx, x.shape, x.dtype);
}

}  // namespace nat
