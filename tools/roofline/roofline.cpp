#include "tools/roofline/roofline.h"

#include <algorithm>

namespace nat::roofline {

namespace {

// Sizes of one convolution block, for one picture.
struct ConvBlock {
  double input;        // elements the convolution reads
  double raw, pooled;  // elements it writes; elements after pooling (the same without pooling)
  double weights;
  double flops;  // of the forward product
};

int output_side(int side, int window, int stride, int pad) {
  return (side + 2 * pad - window) / stride + 1;
}

// What a convolution reads of a picture. A stride s > 1 is computed as a convolution of stride 1
// over blocks of s x s pixels, which preprocessing writes with the padding already in them: side
// out - 1 + ceil(kernel / s) in blocks of s^2 c channels.
double picture_elements(const ConvRow& row, int side, int out, std::int64_t channels) {
  if (row.stride == 1) return static_cast<double>(side) * side * static_cast<double>(channels);
  const int blocks = out - 1 + (row.kernel + row.stride - 1) / row.stride;
  return static_cast<double>(blocks) * blocks * row.stride * row.stride *
         static_cast<double>(channels);
}

struct Geometry {
  std::vector<ConvBlock> convolutions;
  std::vector<double> linear_sizes;  // flattened features, hidden layers, dimension
};

constexpr std::int64_t kInputChannels = 2;  // the two Sobel gradients

Geometry geometry_of(const Workload& workload) {
  Geometry geometry;
  int side = workload.size;
  std::int64_t channels = kInputChannels;
  double input = 0;
  for (const ConvRow& row : workload.table.convolutions) {
    const int out = output_side(side, row.kernel, row.stride, row.pad);
    const int pooled = row.pool == 0 ? out : output_side(out, row.pool, row.pool_stride, 0);
    NAT_CHECK(out > 0 && pooled > 0, ErrorKind::usage, "roofline: pictures of ", workload.size,
              " pixels are too small for this network");
    if (geometry.convolutions.empty()) input = picture_elements(row, side, out, channels);
    const auto k = static_cast<double>(row.channels);
    ConvBlock block{};
    block.input = input;
    block.raw = k * out * out;
    block.pooled = k * pooled * pooled;
    block.weights = k * row.kernel * row.kernel * static_cast<double>(channels);
    block.flops = 2 * block.weights * out * out;
    geometry.convolutions.push_back(block);
    side = pooled;
    channels = row.channels;
    input = block.pooled;
  }
  geometry.linear_sizes.push_back(input);
  for (const HiddenRow& row : workload.table.hidden) {
    geometry.linear_sizes.push_back(static_cast<double>(row.features));
  }
  geometry.linear_sizes.push_back(static_cast<double>(workload.dimension));
  return geometry;
}

double trained_parameters(const Workload& workload, const Geometry& geometry) {
  double count = static_cast<double>(workload.dimension);  // the one bias, of the last layer
  for (const ConvBlock& block : geometry.convolutions) count += block.weights;
  for (std::size_t i = 0; i + 1 < geometry.linear_sizes.size(); ++i) {
    count += geometry.linear_sizes[i] * geometry.linear_sizes[i + 1];
  }
  constexpr int kScaleAndShift = 2;
  for (const ConvRow& row : workload.table.convolutions) {
    count += kScaleAndShift * static_cast<double>(row.channels);
  }
  for (const HiddenRow& row : workload.table.hidden) {
    count += kScaleAndShift * static_cast<double>(row.features);
  }
  return count;
}

// Collects the operations of a step.
class Step {
 public:
  explicit Step(const Workload& workload)
      : n_(static_cast<double>(workload.batch)), e_(workload.math == Math::bf16 ? 2 : 4) {}

  void preprocess(const Workload& workload, double network_input) {
    const double stored =
        static_cast<double>(workload.size) * workload.size * workload.stored_channels;
    add("preprocess", Kind::preprocess, 0, n_ * (stored + network_input * e_));
  }

  // Each of the three products touches x, y and the weights once. The first layer has no dx.
  void convolution(const std::string& name, const ConvBlock& block, bool first) {
    const double bytes = e_ * (n_ * (block.input + block.raw) + block.weights);
    product(name, Kind::convolution, n_ * block.flops, bytes, first);
  }

  // Statistics read x. Forward reads x and writes y and, with pooling, a byte that says where in
  // its window the maximum was. The sums of backward need the gradient and the normalised value of
  // pooled elements only, for the others have no gradient; applying them reads x, the gradient and
  // those bytes and writes dx.
  void batch_norm(const std::string& name, const ConvBlock& block, bool has_pool) {
    const double raw = n_ * block.raw * e_, pooled = n_ * block.pooled * e_;
    const double places = has_pool ? n_ * block.pooled : 0;
    add(name + " statistics", Kind::batch_norm, 0, raw);
    add(name + " forward", Kind::batch_norm, 0, raw + pooled + places);
    add(name + " backward sums", Kind::batch_norm, 0, 2 * pooled);
    add(name + " backward", Kind::batch_norm, 0, 2 * raw + pooled + places);
  }

  void linear(const std::string& name, double in, double out) {
    const double weights = in * out;
    product(name, Kind::linear, 2 * n_ * weights, e_ * (n_ * (in + out) + weights), false);
  }

  // The same four passes over n x features, dropout included: 1 + 2 + 2 + 3 tensors.
  void hidden_norm(const std::string& name, double features) {
    constexpr int kTensors = 8;
    add(name, Kind::batch_norm, 0, kTensors * n_ * features * e_);
  }

  // The loss reads features, float32 in every mode, and targets, and writes the gradient. Scores
  // are a product of n x d by d x n, written and read once, in float32.
  void head(double d) {
    add("loss", Kind::head, 0, n_ * d * (4 + 2 * e_));
    add("scores", Kind::head, 2 * n_ * n_ * d, 2 * n_ * d * e_ + n_ * n_ * 4);
    add("assignment", Kind::head, 0, n_ * n_ * 4);
  }

  // Reads and writes the float32 value: 8 bytes. Gradient and operand copy are 2 bytes each in
  // bf16; in float32 the gradient is 4 and there is no copy: 4 either way. Momentum is read and
  // written.
  void update(double parameters, bool momentum) {
    add("update", Kind::update, 0, parameters * (8 + 4 + (momentum ? 8 : 0)));
  }

  std::vector<Operation> operations;

 private:
  void add(const std::string& name, Kind kind, double flops, double bytes) {
    operations.push_back({name, kind, flops, bytes});
  }
  void product(const std::string& name, Kind kind, double flops, double bytes, bool first) {
    add(name + " forward", kind, flops, bytes);
    if (!first) add(name + " backward data", kind, flops, bytes);
    add(name + " backward weights", kind, flops, bytes);
  }

  double n_;  // pictures
  double e_;  // bytes of a stored activation or operand
};

double products_of_picture(const Workload& workload, bool training) {
  const Geometry geometry = geometry_of(workload);
  double forward = 0;
  for (const ConvBlock& block : geometry.convolutions) forward += block.flops;
  for (std::size_t i = 0; i + 1 < geometry.linear_sizes.size(); ++i) {
    forward += 2 * geometry.linear_sizes[i] * geometry.linear_sizes[i + 1];
  }
  return training ? 3 * forward - geometry.convolutions.front().flops : forward;
}

}  // namespace

const char* name(Kind kind) {
  switch (kind) {
    case Kind::preprocess:
      return "preprocess";
    case Kind::convolution:
      return "convolutions";
    case Kind::batch_norm:
      return "batch norm, pool, ReLU";
    case Kind::linear:
      return "linear";
    case Kind::head:
      return "loss and scores";
    case Kind::update:
      break;
  }
  return "update";
}

Workload workload_of(const ArchitectureOptions& architecture, int size) {
  Workload workload;
  workload.table = architecture_table(architecture);
  workload.size = size;
  workload.dimension = architecture.dimension;
  return workload;
}

std::vector<Operation> step_operations(const Workload& workload) {
  NAT_CHECK(workload.batch > 0 && workload.dimension > 0, ErrorKind::usage, "roofline: batch ",
            workload.batch, " and dimension ", workload.dimension, " must be positive");
  const Geometry geometry = geometry_of(workload);
  Step step(workload);
  step.preprocess(workload, geometry.convolutions.front().input);
  int depth = 0;
  for (const ConvBlock& block : geometry.convolutions) {
    const bool has_pool = workload.table.convolutions[static_cast<std::size_t>(depth)].pool > 0;
    const std::string number = std::to_string(++depth);
    step.convolution("conv" + number, block, depth == 1);
    step.batch_norm("bn" + number, block, has_pool);
  }
  for (std::size_t i = 0; i + 1 < geometry.linear_sizes.size(); ++i) {
    const std::string number = std::to_string(++depth);
    step.linear("fc" + number, geometry.linear_sizes[i], geometry.linear_sizes[i + 1]);
    if (i < workload.table.hidden.size()) {
      step.hidden_norm("bn" + number, geometry.linear_sizes[i + 1]);
    }
  }
  step.head(static_cast<double>(workload.dimension));
  step.update(trained_parameters(workload, geometry), workload.momentum);
  return step.operations;
}

double forward_flops_of_picture(const Workload& workload) {
  return products_of_picture(workload, false);
}
double training_flops_of_picture(const Workload& workload) {
  return products_of_picture(workload, true);
}

double Ceilings::product_rate(Math math) const {
  return math == Math::bf16 ? bf16_flops : math == Math::tf32 ? tf32_flops : f32_flops;
}

// Expected, not measured: about 80 % of the dense tensor-core rate and 90 % of the bandwidth of the
// data sheets for the data-centre cards, whose clocks fall under full load; the full rates (with
// float32 accumulation) and 91 % of the bandwidth for the GeForce cards.
const std::vector<Card>& cards() {
  static const std::vector<Card> all = {{"H200", {790e12, 400e12, 60e12, 4.3e12}},
                                        {"H100", {790e12, 400e12, 60e12, 3.0e12}},
                                        {"A100", {250e12, 125e12, 17.5e12, 1.83e12}},
                                        {"RTX 4090", {165e12, 82.6e12, 82.6e12, 0.92e12}},
                                        {"RTX 5090", {209e12, 104e12, 104e12, 1.63e12}}};
  return all;
}

const Card& card(const std::string& name) {
  std::string known;
  for (const Card& candidate : cards()) {
    if (candidate.name == name) return candidate;
    known += (known.empty() ? "" : ", ") + candidate.name;
  }
  throw Error(ErrorKind::usage, str("--card '", name, "' is not known; choose from ", known,
                                    ", or give --product-tflops and --copy-gbs"));
}

double seconds(const Operation& operation, const Ceilings& ceilings, Math math) {
  return std::max(operation.flops / ceilings.product_rate(math),
                  operation.bytes / ceilings.bytes_per_second);
}

bool is_memory_bound(const Operation& operation, const Ceilings& ceilings, Math math) {
  return operation.bytes / ceilings.bytes_per_second >=
         operation.flops / ceilings.product_rate(math);
}

Floor floor_of(const std::vector<Operation>& operations, const Ceilings& ceilings, Math math) {
  Floor floor;
  for (const Operation& operation : operations) {
    const double time = seconds(operation, ceilings, math);
    floor.seconds += time;
    floor.seconds_of_kind[static_cast<std::size_t>(operation.kind)] += time;
    floor.flops += operation.flops;
    floor.bytes += operation.bytes;
  }
  return floor;
}

}  // namespace nat::roofline
