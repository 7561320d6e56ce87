// L-BFGS: minimises a smooth function from its values and gradients, without a learning rate.
//
//   direction d = -H g, H the inverse Hessian estimate of the last `memory` pairs
//   (s, y) = (change of x, change of gradient), by the two-loop recursion
//   step t along d: weak Wolfe conditions
//     f(x + t d) <= f(x) + 1e-4 t g.d     and     g(x + t d).d >= 0.9 g.d
//   found by doubling and bisection, starting at t = 1
//
// Source: Nocedal and Wright, "Numerical optimization", 2nd ed., algorithms 7.4 and 7.5; Lewis and
// Overton, "Nonsmooth optimization via quasi-Newton methods", 2013, algorithm 2.6 (line search).
#pragma once

#include <functional>
#include <span>
#include <vector>

namespace nat {

struct LbfgsOptions {
  int iterations = 100;     // at most
  double tolerance = 1e-4;  // done when no gradient element is larger in magnitude
  int memory = 20;
};

struct LbfgsReport {
  double value = 0;         // f at the returned point
  double gradient_max = 0;  // largest magnitude of a gradient element there
  int iterations = 0;
  int evaluations = 0;
};

// Returns f(x) and writes its gradient.
using Objective = std::function<double(std::span<const double> x, std::span<double> gradient)>;

// Improves x in place. Ends early when no step along the direction lowers f any more, which happens
// once f is exhausted to rounding. Error(not_finite) when f(x) is not finite at the start.
LbfgsReport minimise_lbfgs(const Objective& objective, std::vector<double>& x,
                           const LbfgsOptions& options);

}  // namespace nat
