#include "tests/reference/sgd.h"

namespace nat::reference {

void sgd_update(const Sgd& sgd, double rate, const std::vector<double>& g, std::vector<double>& w,
                std::vector<double>& v) {
  const auto momentum = static_cast<double>(sgd.momentum);
  for (std::size_t i = 0; i < w.size(); ++i) {
    const double h = g[i] + static_cast<double>(sgd.weight_decay) * w[i];
    double step = h;
    if (momentum != 0) {
      v[i] = momentum * v[i] + (1 - static_cast<double>(sgd.dampening)) * h;
      step = sgd.nesterov ? h + momentum * v[i] : v[i];
    }
    w[i] -= rate * step;
  }
}

}  // namespace nat::reference
