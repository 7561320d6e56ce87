#include "tests/reference/gemm.h"

#include <cmath>

namespace nat::test {

GemmResult gemm_reference(const GemmProblem& p, const std::vector<double>& a,
                          const std::vector<double>& b) {
  const auto a_at = [&](std::int64_t i, std::int64_t q) {
    return a[static_cast<std::size_t>(p.a_transposed == Transpose::yes ? q * p.m + i
                                                                       : i * p.k + q)];
  };
  const auto b_at = [&](std::int64_t q, std::int64_t j) {
    return b[static_cast<std::size_t>(p.b_transposed == Transpose::yes ? j * p.k + q
                                                                       : q * p.n + j)];
  };
  GemmResult c;
  for (std::int64_t i = 0; i < p.m; ++i) {
    for (std::int64_t j = 0; j < p.n; ++j) {
      double value = 0, magnitude = 0;
      for (std::int64_t q = 0; q < p.k; ++q) {
        const double product = a_at(i, q) * b_at(q, j);
        value += product;
        magnitude += std::abs(product);
      }
      c.value.push_back(value);
      c.magnitude.push_back(magnitude);
    }
  }
  return c;
}

}  // namespace nat::test
