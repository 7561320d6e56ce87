#include "models/probe.h"

#include <algorithm>

#include "engine/layers/batchnorm_layer.h"
#include "engine/layers/linear_layer.h"

namespace nat {

namespace {

Shape as_picture(Shape features) {
  return features.rank == 4 ? features : Shape(1, 1, 1, features.row());
}

std::int64_t pooled(const Shape& picture, std::int64_t side) {
  return (picture[1] / side) * (picture[2] / side) * picture[3];
}

}  // namespace

std::unique_ptr<Sequential> mlp_probe(Context& ctx, Shape features,
                                      const std::vector<HiddenRow>& hidden, std::int64_t classes) {
  std::vector<std::unique_ptr<Layer>> layers;
  std::uint32_t depth = 0;
  for (const HiddenRow& row : hidden) append_hidden(row, ++depth, layers);
  layers.push_back(
      std::make_unique<LinearLayer>("classifier.fc" + std::to_string(++depth), classes, Bias::yes));
  return std::make_unique<Sequential>(ctx, as_picture(features), std::move(layers));
}

int linear_probe_pool(Shape features) {
  const Shape picture = as_picture(features);
  const std::int64_t largest = std::min({picture[1], picture[2], kLargestPool});
  int side = 1;
  while (pooled(picture, side) > kLinearProbeValues && side < largest) ++side;
  return side == 1 ? 0 : side;
}

std::int64_t linear_probe_inputs(Shape features) {
  return pooled(as_picture(features), std::max(1, linear_probe_pool(features)));
}

std::unique_ptr<Sequential> linear_probe_head(Context& ctx, Shape features, std::int64_t classes) {
  const int pool = linear_probe_pool(features);
  std::vector<std::unique_ptr<Layer>> layers;
  layers.push_back(std::make_unique<BatchNormLayer>(
      "classifier.bn1", BatchNorm{.pool = pool, .pool_stride = pool, .relu = false}, 1,
      Affine::no));
  layers.push_back(std::make_unique<LinearLayer>("classifier.fc1", classes, Bias::yes));
  return std::make_unique<Sequential>(ctx, as_picture(features), std::move(layers));
}

}  // namespace nat
