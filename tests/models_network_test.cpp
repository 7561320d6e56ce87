// The two networks: sizes of every stage, numbers of parameters, names and taps.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "engine/execution.h"
#include "engine/init.h"
#include "kernels/random.h"
#include "models/alexnet.h"
#include "models/network.h"
#include "models/probe.h"

using namespace nat;

namespace {

Shape output_of(Context& ctx, const Network& network, const std::string& layer) {
  return network.net->activations(ctx, 1)[network.net->layer_index(layer) + 1].shape;
}

// Without the padding between parameters.
std::int64_t parameter_count(const Sequential& net) {
  std::int64_t count = 0;
  for (const Parameter& parameter : net.parameters().parameters()) {
    count += parameter.shape.elements();
  }
  return count;
}
std::int64_t parameter_count(const Network& network) { return parameter_count(*network.net); }

std::vector<std::string> parameter_names(const Network& network) {
  std::vector<std::string> names;
  for (const Parameter& parameter : network.net->parameters().parameters()) {
    names.push_back(parameter.name);
  }
  return names;
}

std::vector<std::string> tap_names(const Network& network) {
  std::vector<std::string> names;
  for (const Tap& tap : network.taps) names.push_back(tap.name);
  return names;
}

// Weights of a convolution or product, and scale and shift of the batch norm behind it.
std::int64_t block(std::int64_t in, std::int64_t out, std::int64_t kernel = 1) {
  return in * out * kernel * kernel + 2 * out;
}

void fill_uniform(View view) {
  for (std::int64_t i = 0; i < view.shape.elements(); ++i) {
    const std::uint32_t word =
        philox(1, RandomStream::synthetic, 0, static_cast<std::uint64_t>(i)).value[0];
    view.as<float>()[i] = 2 * uniform(word) - 1;
  }
}

std::vector<float> values(ConstView view) {
  const auto* first = view.as<float>();
  return {first, first + view.shape.elements()};
}

std::string refusal(const Network& network, const std::string& tap) {
  try {
    network.tap_layer(tap);
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::usage);
    return error.what();
  }
  return "";
}

}  // namespace

// One case, because the parameters of AlexNet are 800 MB.
TEST_CASE("AlexNet on 224 pixels has the stages, the parameters and the names of the paper") {
  Context ctx;
  const Network network =
      build_architecture(ctx, {.name = "alexnet", .dimension = 2048}, Shape(1, 224, 224, 2));
  CHECK(network.architecture == "alexnet");

  CHECK(output_of(ctx, network, "features.conv1") == Shape(1, 55, 55, 96));
  CHECK(output_of(ctx, network, "features.bn1") == Shape(1, 27, 27, 96));
  CHECK(output_of(ctx, network, "features.conv2") == Shape(1, 27, 27, 256));
  CHECK(output_of(ctx, network, "features.bn2") == Shape(1, 13, 13, 256));
  CHECK(output_of(ctx, network, "features.bn3") == Shape(1, 13, 13, 384));
  CHECK(output_of(ctx, network, "features.bn4") == Shape(1, 13, 13, 384));
  CHECK(output_of(ctx, network, "features.conv5") == Shape(1, 13, 13, 256));
  CHECK(output_of(ctx, network, "features.bn5") == Shape(1, 6, 6, 256));
  CHECK(output_of(ctx, network, "features.bn5").row() == 9216);
  CHECK(output_of(ctx, network, "classifier.fc6") == Shape(1, 4096));
  CHECK(output_of(ctx, network, "classifier.bn7") == Shape(1, 4096));
  CHECK(output_of(ctx, network, "classifier.fc8") == Shape(1, 2048));
  CHECK(network.net->output_features() == 2048);

  CHECK(parameter_count(network) == block(2, 96, 11) + block(96, 256, 5) + block(256, 384, 3) +
                                        block(384, 384, 3) + block(384, 256, 3) +
                                        block(9216, 4096) + block(4096, 4096) + 4096 * 2048 + 2048);
  CHECK(parameter_count(network) == doctest::Approx(66.7e6).epsilon(0.001));
  CHECK(tap_names(network) == std::vector<std::string>{"conv1", "conv2", "conv3", "conv4", "conv5",
                                                       "conv", "fc6", "fc7", "fc", "embedding"});
  CHECK(network.tap_layer("conv") == "features.bn5");
  CHECK(network.tap_layer("fc") == "classifier.bn7");
  CHECK(network.tap_layer("embedding") == "classifier.fc8");

  // The largest tensors of a training step at batch 32 in float32: the two of conv1 (35.4 MiB each)
  // and the six of the second to fourth stage (8 to 23 MiB).
  const Execution execution(ctx, *network.net, 32, Mode::train);
  const MemoryPlan& plan = execution.memory_plan();
  CAPTURE(plan.table());
  CHECK(plan.total() <= std::size_t{200} << 20);
  CHECK(static_cast<double>(plan.total()) <= 1.06 * static_cast<double>(plan.lower_bound()));
}

TEST_CASE("the convnet on 28 pixels ends in 1152 convolution features") {
  Context ctx;
  const Network network = build_architecture(ctx, {.dimension = 64}, Shape(1, 28, 28, 2));
  CHECK(network.architecture == "convnet");
  CHECK(output_of(ctx, network, "features.bn1") == Shape(1, 14, 14, 32));
  CHECK(output_of(ctx, network, "features.conv2") == Shape(1, 14, 14, 64));
  CHECK(output_of(ctx, network, "features.bn2") == Shape(1, 7, 7, 64));
  CHECK(output_of(ctx, network, "features.bn3") == Shape(1, 3, 3, 128));
  CHECK(output_of(ctx, network, network.tap_layer("conv")).row() == 1152);
  CHECK(output_of(ctx, network, network.tap_layer("fc")) == Shape(1, 256));
  CHECK(output_of(ctx, network, network.tap_layer("embedding")) == Shape(1, 64));
  CHECK(parameter_count(network) ==
        block(2, 32, 5) + block(32, 64, 3) + block(64, 128, 3) + block(1152, 256) + 256 * 64 + 64);
  CHECK(parameter_names(network) ==
        std::vector<std::string>{
            "features.conv1.weight", "features.bn1.weight", "features.bn1.bias",
            "features.conv2.weight", "features.bn2.weight", "features.bn2.bias",
            "features.conv3.weight", "features.bn3.weight", "features.bn3.bias",
            "classifier.fc4.weight", "classifier.bn4.weight", "classifier.bn4.bias",
            "classifier.fc5.weight", "classifier.fc5.bias"});
  CHECK(tap_names(network) ==
        std::vector<std::string>{"conv1", "conv2", "conv3", "conv", "fc4", "fc", "embedding"});
}

TEST_CASE("the width multiplies every channel count of the convnet") {
  Context ctx;
  const Network network =
      build_architecture(ctx, {.dimension = 10, .width = 2}, Shape(1, 32, 32, 3));
  CHECK(output_of(ctx, network, "features.bn1") == Shape(1, 16, 16, 64));
  CHECK(output_of(ctx, network, "features.bn3") == Shape(1, 4, 4, 256));
  CHECK(output_of(ctx, network, "classifier.bn4") == Shape(1, 512));
  CHECK(network.net->output_features() == 10);
}

TEST_CASE("architectures are found by name") {
  Context ctx;
  const Shape picture(1, 28, 28, 2);
  const Network network = build_architecture(ctx, {.dimension = 8, .width = 2}, picture);
  CHECK(network.architecture == "convnet");
  CHECK(network.net->output_features() == 8);
  CHECK(output_of(ctx, network, "features.bn1").channels() == 64);
  CHECK_THROWS_WITH_AS(build_architecture(ctx, {.name = "resnet"}, picture),
                       "--network 'resnet' does not exist; choose alexnet or convnet", Error);
}

TEST_CASE("an unknown tap is refused with the known ones") {
  Context ctx;
  const Network network = build_architecture(ctx, {.dimension = 16}, Shape(1, 28, 28, 2));
  CHECK(refusal(network, "conv7") ==
        "feature layer 'conv7' does not exist; choose from conv1, conv2, conv3, conv, fc4, fc, "
        "embedding");
}

TEST_CASE("a picture too small for the network is refused") {
  Context ctx;
  CHECK_THROWS_AS(build_architecture(ctx, {.dimension = 16}, Shape(1, 3, 3, 2)), Error);
}

TEST_CASE("the judge of the paper is the network's own hidden blocks, made anew") {
  Context ctx;
  // AlexNet's with an eighth of the features, which otherwise take 600 MB.
  const std::vector<HiddenRow> hidden = {{.features = 512, .dropout = 0.5f},
                                         {.features = 512, .dropout = 0}};
  const auto head = mlp_probe(ctx, Shape(1, 6, 6, 32), hidden, 1000);
  CHECK(parameter_count(*head) == block(1152, 512) + block(512, 512) + 512 * 1000 + 1000);
  CHECK(head->output_features() == 1000);
  CHECK(head->layers().front()->name() == "classifier.fc1");
  CHECK(head->layers().back()->name() == "classifier.fc3");
  CHECK(mlp_probe(ctx, Shape(1, 64), {}, 10)->output_features() == 10);
}

TEST_CASE("the first hidden block of AlexNet drops half, its first layer has a border of 2") {
  const NetworkTable table = alexnet_table();
  REQUIRE(table.hidden.size() == 2);
  CHECK(table.hidden[0].dropout == 0.5f);
  CHECK(table.hidden[1].dropout == 0);
  CHECK(table.convolutions.front().pad == 2);  // at 224 pixels 3 gives the same shapes
}

TEST_CASE("each hidden block drops the share of its row, and chooses for itself") {
  Context ctx;
  constexpr std::int64_t kBatch = 16, kFeatures = 256;
  const auto head = mlp_probe(ctx, Shape(1, 64),
                              {{.features = kFeatures, .dropout = 0.5f},
                               {.features = kFeatures, .dropout = 0.5f},
                               {.features = kFeatures, .dropout = 0}},
                              10);
  ParameterSet& set = head->parameters();
  initialize(ctx, Init::he, 1, set);
  // Far above 0, so that the ReLUs let everything through.
  for (std::size_t i = 0; i < set.parameters().size(); ++i) {
    const View value = set.value(i);
    if (set.parameters()[i].role == Role::shift) {
      std::fill_n(value.as<float>(), value.shape.elements(), 100.0f);
    }
  }
  const std::vector<std::string> blocks = {"classifier.bn1", "classifier.bn2", "classifier.bn3"};
  Execution execution(ctx, *head, kBatch, Mode::train, blocks);
  fill_uniform(execution.input());
  const std::uint32_t step = 0;
  execution.forward(ctx, {.mode = Mode::train, .seed = 1, .step = &step});
  std::vector<std::vector<bool>> dropped;
  for (const std::string& block : blocks) {
    dropped.emplace_back();
    for (const float value : values(execution.kept(block))) dropped.back().push_back(value == 0);
  }
  const auto share = [&](auto&& is_counted) {
    double count = 0;
    for (std::size_t i = 0; i < dropped[0].size(); ++i) count += is_counted(i) ? 1 : 0;
    return count / static_cast<double>(dropped[0].size());
  };
  constexpr double kFarOff = 5 * 0.5 / 64;  // five standard errors of a share of 4,096 draws
  CHECK(std::abs(share([&](std::size_t i) { return dropped[0][i]; }) - 0.5) <= kFarOff);
  CHECK(std::abs(share([&](std::size_t i) { return dropped[1][i]; }) - 0.5) <= kFarOff);
  CHECK(std::abs(share([&](std::size_t i) { return dropped[0][i] && dropped[1][i]; }) - 0.25) <=
        kFarOff);
  CHECK(share([&](std::size_t i) { return dropped[2][i]; }) == 0);
}

TEST_CASE("the linear judge keeps what is below zero, the networks' blocks do not") {
  Context ctx;
  const auto smallest = [&](Sequential& net, const std::string& layer) {
    initialize(ctx, Init::he, 1, net.parameters());
    Execution execution(ctx, net, 4, Mode::eval, {layer});
    fill_uniform(execution.input());
    execution.forward(ctx, {});
    const std::vector<float> all = values(execution.kept(layer));
    return *std::min_element(all.begin(), all.end());
  };
  for (const Shape& features : {Shape(1, 8, 8, 16), Shape(1, 16, 16, 64), Shape(1, 64)}) {
    CHECK(smallest(*linear_probe_head(ctx, features, 10), "classifier.bn1") < 0);
  }
  const Network network = build_architecture(ctx, {.dimension = 8}, Shape(1, 28, 28, 2));
  for (const char* block : {"features.bn1", "features.bn2", "features.bn3", "classifier.bn4"}) {
    CAPTURE(block);
    CHECK(smallest(*network.net, block) == 0);
  }
}

TEST_CASE("the linear judge pools large activations to at most 9,600 numbers") {
  Context ctx;
  struct Case {
    Shape features;
    int pool;
    std::int64_t values;
  };
  // The five of AlexNet, the largest of the convnet at double width, and a hidden layer.
  for (const Case& c : {Case{Shape(1, 27, 27, 96), 3, 7776},
                        {Shape(1, 13, 13, 256), 2, 9216},
                        {Shape(1, 13, 13, 384), 3, 6144},
                        {Shape(1, 6, 6, 256), 0, 9216},
                        {Shape(1, 16, 16, 64), 2, 4096},
                        {Shape(1, 14, 14, 32), 0, 6272},
                        {Shape(1, 4096), 0, 4096},
                        {Shape(1, 1, 1, 10000), 0, 10000}}) {
    CAPTURE(to_string(c.features));
    CHECK(linear_probe_pool(c.features) == c.pool);
    CHECK(linear_probe_inputs(c.features) == c.values);
    const auto head = linear_probe_head(ctx, c.features, 10);
    CHECK(parameter_count(*head) == 10 * c.values + 10);
  }
}
