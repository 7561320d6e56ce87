#include "tests/reference/cast.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace nat::reference {

double nearest(DType dtype, double value) {
  if (dtype == DType::f64 || !std::isfinite(value) || value == 0) return value;
  const int precision = dtype == DType::f32 ? 24 : 8;  // significant bits
  int exponent = 0;
  std::frexp(value, &exponent);  // |value| in [2^(exponent-1), 2^exponent)
  const double ulp = std::ldexp(1.0, std::max(exponent, -125) - precision);
  const double rounded = std::nearbyint(value / ulp) * ulp;
  const double infinity = std::numeric_limits<double>::infinity();
  return std::abs(rounded) < 0x1p128 ? rounded : std::copysign(infinity, value);
}

}  // namespace nat::reference
