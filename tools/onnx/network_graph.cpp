#include "tools/onnx/network_graph.h"

#include <array>
#include <set>

#include "kernels/batchnorm.h"
#include "kernels/check.h"

namespace nat::tools {

namespace {

using Sizes = std::vector<std::int64_t>;

// Writes the nodes from the pictures on; value_ is what the next one reads.
class NetworkWriter {
 public:
  NetworkWriter(const ExportedNetwork& network, const Checkpoint& weights)
      : network_(network),
        weights_(weights),
        graph_("nat"),
        channels_(network.front == FrontEnd::sobel ? 2 : stored_channels()),
        height_(network.size) {}

  void look_at_pictures() {
    const OnnxSize channels = network_.front == FrontEnd::sobel ? OnnxSize("channels") : channels_;
    value_ = "pictures";
    graph_.input(value_, {kBatch, channels, network_.size, network_.size});
    normalise();
    if (network_.front == FrontEnd::sobel) apply_sobel();
    if (network_.front == FrontEnd::high_pass) apply_high_pass();
  }

  void add_convolution(const ConvRow& row, const BlockNames& names) {
    const Sizes shape = {row.channels, channels_, row.kernel, row.kernel};
    value_ = graph_.add("Conv", {value_, weight(names.product + ".weight", shape)}, names.product,
                        {{"kernel_shape", Sizes{row.kernel, row.kernel}},
                         {"strides", Sizes{row.stride, row.stride}},
                         {"pads", Sizes{row.pad, row.pad, row.pad, row.pad}}});
    channels_ = row.channels;
    height_ = (height_ + 2 * row.pad - row.kernel) / row.stride + 1;
    normalise_batch(names.norm);
    if (row.pool > 0) {
      value_ = graph_.add("MaxPool", {value_}, names.norm + ".pooled",
                          {{"kernel_shape", Sizes{row.pool, row.pool}},
                           {"strides", Sizes{row.pool_stride, row.pool_stride}}});
      height_ = (height_ - row.pool) / row.pool_stride + 1;
    }
    rectify(names.norm);
  }

  void add_hidden(const HiddenRow& row, const BlockNames& names) {
    multiply(row.features, names.product, {});
    normalise_batch(names.norm);
    rectify(names.norm);
  }

  void add_output(const std::string& product) {
    multiply(network_.dimension, product, {weight(product + ".bias", {network_.dimension})});
  }

  // The present value as an output.
  void show(const std::string& tap) {
    if (tap == "embedding") {
      // kernels/nat_head.h: no row is divided by less than 1e-10.
      const std::string length = reduce("ReduceL2", value_, tap + ".length", {1});
      const std::string least = graph_.constant(tap + ".least_length", {}, std::array{1e-10f});
      graph_.add("Div", {value_, graph_.add("Max", {length, least}, tap + ".divisor")}, tap);
    } else {
      graph_.add("Flatten", {value_}, tap, {{"axis", 1}});
    }
    graph_.output(tap, {kBatch, row_size()});
  }

  OnnxGraph take() { return std::move(graph_); }

 private:
  static inline const OnnxSize kBatch = "batch";

  // Of the first convolution, which looks at as many channels as the pictures have.
  std::int64_t stored_channels() const {
    const std::string name = convolution_names(1).product + ".weight";
    const Sizes& shape = weights_.get(name).shape;
    NAT_CHECK(shape.size() == 4, ErrorKind::checkpoint, name, " has ", shape.size(),
              " dimensions instead of 4; this is not a checkpoint of the run's network");
    return shape[1];
  }

  std::int64_t row_size() const { return channels_ * height_ * height_; }

  std::string weight(const std::string& name, const Sizes& shape) {
    std::int64_t elements = 1;
    for (const std::int64_t size : shape) elements *= size;
    std::vector<float> values(static_cast<std::size_t>(elements));
    weights_.read(name, DType::f32, shape, values.data());
    return graph_.constant(name, shape, values);
  }

  std::string reduce(const std::string& operation, const std::string& value,
                     const std::string& result, const Sizes& axes) {
    return graph_.add(operation, {value}, result, {{"axes", axes}, {"keepdims", 1}});
  }

  // Of whole pictures, an axis at a time: a runtime that adds up 150,000 numbers of float32 one
  // after the other would leave an error that shows in the features.
  std::string mean(const std::string& value, const std::string& result) {
    const std::string of_rows = reduce("ReduceMean", value, result + ".of_rows", {3});
    const std::string of_channels = reduce("ReduceMean", of_rows, result + ".of_channels", {2});
    return reduce("ReduceMean", of_channels, result, {1});
  }

  // A picture of one colour becomes 0, and is told by its extremes: after rounding, its deviation
  // need not be 0.
  void normalise() {
    const Sizes whole = {1, 2, 3};
    const std::string centred = graph_.add("Sub", {value_, mean(value_, "mean")}, "centred");
    const std::string squared = graph_.add("Mul", {centred, centred}, "squared");
    const std::string deviation = graph_.add("Sqrt", {mean(squared, "variance")}, "deviation");
    const std::string is_flat = graph_.add("Equal",
                                           {reduce("ReduceMin", value_, "darkest", whole),
                                            reduce("ReduceMax", value_, "brightest", whole)},
                                           "is_flat");
    const std::string zero = graph_.constant("zero", {}, std::array{0.0f});
    value_ = graph_.add("Where", {is_flat, zero, graph_.add("Div", {centred, deviation}, "scaled")},
                        "normalised");
  }

  void apply_sobel() {
    constexpr std::array kWeights = {-1.f, 0.f,  1.f,  -2.f, 0.f, 2.f, -1.f, 0.f, 1.f,
                                     -1.f, -2.f, -1.f, 0.f,  0.f, 0.f, 1.f,  2.f, 1.f};
    value_ = reduce("ReduceMean", value_, "grey", {1});
    filter(kWeights, 2, 1, "sobel");
  }

  // Each channel less its 3 x 3 mean.
  void apply_high_pass() {
    std::vector<float> weights(static_cast<std::size_t>(9 * channels_), -1.0f / 9);
    for (std::size_t centre = 4; centre < weights.size(); centre += 9) weights[centre] += 1;
    filter(weights, channels_, channels_, "high_pass");
  }

  void filter(std::span<const float> weights, std::int64_t outputs, std::int64_t groups,
              const std::string& name) {
    value_ = graph_.add(
        "Conv", {value_, graph_.constant(name + ".weight", {outputs, 1, 3, 3}, weights)}, name,
        {{"kernel_shape", Sizes{3, 3}}, {"pads", Sizes{1, 1, 1, 1}}, {"group", groups}});
  }

  void normalise_batch(const std::string& name) {
    static_assert(BatchNorm().eps == 1e-5f);  // the default of the node
    std::vector<std::string> inputs = {value_};
    for (const char* part : {".weight", ".bias", ".running_mean", ".running_var"}) {
      inputs.push_back(weight(name + part, {channels_}));
    }
    value_ = graph_.add("BatchNormalization", inputs, name + ".normalised");
  }

  void rectify(const std::string& name) { value_ = graph_.add("Relu", {value_}, name); }

  // A linear layer; of rows that are still pictures it makes flat ones.
  void multiply(std::int64_t features, const std::string& name,
                const std::vector<std::string>& bias) {
    if (!is_flat_) value_ = graph_.add("Flatten", {value_}, "flat", {{"axis", 1}});
    is_flat_ = true;
    std::vector<std::string> inputs = {value_, weight(name + ".weight", {features, row_size()})};
    inputs.insert(inputs.end(), bias.begin(), bias.end());
    value_ = graph_.add("Gemm", inputs, name, {{"transB", 1}});
    channels_ = features;
    height_ = 1;
  }

  const ExportedNetwork& network_;
  const Checkpoint& weights_;
  OnnxGraph graph_;
  std::string value_;
  std::int64_t channels_, height_;  // of value_
  bool is_flat_ = false;
};

// Which taps show the output of a layer, and whether all have been shown.
class WantedTaps {
 public:
  WantedTaps(const NetworkTable& table, const std::vector<std::string>& taps) {
    NAT_CHECK(!taps.empty(), ErrorKind::usage, "--layers is empty; name at least one");
    std::set<std::string> seen;
    const std::vector<Tap> known = taps_of(table);
    for (const std::string& tap : taps) {
      NAT_CHECK(seen.insert(tap).second, ErrorKind::usage, "--layers: '", tap,
                "' comes twice; name it once");
      wanted_.push_back({tap, layer_of(known, tap)});
    }
  }

  void show(const std::string& layer, NetworkWriter& writer) {
    for (const Tap& tap : wanted_) {
      if (tap.layer == layer) writer.show(tap.name);
    }
    std::erase_if(wanted_, [&](const Tap& tap) { return tap.layer == layer; });
  }
  bool all_shown() const { return wanted_.empty(); }

 private:
  std::vector<Tap> wanted_;
};

}  // namespace

OnnxGraph network_graph(const ExportedNetwork& network, const Checkpoint& weights,
                        const std::vector<std::string>& taps) {
  WantedTaps wanted(network.table, taps);
  NetworkWriter writer(network, weights);
  writer.look_at_pictures();
  std::uint32_t depth = 0;
  for (const ConvRow& row : network.table.convolutions) {
    if (wanted.all_shown()) return writer.take();
    const BlockNames names = convolution_names(++depth);
    writer.add_convolution(row, names);
    wanted.show(names.norm, writer);
  }
  for (const HiddenRow& row : network.table.hidden) {
    if (wanted.all_shown()) return writer.take();
    const BlockNames names = hidden_names(++depth);
    writer.add_hidden(row, names);
    wanted.show(names.norm, writer);
  }
  if (wanted.all_shown()) return writer.take();
  const std::string product = hidden_names(depth + 1).product;
  writer.add_output(product);
  wanted.show(product, writer);
  return writer.take();
}

}  // namespace nat::tools
