#include "tests/reference/conv2d.h"

#include <cmath>

namespace nat::test {

namespace {

// Calls body(x index, w index, y index) for every product of the convolution.
template <class Body>
void for_each_product(const ConvProblem& p, Body&& body) {
  const auto [conv, x, w, y] = p;
  for (std::int64_t n = 0; n < y[0]; ++n)
    for (std::int64_t i = 0; i < y[1]; ++i)
      for (std::int64_t j = 0; j < y[2]; ++j)
        for (std::int64_t k = 0; k < y[3]; ++k)
          for (std::int64_t r = 0; r < conv.kernel; ++r)
            for (std::int64_t s = 0; s < conv.kernel; ++s) {
              const std::int64_t h = i * conv.stride - conv.pad + r;
              const std::int64_t column = j * conv.stride - conv.pad + s;
              if (h < 0 || h >= x[1] || column < 0 || column >= x[2]) continue;
              for (std::int64_t c = 0; c < x[3]; ++c) {
                body(((n * x[1] + h) * x[2] + column) * x[3] + c,
                     ((k * w[1] + r) * w[2] + s) * w[3] + c,
                     ((n * y[1] + i) * y[2] + j) * y[3] + k);
              }
            }
}

ReferenceResult zeros(const Shape& shape) {
  const std::vector<double> zero(static_cast<std::size_t>(shape.elements()), 0.0);
  return {zero, zero};
}

void add(ReferenceResult& result, std::int64_t at, double product) {
  result.value[static_cast<std::size_t>(at)] += product;
  result.magnitude[static_cast<std::size_t>(at)] += std::abs(product);
}

double element(const std::vector<double>& values, std::int64_t at) {
  return values[static_cast<std::size_t>(at)];
}

}  // namespace

ReferenceResult conv2d_forward_reference(const ConvProblem& p, const std::vector<double>& x,
                                         const std::vector<double>& w) {
  ReferenceResult y = zeros(p.y);
  for_each_product(p, [&](std::int64_t xi, std::int64_t wi, std::int64_t yi) {
    add(y, yi, element(x, xi) * element(w, wi));
  });
  return y;
}

ReferenceResult conv2d_backward_data_reference(const ConvProblem& p, const std::vector<double>& w,
                                               const std::vector<double>& dy) {
  ReferenceResult dx = zeros(p.x);
  for_each_product(p, [&](std::int64_t xi, std::int64_t wi, std::int64_t yi) {
    add(dx, xi, element(dy, yi) * element(w, wi));
  });
  return dx;
}

ReferenceResult conv2d_backward_weights_reference(const ConvProblem& p,
                                                  const std::vector<double>& x,
                                                  const std::vector<double>& dy) {
  ReferenceResult dw = zeros(p.w);
  for_each_product(p, [&](std::int64_t xi, std::int64_t wi, std::int64_t yi) {
    add(dw, wi, element(dy, yi) * element(x, xi));
  });
  return dw;
}

}  // namespace nat::test
