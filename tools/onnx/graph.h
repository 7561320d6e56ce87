// OnnxGraph: a computation that other programs run, as an ONNX model [1] of operator set 13, which
// runtimes have known since 2021.
//
//   OnnxGraph graph("double");
//   graph.input("x", {OnnxSize("batch"), 3});
//   graph.output(graph.add("Add", {"x", "x"}, "y"), {OnnxSize("batch"), 3});
//   write(graph.model({{"made_by", "me"}}, "what it does"));
//
// Values have names; a node is named like the value that it computes. Everything is float32 but the
// truth values between two nodes. A value has to be there before a node reads it.
//
// [1] https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, field numbers as given there
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "engine/protobuf.h"

namespace nat::tools {

// A number, or a name where whoever runs the model chooses.
using OnnxSize = std::variant<std::int64_t, std::string>;

using OnnxAttribute = std::variant<std::int64_t, std::vector<std::int64_t>>;
using OnnxAttributes = std::vector<std::pair<std::string, OnnxAttribute>>;

class OnnxGraph {
 public:
  explicit OnnxGraph(std::string name) : name_(std::move(name)) {}

  void input(const std::string& name, const std::vector<OnnxSize>& shape);
  void output(const std::string& name, const std::vector<OnnxSize>& shape);
  // All of these return the name of the value, for whoever reads it.
  std::string constant(const std::string& name, const std::vector<std::int64_t>& shape,
                       std::span<const float> values);
  std::string add(const std::string& operation, const std::vector<std::string>& inputs,
                  const std::string& value, const OnnxAttributes& attributes = {});

  // The whole file. `metadata` are pairs of texts that readers show. Error(usage) where it would be
  // larger than messages may be, 2 GiB.
  std::string model(const std::map<std::string, std::string>& metadata,
                    const std::string& description) const;

 private:
  std::string name_;
  ProtobufMessage nodes_, constants_, inputs_, outputs_;  // fields of GraphProto
};

}  // namespace nat::tools
