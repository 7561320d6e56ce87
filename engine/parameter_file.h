// Parameters, statistics and momenta, if there are any, to and from a checkpoint, in PyTorch's
// names and layouts; momenta are stored under "momentum." + name.
#pragma once

#include "engine/checkpoint.h"
#include "engine/parameter.h"

namespace nat {

void put_parameters(Context& ctx, const ParameterSet& parameters, Checkpoint& checkpoint);

// Every parameter and statistic must be there with the shape the network has: Error(checkpoint)
// names the first that is not. Momenta are read when `momenta` says so and the network keeps any.
enum class Momenta { read, skip };
void read_parameters(Context& ctx, const Checkpoint& checkpoint, Momenta momenta,
                     ParameterSet& parameters);

// Error(not_finite) that names the first f32 tensor with a NaN or an infinity in it.
void check_finite(const Checkpoint& checkpoint);

}  // namespace nat
