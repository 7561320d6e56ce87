// SGD over a ParameterSet. Weight decay applies to weights only, not to biases and batch norms, as
// in the official code.
#pragma once

#include "engine/parameter.h"
#include "kernels/sgd.h"

namespace nat {

void sgd_step(Context& ctx, const Sgd& rule, ParameterSet& parameters);

}  // namespace nat
