// Reads ONNX models and runs them by the definitions of their operators, as plain loops in double.
// It shares no code with the writer (tools/onnx): the wire format is decoded here once more. Only
// operators and forms that the tests meet are known; anything else is an exception.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace nat::reference {

struct OnnxTensor {
  std::vector<std::int64_t> shape;
  std::vector<double> value;  // row-major

  std::int64_t size(std::size_t axis) const { return shape.at(axis); }
};

struct OnnxNode {
  std::string operation, name;
  std::vector<std::string> inputs, outputs;
  std::map<std::string, std::vector<std::int64_t>> attributes;

  std::int64_t number(const std::string& attribute, std::int64_t otherwise) const;
  std::vector<std::int64_t> numbers(const std::string& attribute) const;
};

// An input or output; sizes are digits, or the name of a size that is left open.
struct OnnxValue {
  std::string name;
  std::vector<std::string> sizes;
  friend bool operator==(const OnnxValue&, const OnnxValue&) = default;
};

struct OnnxModel {
  std::int64_t file_version = 0, operator_set = 0;
  std::string producer, description;
  std::map<std::string, std::string> metadata;
  std::vector<OnnxNode> nodes;
  std::map<std::string, OnnxTensor> constants;
  std::vector<OnnxValue> inputs, outputs;
};

OnnxModel parse_onnx(const std::string& file);

// Every value of the graph by name.
std::map<std::string, OnnxTensor> run_onnx(const OnnxModel& model,
                                           const std::map<std::string, OnnxTensor>& inputs);

}  // namespace nat::reference
