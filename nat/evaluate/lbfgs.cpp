#include "nat/evaluate/lbfgs.h"

#include <cmath>
#include <deque>
#include <limits>
#include <numeric>

#include "kernels/check.h"

namespace nat {
namespace {

using Vector = std::vector<double>;

double dot(const Vector& a, const Vector& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}
// y += a x
void add_scaled(double a, const Vector& x, Vector& y) {
  for (std::size_t i = 0; i < x.size(); ++i) y[i] += a * x[i];
}
double max_magnitude(const Vector& x) {
  double largest = 0;
  for (const double value : x) largest = std::max(largest, std::abs(value));
  return largest;
}

struct Point {
  Vector x, gradient;
  double value = 0;
};

struct Pair {
  Vector s, y;
  double sy;
};

// -H g (Nocedal and Wright, algorithm 7.4).
Vector descent_direction(const std::deque<Pair>& pairs, const Vector& gradient) {
  Vector d = gradient;
  std::vector<double> alpha(pairs.size());
  for (std::size_t i = pairs.size(); i-- > 0;) {
    alpha[i] = dot(pairs[i].s, d) / pairs[i].sy;
    add_scaled(-alpha[i], pairs[i].y, d);
  }
  // Without a pair the scale is unknown: a step of length 1.
  const double scale = pairs.empty() ? 1 / std::sqrt(dot(gradient, gradient))
                                     : pairs.back().sy / dot(pairs.back().y, pairs.back().y);
  for (double& value : d) value *= scale;
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const double beta = dot(pairs[i].y, d) / pairs[i].sy;
    add_scaled(alpha[i] - beta, pairs[i].s, d);
  }
  for (double& value : d) value = -value;
  return d;
}

// Moves `to` to a point along d that satisfies the weak Wolfe conditions; false when none is found.
bool line_search(const Objective& objective, const Point& from, const Vector& d, Point& to,
                 int& evaluations) {
  constexpr int kTrials = 30;
  const double slope = dot(from.gradient, d);
  double low = 0, high = std::numeric_limits<double>::infinity(), step = 1;
  for (int trial = 0; trial < kTrials; ++trial) {
    to.x = from.x;
    add_scaled(step, d, to.x);
    to.value = objective(to.x, to.gradient);
    ++evaluations;
    // Written so that a value that is not finite counts as too high.
    if (!(to.value <= from.value + 1e-4 * step * slope)) {
      high = step;
    } else if (dot(to.gradient, d) < 0.9 * slope) {
      low = step;
    } else {
      return true;
    }
    step = std::isinf(high) ? 2 * low : (low + high) / 2;
  }
  return false;
}

}  // namespace

LbfgsReport minimise_lbfgs(const Objective& objective, std::vector<double>& x,
                           const LbfgsOptions& options) {
  Point now{x, Vector(x.size()), 0};
  Point next = now;
  now.value = objective(now.x, now.gradient);
  NAT_CHECK(std::isfinite(now.value), ErrorKind::not_finite, "L-BFGS: the objective starts at ",
            now.value, "; its data hold a NaN or an infinity");

  LbfgsReport report{now.value, max_magnitude(now.gradient), 0, 1};
  std::deque<Pair> pairs;
  while (report.iterations < options.iterations && report.gradient_max > options.tolerance) {
    const Vector d = descent_direction(pairs, now.gradient);
    if (!line_search(objective, now, d, next, report.evaluations)) break;

    Pair pair{next.x, next.gradient, 0};
    add_scaled(-1, now.x, pair.s);
    add_scaled(-1, now.gradient, pair.y);
    pair.sy = dot(pair.s, pair.y);  // positive by the second Wolfe condition
    pairs.push_back(std::move(pair));
    if (std::ssize(pairs) > options.memory) pairs.pop_front();

    std::swap(now, next);
    ++report.iterations;
    report.value = now.value;
    report.gradient_max = max_magnitude(now.gradient);
  }
  x = now.x;
  return report;
}

}  // namespace nat
