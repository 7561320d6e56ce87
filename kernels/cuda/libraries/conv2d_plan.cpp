#include "kernels/cuda/libraries/conv2d_plan.h"

#include <algorithm>

namespace nat::gpu::cudnn {

namespace {

using Sizes = std::vector<std::int64_t>;

cudnnDataType_t data_type(DType dtype) {
  return dtype == DType::bf16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
}

// cuDNN names dimensions in the order (n, c, h, w), whatever the strides say.
Descriptor tensor(std::int64_t id, DType dtype, const Shape& shape) {
  const auto [n, h, w, c] = shape.dim;
  Descriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
  tensor.set(CUDNN_ATTR_TENSOR_DATA_TYPE, data_type(dtype));
  tensor.set(CUDNN_ATTR_TENSOR_DIMENSIONS, Sizes{n, c, h, w});
  tensor.set(CUDNN_ATTR_TENSOR_STRIDES, Sizes{h * w * c, 1, w * c, c});
  tensor.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, kAlignment);
  tensor.finalize("describing a tensor");
  return tensor;
}

Descriptor convolution_descriptor(const Conv2d& conv) {
  constexpr std::int64_t kSpatial = 2;
  Descriptor descriptor(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  descriptor.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, kSpatial);
  descriptor.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  descriptor.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION);
  descriptor.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, Sizes(kSpatial, conv.pad));
  descriptor.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, Sizes(kSpatial, conv.pad));
  descriptor.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, Sizes(kSpatial, conv.stride));
  descriptor.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, Sizes(kSpatial, 1));
  descriptor.finalize("describing a convolution");
  return descriptor;
}

// The names that cuDNN gives to one operation and its attributes.
struct Names {
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t convolution, x, w, y, alpha, beta;
};
constexpr Names kForward{CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                         CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
constexpr Names kBackwardData{CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
constexpr Names kBackwardWeights{CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                                 CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};

const Names& names(Direction direction) {
  switch (direction) {
    case Direction::forward:
      return kForward;
    case Direction::backward_data:
      return kBackwardData;
    case Direction::backward_weights:
      break;
  }
  return kBackwardWeights;
}

}  // namespace

const char* name(Direction direction) {
  switch (direction) {
    case Direction::forward:
      return "forward";
    case Direction::backward_data:
      return "backward-data";
    case Direction::backward_weights:
      break;
  }
  return "backward-weights";
}

std::string to_string(const Convolution& c) {
  return str("conv2d ", name(c.direction), ' ', name(c.math), ' ', nat::to_string(c.x), " to ",
             nat::to_string(c.y), " kernel ", c.conv.kernel, " stride ", c.conv.stride, " pad ",
             c.conv.pad);
}

Descriptor convolution_graph(const Target& target, const Convolution& c) {
  const Names& as = names(c.direction);
  const Shape weights(c.y.channels(), c.conv.kernel, c.conv.kernel, c.x.channels());
  Descriptor operation(as.operation);
  operation.set(as.convolution, convolution_descriptor(c.conv));
  operation.set(as.x, tensor(1, c.dtype, c.x));
  operation.set(as.w, tensor(2, c.dtype, weights));
  operation.set(as.y, tensor(3, c.dtype, c.y));
  operation.set(as.alpha, 1.0f);
  operation.set(as.beta, 0.0f);
  operation.finalize("describing a convolution of tensors");
  return single_operation_graph(target, operation);
}

bool is_acceptable(const Candidate& candidate, Math math) {
  const auto has_any = [&](std::initializer_list<cudnnBackendNumericalNote_t> notes) {
    return std::any_of(notes.begin(), notes.end(),
                       [&](cudnnBackendNumericalNote_t note) { return candidate.has(note); });
  };
  if (has_any({CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC, CUDNN_NUMERICAL_NOTE_FFT,
               CUDNN_NUMERICAL_NOTE_WINOGRAD, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION,
               CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS})) {
    return false;
  }
  return math != Math::f32 || !candidate.has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
}

std::vector<Plan> find_plans(const Target& target, const Convolution& convolution,
                             std::size_t at_most) {
  const Descriptor graph = convolution_graph(target, convolution);
  std::vector<Plan> plans;
  for (const auto mode : {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_FALLBACK}) {
    for (const Candidate& candidate : propose(target, graph, mode)) {
      if (plans.size() == at_most) return plans;
      if (!is_acceptable(candidate, convolution.math)) continue;
      const Recipe recipe = candidate.recipe();
      const bool is_known = std::any_of(plans.begin(), plans.end(),
                                        [&](const Plan& plan) { return plan.recipe == recipe; });
      if (is_known) continue;
      std::optional<Plan> plan = make_plan(target, candidate);
      if (plan && plan->workspace_bytes <= kWorkspaceLimit) plans.push_back(std::move(*plan));
    }
  }
  return plans;
}

std::optional<Plan> pinned_plan(const Target& target, const Convolution& convolution,
                                const Recipe& recipe) {
  const Descriptor graph = convolution_graph(target, convolution);
  const std::optional<Candidate> candidate = rebuild(target, graph, recipe);
  if (!candidate || !is_acceptable(*candidate, convolution.math)) return std::nullopt;
  std::optional<Plan> plan = make_plan(target, *candidate);
  if (plan && plan->workspace_bytes > kWorkspaceLimit) return std::nullopt;
  return plan;
}

}  // namespace nat::gpu::cudnn
