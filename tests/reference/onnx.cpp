#include "tests/reference/onnx.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string_view>

namespace nat::reference {

namespace {

using Shape = std::vector<std::int64_t>;

void require(bool condition, const std::string& what) {
  if (!condition) throw std::runtime_error("ONNX: " + what);
}

// ---- wire format --------------------------------------------------------------------------------

struct Field {
  std::uint32_t number = 0;
  std::uint64_t integer = 0;  // of varints and of numbers of fixed size
  std::string_view bytes;     // of texts, messages and blocks
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  bool done() const { return rest_.empty(); }

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
      require(!rest_.empty() && shift < 64, "a varint does not end");
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return value;
    }
  }
  Field field() {
    const std::uint64_t tag = varint();
    Field field;
    field.number = static_cast<std::uint32_t>(tag >> 3);
    switch (tag & 7) {
      case 0:
        field.integer = varint();
        break;
      case 2:
        field.bytes = take(varint());
        break;
      case 5:
        std::memcpy(&field.integer, take(4).data(), 4);
        break;
      default:
        throw std::runtime_error("ONNX: an unknown wire type");
    }
    return field;
  }

 private:
  std::string_view take(std::uint64_t count) {
    require(count <= rest_.size(), "a field is longer than the file");
    const std::string_view taken = rest_.substr(0, count);
    rest_.remove_prefix(count);
    return taken;
  }

  std::string_view rest_;
};

void for_fields(std::string_view message, const std::function<void(const Field&)>& visit) {
  for (Reader reader(message); !reader.done();) visit(reader.field());
}

// The only field that a message is asked for.
std::string_view part(std::string_view message, std::uint32_t number) {
  std::string_view found;
  for_fields(message, [&](const Field& field) {
    if (field.number == number) found = field.bytes;
  });
  return found;
}

// ---- the model ----------------------------------------------------------------------------------

OnnxTensor parse_tensor(std::string_view message, std::string& name) {
  OnnxTensor tensor;
  std::string_view raw;
  for_fields(message, [&](const Field& field) {
    if (field.number == 1) tensor.shape.push_back(static_cast<std::int64_t>(field.integer));
    if (field.number == 2) require(field.integer == 1, "a constant is not float32");
    if (field.number == 8) name = field.bytes;
    if (field.number == 9) raw = field.bytes;
  });
  std::int64_t elements = 1;
  for (const std::int64_t size : tensor.shape) elements *= size;
  require(raw.size() == 4 * static_cast<std::size_t>(elements), name + " has another size");
  std::vector<float> values(static_cast<std::size_t>(elements));
  std::memcpy(values.data(), raw.data(), raw.size());
  tensor.value.assign(values.begin(), values.end());
  return tensor;
}

OnnxNode parse_node(std::string_view message) {
  OnnxNode node;
  for_fields(message, [&](const Field& field) {
    if (field.number == 1) node.inputs.emplace_back(field.bytes);
    if (field.number == 2) node.outputs.emplace_back(field.bytes);
    if (field.number == 3) node.name = field.bytes;
    if (field.number == 4) node.operation = field.bytes;
    if (field.number != 5) return;
    std::string name;
    std::vector<std::int64_t> values;
    std::uint64_t type = 0;
    for_fields(field.bytes, [&](const Field& inner) {
      if (inner.number == 1) name = inner.bytes;
      if (inner.number == 3 || inner.number == 8) {
        values.push_back(static_cast<std::int64_t>(inner.integer));
      }
      if (inner.number == 20) type = inner.integer;
    });
    require(type == 7 || (type == 2 && values.size() == 1), name + " has no type");
    node.attributes[name] = values;
  });
  return node;
}

OnnxValue parse_value(std::string_view message) {
  OnnxValue value{std::string(part(message, 1)), {}};
  const std::string_view tensor = part(part(message, 2), 1);
  for_fields(part(tensor, 2), [&](const Field& dimension) {
    for_fields(dimension.bytes, [&](const Field& size) {
      value.sizes.push_back(size.number == 1 ? std::to_string(size.integer)
                                             : std::string(size.bytes));
    });
  });
  return value;
}

void parse_graph(std::string_view message, OnnxModel& model) {
  for_fields(message, [&](const Field& field) {
    if (field.number == 1) model.nodes.push_back(parse_node(field.bytes));
    if (field.number == 11) model.inputs.push_back(parse_value(field.bytes));
    if (field.number == 12) model.outputs.push_back(parse_value(field.bytes));
    if (field.number != 5) return;
    std::string name;
    OnnxTensor tensor = parse_tensor(field.bytes, name);
    require(model.constants.emplace(name, std::move(tensor)).second, name + " comes twice");
  });
}

// ---- operators ----------------------------------------------------------------------------------

std::int64_t elements_of(const Shape& shape) {
  std::int64_t elements = 1;
  for (const std::int64_t size : shape) elements *= size;
  return elements;
}

OnnxTensor zeros(const Shape& shape) {
  return {shape, std::vector<double>(static_cast<std::size_t>(elements_of(shape)))};
}

// Where an element of the wider shape lies in a tensor that is repeated along axes of size 1.
std::size_t repeated_at(const Shape& wide, std::int64_t element, const Shape& shape) {
  std::int64_t at = 0, stride = 1;
  for (std::size_t back = 1; back <= wide.size(); ++back) {
    const std::int64_t size = wide[wide.size() - back];
    const std::int64_t index = element % size;
    element /= size;
    if (back > shape.size()) continue;
    const std::int64_t own = shape[shape.size() - back];
    require(own == 1 || own == size, "shapes do not fit");
    if (own != 1) at += index * stride;
    stride *= own;
  }
  return static_cast<std::size_t>(at);
}

OnnxTensor elementwise(const std::vector<OnnxTensor>& in,
                       const std::function<double(const std::vector<double>&)>& f) {
  Shape wide;
  for (const OnnxTensor& tensor : in) {
    if (tensor.shape.size() > wide.size()) wide.resize(tensor.shape.size(), 1);
  }
  for (const OnnxTensor& tensor : in) {
    for (std::size_t back = 1; back <= tensor.shape.size(); ++back) {
      std::int64_t& size = wide[wide.size() - back];
      size = std::max(size, tensor.shape[tensor.shape.size() - back]);
    }
  }
  OnnxTensor out = zeros(wide);
  std::vector<double> values(in.size());
  for (std::size_t e = 0; e < out.value.size(); ++e) {
    for (std::size_t k = 0; k < in.size(); ++k) {
      values[k] = in[k].value[repeated_at(wide, static_cast<std::int64_t>(e), in[k].shape)];
    }
    out.value[e] = f(values);
  }
  return out;
}

// Over the axes named, which stay with size 1.
OnnxTensor reduce(const OnnxNode& node, const OnnxTensor& x, double initial,
                  const std::function<double(double, double)>& take_in) {
  require(node.number("keepdims", 1) == 1, "axes would go");
  Shape shape = x.shape;
  for (const std::int64_t axis : node.numbers("axes")) shape.at(static_cast<std::size_t>(axis)) = 1;
  OnnxTensor out = zeros(shape);
  std::fill(out.value.begin(), out.value.end(), initial);
  for (std::size_t e = 0; e < x.value.size(); ++e) {
    double& into = out.value[repeated_at(x.shape, static_cast<std::int64_t>(e), shape)];
    into = take_in(into, x.value[e]);
  }
  return out;
}

double at(const OnnxTensor& x, std::int64_t n, std::int64_t c, std::int64_t y, std::int64_t z) {
  return x.value[static_cast<std::size_t>(((n * x.size(1) + c) * x.size(2) + y) * x.size(3) + z)];
}

OnnxTensor convolve(const OnnxNode& node, const OnnxTensor& x, const OnnxTensor& w) {
  const Shape kernel = node.numbers("kernel_shape"), pads = node.numbers("pads");
  const std::vector<std::int64_t> given = node.numbers("strides");
  const Shape strides = given.empty() ? Shape{1, 1} : given;
  const std::int64_t groups = node.number("group", 1), in_group = w.size(1);
  require(kernel == Shape{w.size(2), w.size(3)} && x.size(1) == groups * in_group, "Conv shapes");
  OnnxTensor out = zeros({x.size(0), w.size(0),
                          (x.size(2) + pads.at(0) + pads.at(2) - kernel[0]) / strides.at(0) + 1,
                          (x.size(3) + pads.at(1) + pads.at(3) - kernel[1]) / strides.at(1) + 1});
  std::size_t e = 0;
  for (std::int64_t n = 0; n < out.size(0); ++n) {
    for (std::int64_t k = 0; k < out.size(1); ++k) {
      const std::int64_t first = k / (out.size(1) / groups) * in_group;
      for (std::int64_t y = 0; y < out.size(2); ++y) {
        for (std::int64_t z = 0; z < out.size(3); ++z, ++e) {
          for (std::int64_t c = 0; c < in_group; ++c) {
            for (std::int64_t r = 0; r < kernel[0]; ++r) {
              for (std::int64_t s = 0; s < kernel[1]; ++s) {
                const std::int64_t py = y * strides[0] + r - pads[0];
                const std::int64_t pz = z * strides[1] + s - pads[1];
                if (py < 0 || py >= x.size(2) || pz < 0 || pz >= x.size(3)) continue;
                out.value[e] += at(x, n, first + c, py, pz) * at(w, k, c, r, s);
              }
            }
          }
        }
      }
    }
  }
  return out;
}

OnnxTensor max_pool(const OnnxNode& node, const OnnxTensor& x) {
  const Shape window = node.numbers("kernel_shape"), strides = node.numbers("strides");
  OnnxTensor out = zeros({x.size(0), x.size(1), (x.size(2) - window.at(0)) / strides.at(0) + 1,
                          (x.size(3) - window.at(1)) / strides.at(1) + 1});
  std::size_t e = 0;
  for (std::int64_t n = 0; n < out.size(0); ++n) {
    for (std::int64_t c = 0; c < out.size(1); ++c) {
      for (std::int64_t y = 0; y < out.size(2); ++y) {
        for (std::int64_t z = 0; z < out.size(3); ++z) {
          double most = -std::numeric_limits<double>::infinity();
          for (std::int64_t r = 0; r < window[0]; ++r) {
            for (std::int64_t s = 0; s < window[1]; ++s) {
              most = std::max(most, at(x, n, c, y * strides[0] + r, z * strides[1] + s));
            }
          }
          out.value[e++] = most;
        }
      }
    }
  }
  return out;
}

// x, scale, shift, mean, variance; epsilon is the operator's default.
OnnxTensor normalise_batch(const std::vector<OnnxTensor>& in) {
  constexpr double kEpsilon = 1e-5;
  OnnxTensor out = in.at(0);
  const std::int64_t channels = out.size(1);
  const std::int64_t pixels = elements_of(out.shape) / (out.size(0) * channels);
  for (std::size_t e = 0; e < out.value.size(); ++e) {
    const auto c = e / static_cast<std::size_t>(pixels) % static_cast<std::size_t>(channels);
    const double scaled =
        (out.value[e] - in.at(3).value.at(c)) / std::sqrt(in.at(4).value.at(c) + kEpsilon);
    out.value[e] = scaled * in.at(1).value.at(c) + in.at(2).value.at(c);
  }
  return out;
}

// x w^T, plus a bias where there is a third input.
OnnxTensor multiply(const OnnxNode& node, const std::vector<OnnxTensor>& in) {
  const OnnxTensor &x = in.at(0), &w = in.at(1);
  require(node.number("transB", 0) == 1 && x.size(1) == w.size(1), "Gemm shapes");
  OnnxTensor out = zeros({x.size(0), w.size(0)});
  const auto columns = static_cast<std::size_t>(x.size(1));
  const auto features = static_cast<std::size_t>(w.size(0));
  for (std::size_t e = 0; e < out.value.size(); ++e) {
    const std::size_t row = e / features * columns, feature = e % features;
    if (in.size() > 2) out.value[e] = in[2].value.at(feature);
    for (std::size_t k = 0; k < columns; ++k) {
      out.value[e] += x.value[row + k] * w.value[feature * columns + k];
    }
  }
  return out;
}

OnnxTensor flatten(const OnnxNode& node, OnnxTensor x) {
  require(node.number("axis", 1) == 1, "Flatten axis");
  x.shape = {x.size(0), elements_of(x.shape) / x.size(0)};
  return x;
}

OnnxTensor average(const OnnxNode& node, const OnnxTensor& x) {
  OnnxTensor out = reduce(node, x, 0, std::plus<double>());
  const double count = static_cast<double>(x.value.size()) / static_cast<double>(out.value.size());
  for (double& value : out.value) value /= count;
  return out;
}

OnnxTensor length(const OnnxNode& node, const OnnxTensor& x) {
  OnnxTensor out = reduce(node, x, 0, [](double sum, double v) { return sum + v * v; });
  for (double& value : out.value) value = std::sqrt(value);
  return out;
}

OnnxTensor compute(const OnnxNode& node, const std::vector<OnnxTensor>& in) {
  using Values = const std::vector<double>&;
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const std::string& op = node.operation;
  if (op == "Conv") return convolve(node, in.at(0), in.at(1));
  if (op == "MaxPool") return max_pool(node, in.at(0));
  if (op == "BatchNormalization") return normalise_batch(in);
  if (op == "Gemm") return multiply(node, in);
  if (op == "Flatten") return flatten(node, in.at(0));
  if (op == "ReduceMean") return average(node, in.at(0));
  if (op == "ReduceL2") return length(node, in.at(0));
  if (op == "ReduceMin") {
    return reduce(node, in.at(0), kInfinity, [](double a, double b) { return std::min(a, b); });
  }
  if (op == "ReduceMax") {
    return reduce(node, in.at(0), -kInfinity, [](double a, double b) { return std::max(a, b); });
  }
  if (op == "Relu") return elementwise(in, [](Values v) { return std::max(v[0], 0.0); });
  if (op == "Sqrt") return elementwise(in, [](Values v) { return std::sqrt(v[0]); });
  if (op == "Sub") return elementwise(in, [](Values v) { return v.at(0) - v.at(1); });
  if (op == "Mul") return elementwise(in, [](Values v) { return v.at(0) * v.at(1); });
  if (op == "Div") return elementwise(in, [](Values v) { return v.at(0) / v.at(1); });
  if (op == "Max") return elementwise(in, [](Values v) { return std::max(v.at(0), v.at(1)); });
  if (op == "Equal") return elementwise(in, [](Values v) { return v.at(0) == v.at(1) ? 1. : 0.; });
  if (op == "Where")
    return elementwise(in, [](Values v) { return v.at(0) != 0 ? v.at(1) : v.at(2); });
  throw std::runtime_error("ONNX: the operator " + op + " is not known here");
}

}  // namespace

std::int64_t OnnxNode::number(const std::string& attribute, std::int64_t otherwise) const {
  const auto found = attributes.find(attribute);
  return found == attributes.end() ? otherwise : found->second.at(0);
}

std::vector<std::int64_t> OnnxNode::numbers(const std::string& attribute) const {
  const auto found = attributes.find(attribute);
  return found == attributes.end() ? std::vector<std::int64_t>() : found->second;
}

OnnxModel parse_onnx(const std::string& file) {
  OnnxModel model;
  for_fields(file, [&](const Field& field) {
    if (field.number == 1) model.file_version = static_cast<std::int64_t>(field.integer);
    if (field.number == 2) model.producer = field.bytes;
    if (field.number == 6) model.description = field.bytes;
    if (field.number == 7) parse_graph(field.bytes, model);
    if (field.number == 8) {
      for_fields(field.bytes, [&](const Field& set) {
        if (set.number == 2) model.operator_set = static_cast<std::int64_t>(set.integer);
      });
    }
    if (field.number == 14) {
      model.metadata[std::string(part(field.bytes, 1))] = part(field.bytes, 2);
    }
  });
  return model;
}

std::map<std::string, OnnxTensor> run_onnx(const OnnxModel& model,
                                           const std::map<std::string, OnnxTensor>& inputs) {
  std::map<std::string, OnnxTensor> values = model.constants;
  for (const auto& [name, tensor] : inputs) values[name] = tensor;
  for (const OnnxNode& node : model.nodes) {
    std::vector<OnnxTensor> in;
    for (const std::string& input : node.inputs) {
      require(values.contains(input), node.name + " reads " + input + ", which is not there");
      in.push_back(values[input]);
    }
    require(node.outputs.size() == 1 && !values.contains(node.outputs[0]),
            node.name + " has no output of its own");
    values[node.outputs[0]] = compute(node, in);
  }
  return values;
}

}  // namespace nat::reference
