#include "engine/init.h"

#include <cmath>

#include "kernels/cast.h"
#include "kernels/parallel.h"
#include "kernels/random.h"

namespace nat {

namespace {
float he_value(const Parameter& parameter, const Random4& words) {
  switch (parameter.role) {
    case Role::weight: {
      const float deviation = std::sqrt(2.0f / static_cast<float>(parameter.fan_in));
      return deviation * normal_pair(words.value[0], words.value[1]).a;
    }
    case Role::scale:
      return 1;
    case Role::bias:
    case Role::shift:
      return 0;
  }
  return 0;
}

float torch7_value(const Parameter& parameter, const Random4& words) {
  const float bound = 1.0f / std::sqrt(static_cast<float>(parameter.fan_in));
  switch (parameter.role) {
    case Role::weight:
    case Role::bias:
      return bound * (2 * uniform(words.value[0]) - 1);
    case Role::scale:
      return uniform(words.value[0]);
    case Role::shift:
      return 0;
  }
  return 0;
}

// Brings host f32 values into device memory of the set's dtype.
void upload(Context& ctx, const std::vector<float>& host, View target) {
  const ConstView source(host.data(), DType::f32, target.shape);
  if (target.dtype == DType::f32) {
    copy_to_device(ctx, source, target);
  } else {
    const Buffer memory(ctx.device, source.bytes(), "initial values");
    const View single(memory.data(), DType::f32, target.shape);
    copy_to_device(ctx, source, single);
    cast(ctx, single, target);
  }
  synchronize(ctx);
}
}  // namespace

void initialize(Context& ctx, Init init, std::uint64_t seed, ParameterSet& parameters) {
  std::vector<float> values(static_cast<std::size_t>(parameters.size()), 0.0f);
  std::uint32_t index = 0;
  for (const Parameter& parameter : parameters.parameters()) {
    std::vector<float> file(static_cast<std::size_t>(parameter.shape.elements()));
    cpu::parallel_for(std::ssize(file), 16 * std::ssize(file), [&](std::int64_t element) {
      const auto i = static_cast<std::size_t>(element);
      const Random4 words = philox(seed, RandomStream::init, index, i);
      file[i] = init == Init::he ? he_value(parameter, words) : torch7_value(parameter, words);
    });
    parameters.from_file(parameter, file.data(), values.data() + parameter.offset);
    ++index;
  }
  upload(ctx, values, parameters.values());
  parameters.refresh_operands(ctx);
  if (!parameters.momenta().empty()) fill_zero(ctx, parameters.momenta());
  if (!parameters.gradients().empty()) fill_zero(ctx, parameters.gradients());

  const View statistics = parameters.statistic_values();
  std::vector<float> initial(static_cast<std::size_t>(statistics.shape.elements()), 0.0f);
  for (const Statistic& statistic : parameters.statistics()) {
    std::fill_n(initial.begin() + statistic.offset, statistic.size, statistic.initial);
  }
  upload(ctx, initial, statistics);
}

}  // namespace nat
