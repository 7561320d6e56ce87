// SGD over a ParameterSet. Weight decay applies to weights only, not to biases and batch norms, as
// in the official code.
#pragma once

#include "engine/parameter.h"
#include "kernels/sgd.h"

namespace nat {

// Once before the first step: gives the parameters momenta where the rule has momentum.
void sgd_prepare(Context& ctx, const Sgd& rule, ParameterSet& parameters);

// rate and loss as in kernels/sgd.h: the learning rate, and what must be finite for the update to
// happen (empty: no condition). Error(usage): not prepared.
void sgd_step(Context& ctx, const Sgd& rule, ConstView rate, ConstView loss,
              ParameterSet& parameters);

}  // namespace nat
