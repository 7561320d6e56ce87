#include "engine/optimizer.h"

namespace nat {

void sgd_step(Context& ctx, const Sgd& rule, ConstView rate, ConstView loss,
              ParameterSet& parameters) {
  const View gradients = parameters.gradients(), values = parameters.values(),
             momenta = parameters.momenta(), operands = parameters.operands();
  if (rule.weight_decay == 0) {
    return sgd_update(ctx, rule, rate, loss, gradients, values, momenta, operands);
  }
  for (const Parameter& parameter : parameters.parameters()) {
    Sgd own = rule;
    if (parameter.role != Role::weight) own.weight_decay = 0;
    const std::int64_t begin = parameter.offset, end = begin + parameter.shape.elements();
    sgd_update(ctx, own, rate, loss, rows(gradients, begin, end), rows(values, begin, end),
               rows(momenta, begin, end), operands.empty() ? View() : rows(operands, begin, end));
  }
}

}  // namespace nat
