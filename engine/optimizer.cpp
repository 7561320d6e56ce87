#include "engine/optimizer.h"

namespace nat {

void sgd_prepare(Context& ctx, const Sgd& rule, ParameterSet& parameters) {
  if (rule.momentum != 0) parameters.keep_momenta(ctx);
}

void sgd_step(Context& ctx, const Sgd& rule, ConstView rate, ConstView loss,
              ParameterSet& parameters) {
  const View gradients = parameters.gradients(), values = parameters.values(),
             momenta = parameters.momenta(), operands = parameters.operands();
  NAT_CHECK(rule.momentum == 0 || !momenta.empty(), ErrorKind::usage, "sgd: momentum ",
            rule.momentum, " needs sgd_prepare() before the first step");
  if (rule.weight_decay == 0) {
    return sgd_update(ctx, rule, rate, loss, gradients, values, momenta, operands);
  }
  for (const Parameter& parameter : parameters.parameters()) {
    Sgd own = rule;
    if (parameter.role != Role::weight) own.weight_decay = 0;
    const std::int64_t begin = parameter.offset, end = begin + parameter.shape.elements();
    const auto part = [&](View flat) { return flat.empty() ? View() : rows(flat, begin, end); };
    sgd_update(ctx, own, rate, loss, part(gradients), part(values), part(momenta), part(operands));
  }
}

}  // namespace nat
