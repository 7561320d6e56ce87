// SGD over a ParameterSet. Weight decay applies to weights only, not to biases and batch norms, as
// in the official code.
#pragma once

#include "engine/parameter.h"
#include "kernels/sgd.h"

namespace nat {

// rate and loss as in kernels/sgd.h: the learning rate, and what must be finite for the update to
// happen (empty: no condition).
void sgd_step(Context& ctx, const Sgd& rule, ConstView rate, ConstView loss,
              ParameterSet& parameters);

}  // namespace nat
