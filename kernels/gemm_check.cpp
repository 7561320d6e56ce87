#include "kernels/gemm_check.h"

#include "kernels/check.h"

namespace nat {

void check_gemm(Transpose a_transposed, Transpose b_transposed, const ConstView& a,
                const ConstView& b, const ConstView& c) {
  const bool turns_a = a_transposed == Transpose::yes, turns_b = b_transposed == Transpose::yes;
  const std::int64_t m = c.shape[0], n = c.shape[1], k = turns_a ? a.shape[0] : a.shape[1];
  const Shape want_a = turns_a ? Shape(k, m) : Shape(m, k);
  const Shape want_b = turns_b ? Shape(n, k) : Shape(k, n);
  NAT_CHECK(a.shape == want_a && b.shape == want_b && a.dtype == c.dtype && b.dtype == c.dtype,
            ErrorKind::usage, "gemm: a ", to_string(a.shape), " ", name(a.dtype), " and b ",
            to_string(b.shape), " ", name(b.dtype), " do not give c ", to_string(c.shape), " ",
            name(c.dtype));
  NAT_CHECK(c.dtype == DType::f32 || c.dtype == DType::f64, ErrorKind::usage, "gemm: dtype ",
            name(c.dtype), " is not f32 or f64");
}

void check_linear_shapes(const ConstView& x, const ConstView& w, const ConstView& y) {
  NAT_CHECK(x.shape.rank == 2 && y.shape.rank == 2 && x.shape[0] == y.shape[0] &&
                w.shape == Shape(y.shape[1], x.shape[1]),
            ErrorKind::usage, "linear: x ", to_string(x.shape), ", w ", to_string(w.shape), ", y ",
            to_string(y.shape), " do not fit; w must be out x in");
}

}  // namespace nat
