#include "engine/parameter_file.h"

#include <algorithm>
#include <cmath>

namespace nat {

namespace {
constexpr const char* kMomentumPrefix = "momentum.";

std::vector<float> download(Context& ctx, View device) {
  std::vector<float> host(static_cast<std::size_t>(device.shape.elements()));
  copy_to_host(ctx, device, View(host.data(), DType::f32, device.shape));
  synchronize(ctx);
  return host;
}

void upload(Context& ctx, const std::vector<float>& host, View device) {
  copy_to_device(ctx, ConstView(host.data(), DType::f32, device.shape), device);
  synchronize(ctx);
}

void put_flat(Context& ctx, const ParameterSet& parameters, View flat, const std::string& prefix,
              Checkpoint& checkpoint) {
  const std::vector<float> memory = download(ctx, flat);
  for (const Parameter& parameter : parameters.parameters()) {
    const std::vector<float> file = parameters.to_file(parameter, memory.data() + parameter.offset);
    checkpoint.put(prefix + parameter.name, DType::f32, parameter.file_shape, file.data());
  }
}

void read_flat(Context& ctx, const ParameterSet& parameters, const Checkpoint& checkpoint,
               const std::string& prefix, View flat) {
  std::vector<float> memory(static_cast<std::size_t>(flat.shape.elements()), 0.0f);
  for (const Parameter& parameter : parameters.parameters()) {
    std::vector<float> file(static_cast<std::size_t>(parameter.shape.elements()));
    checkpoint.read(prefix + parameter.name, DType::f32, parameter.file_shape, file.data());
    parameters.from_file(parameter, file.data(), memory.data() + parameter.offset);
  }
  upload(ctx, memory, flat);
}
}  // namespace

void put_parameters(Context& ctx, const ParameterSet& parameters, Checkpoint& checkpoint) {
  put_flat(ctx, parameters, parameters.values(), "", checkpoint);
  if (const View momenta = parameters.momenta(); !momenta.empty()) {
    put_flat(ctx, parameters, momenta, kMomentumPrefix, checkpoint);
  }
  const std::vector<float> statistics = download(ctx, parameters.statistic_values());
  for (const Statistic& statistic : parameters.statistics()) {
    checkpoint.put(statistic.name, DType::f32, {statistic.size},
                   statistics.data() + statistic.offset);
  }
}

void read_parameters(Context& ctx, const Checkpoint& checkpoint, Momenta momenta,
                     ParameterSet& parameters) {
  read_flat(ctx, parameters, checkpoint, "", parameters.values());
  parameters.refresh_operands(ctx);
  if (momenta == Momenta::read && !parameters.momenta().empty()) {
    read_flat(ctx, parameters, checkpoint, kMomentumPrefix, parameters.momenta());
  }
  const View flat = parameters.statistic_values();
  std::vector<float> statistics(static_cast<std::size_t>(flat.shape.elements()), 0.0f);
  for (const Statistic& statistic : parameters.statistics()) {
    checkpoint.read(statistic.name, DType::f32, {statistic.size},
                    statistics.data() + statistic.offset);
  }
  upload(ctx, statistics, flat);
}

void check_finite(const Checkpoint& checkpoint) {
  for (const Checkpoint::Tensor& tensor : checkpoint.tensors()) {
    if (tensor.dtype != DType::f32) continue;
    const float* values = tensor.as<float>();
    NAT_CHECK(
        std::all_of(values, values + tensor.elements(), [](float x) { return std::isfinite(x); }),
        ErrorKind::not_finite, tensor.name,
        " holds NaN or infinity: the training has diverged; begin a new run with a lower --lr");
  }
}

}  // namespace nat
