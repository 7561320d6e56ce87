#include "engine/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace nat {

double Schedule::at(std::int64_t step, std::int64_t total_steps) const {
  switch (kind) {
    case Kind::constant:
      return rate;
    case Kind::cosine: {
      const double progress =
          static_cast<double>(step) / static_cast<double>(std::max<std::int64_t>(1, total_steps));
      return rate * 0.5 * (1 + std::cos(std::numbers::pi * progress));
    }
    case Kind::inverse:
      return rate / (1 + gamma * static_cast<double>(std::max<std::int64_t>(0, step - t0)));
  }
  return rate;
}

}  // namespace nat
