// Initial parameter values, drawn from a counter: element i of the file order of a parameter uses
// philox(seed, init, parameter index, i), so that the values do not depend on memory layouts.
//
//   he       weights N(0, 2/fan_in) (He et al. 2015), biases 0, batch-norm scale 1, shift 0
//   torch7   weights and biases U(-1/sqrt(fan_in), 1/sqrt(fan_in)), batch-norm scale U(0, 1),
//            shift 0: what the official code inherited from Torch7
// Running means start at 0, running variances at 1, momenta at 0.
#pragma once

#include "engine/parameter.h"

namespace nat {

enum class Init { he, torch7 };

void initialize(Context& ctx, Init init, std::uint64_t seed, ParameterSet& parameters);

}  // namespace nat
