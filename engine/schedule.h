// The learning rate as a function of the step t (counted from 0 over the whole run of T steps).
//
//   constant  rate
//   cosine    rate (1 + cos(pi t / T)) / 2
//   inverse   rate / (1 + gamma max(0, t - t0))      the paper's; gamma per step, t0 in steps
#pragma once

#include <cstdint>

namespace nat {

struct Schedule {
  enum class Kind { constant, cosine, inverse };
  Kind kind = Kind::constant;
  double rate = 0.01;
  double gamma = 0;
  std::int64_t t0 = 0;

  double at(std::int64_t step, std::int64_t total_steps) const;
};

}  // namespace nat
