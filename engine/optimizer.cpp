#include "engine/optimizer.h"

namespace nat {

void sgd_step(Context& ctx, const Sgd& rule, ParameterSet& parameters) {
  if (rule.weight_decay == 0) {
    return sgd_update(ctx, rule, parameters.gradients(), parameters.values(), parameters.momenta());
  }
  const View gradients = parameters.gradients(), values = parameters.values(),
             momenta = parameters.momenta();
  for (const Parameter& parameter : parameters.parameters()) {
    Sgd own = rule;
    if (parameter.role != Role::weight) own.weight_decay = 0;
    const std::int64_t begin = parameter.offset, end = begin + parameter.shape.elements();
    sgd_update(ctx, own, rows(gradients, begin, end), rows(values, begin, end),
               rows(momenta, begin, end));
  }
}

}  // namespace nat
