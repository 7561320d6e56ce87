#include "tools/onnx/graph.h"

#include <bit>

#include "kernels/check.h"
#include "nat_config.h"

namespace nat::tools {

namespace {

constexpr std::int64_t kOperatorSet = 13;
constexpr std::int64_t kFileVersion = 7;  // of the first release with that operator set
constexpr std::int64_t kFloat = 1;        // TensorProto.DataType
constexpr std::size_t kMostBytes = (std::size_t{1} << 31) - 1;

// AttributeProto.AttributeType
constexpr std::int64_t kInt = 2, kInts = 7;

ProtobufMessage attribute(const std::string& name, const OnnxAttribute& value) {
  ProtobufMessage message;
  message.put_text(1, name);
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    message.put_int(3, *number).put_int(20, kInt);
  } else {
    for (const std::int64_t each : std::get<std::vector<std::int64_t>>(value)) {
      message.put_int(8, each);
    }
    message.put_int(20, kInts);
  }
  return message;
}

// ValueInfoProto
ProtobufMessage described(const std::string& name, const std::vector<OnnxSize>& shape) {
  ProtobufMessage sizes;
  for (const OnnxSize& size : shape) {
    ProtobufMessage dimension;
    if (const auto* number = std::get_if<std::int64_t>(&size)) {
      dimension.put_int(1, *number);
    } else {
      dimension.put_text(2, std::get<std::string>(size));
    }
    sizes.put_message(1, dimension);
  }
  const ProtobufMessage tensor = ProtobufMessage().put_int(1, kFloat).put_message(2, sizes);
  return ProtobufMessage().put_text(1, name).put_message(2,
                                                         ProtobufMessage().put_message(1, tensor));
}

}  // namespace

void OnnxGraph::input(const std::string& name, const std::vector<OnnxSize>& shape) {
  inputs_.put_message(11, described(name, shape));
}

void OnnxGraph::output(const std::string& name, const std::vector<OnnxSize>& shape) {
  outputs_.put_message(12, described(name, shape));
}

std::string OnnxGraph::constant(const std::string& name, const std::vector<std::int64_t>& shape,
                                std::span<const float> values) {
  static_assert(std::endian::native == std::endian::little, "raw_data is little-endian");
  ProtobufMessage tensor;
  for (const std::int64_t size : shape) tensor.put_int(1, size);
  tensor.put_int(2, kFloat).put_text(8, name).put_text(
      9, {reinterpret_cast<const char*>(values.data()), values.size_bytes()});
  constants_.put_message(5, tensor);
  return name;
}

std::string OnnxGraph::add(const std::string& operation, const std::vector<std::string>& inputs,
                           const std::string& value, const OnnxAttributes& attributes) {
  ProtobufMessage node;
  for (const std::string& input : inputs) node.put_text(1, input);
  node.put_text(2, value).put_text(3, value).put_text(4, operation);
  for (const auto& [name, chosen] : attributes) node.put_message(5, attribute(name, chosen));
  nodes_.put_message(1, node);
  return value;
}

std::string OnnxGraph::model(const std::map<std::string, std::string>& metadata,
                             const std::string& description) const {
  ProtobufMessage graph;
  graph.append(nodes_).put_text(2, name_).append(constants_).append(inputs_).append(outputs_);
  ProtobufMessage model;
  model.put_int(1, kFileVersion)
      .put_text(2, "nat")
      .put_text(3, kVersion)
      .put_text(6, description)
      .put_message(7, graph)
      .put_message(8, ProtobufMessage().put_text(1, "").put_int(2, kOperatorSet));
  for (const auto& [key, text] : metadata) {
    model.put_message(14, ProtobufMessage().put_text(1, key).put_text(2, text));
  }
  NAT_CHECK(model.bytes().size() <= kMostBytes, ErrorKind::usage, "an ONNX file of ",
            model.bytes().size(),
            " bytes is larger than such files may be (2 GiB); export fewer --layers");
  return std::move(model).bytes();
}

}  // namespace nat::tools
