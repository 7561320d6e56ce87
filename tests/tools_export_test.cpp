// Exported networks, read and run by the definitions of ONNX (tests/reference/onnx.h), compute what
// the engine computes.
#include <nlohmann/json.hpp>

#include "engine/execution.h"
#include "engine/parameter_file.h"
#include "kernels/cast.h"
#include "kernels/nat_head.h"
#include "tests/error_message.h"
#include "tests/reference/onnx.h"
#include "tests/tools_support.h"
#include "tools/onnx/network_graph.h"

using namespace nat;
using namespace nat::tools;
using reference::OnnxModel;
using reference::OnnxTensor;

namespace {

constexpr std::int64_t kPictures = 3, kSize = 32, kDimension = 7;

// Every form that a row can have: overlapping pools, none, strides, padding, dropout.
NetworkTable small_table() {
  return {{{.channels = 6, .kernel = 5, .stride = 2, .pad = 2, .pool = 3, .pool_stride = 2},
           {.channels = 5, .kernel = 3, .stride = 1, .pad = 1, .pool = 0, .pool_stride = 0},
           {.channels = 4, .kernel = 3, .stride = 1, .pad = 0, .pool = 2, .pool_stride = 2}},
          {{.features = 9, .dropout = 0.5f}, {.features = 8, .dropout = 0}}};
}

const std::vector<std::string> kEveryTap = {"conv1", "conv2", "conv3", "conv",
                                            "fc4",   "fc5",   "fc",    "embedding"};

float random_value(std::uint32_t part, std::size_t index) {
  return uniform(philox(5, RandomStream::synthetic, part, index).value[0]);
}

// Parameters in [-1/2, 1/2), statistics that are not those of a new network.
void make_parameters(ParameterSet& parameters) {
  const auto fill = [](View view, std::uint32_t part, float least) {
    for (std::size_t i = 0; i < static_cast<std::size_t>(view.shape.elements()); ++i) {
      view.as<float>()[i] = least + random_value(part, i);
    }
  };
  fill(parameters.values(), 10, -0.5f);
  fill(parameters.statistic_values(), 11, 0.25f);
}

// The last picture has one colour.
std::vector<std::uint8_t> make_pictures(std::int64_t channels) {
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(kPictures * kSize * kSize * channels));
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    pixels[i] = static_cast<std::uint8_t>(255 * random_value(12, i));
  }
  std::fill(pixels.end() - kSize * kSize * channels, pixels.end(), std::uint8_t{77});
  return pixels;
}

struct Trained {
  Context ctx;
  FrontEnd front;
  std::int64_t channels;
  Network network;
  Checkpoint checkpoint;

  Trained(FrontEnd front_end, std::int64_t picture_channels)
      : front(front_end),
        channels(picture_channels),
        network(build_network(
            ctx, "small",
            Shape(1, kSize, kSize, front_end_channels(front, static_cast<int>(channels))),
            small_table(), kDimension)) {
    make_parameters(network.net->parameters());
    put_parameters(ctx, network.net->parameters(), checkpoint);
  }

  ExportedNetwork exported() const {
    return {.table = small_table(), .dimension = kDimension, .front = front, .size = kSize};
  }
  OnnxModel model(const std::vector<std::string>& taps) const {
    return reference::parse_onnx(
        network_graph(exported(), checkpoint, taps).model({{"step", "12"}}, "a test"));
  }
};

// The engine's features at a tap, rows in (channel, row, column) order.
std::vector<double> engine_features(Trained& trained, std::vector<std::uint8_t> pixels,
                                    const std::string& tap) {
  Context& ctx = trained.ctx;
  const std::string& layer = trained.network.tap_layer(tap);
  Execution execution(ctx, *trained.network.net, kPictures, Mode::eval, {layer});
  std::vector<CropBox> boxes(kPictures, {.width = kSize, .height = kSize});
  preprocess(ctx, trained.front,
             View(pixels.data(), DType::u8, Shape(kPictures, kSize, kSize, trained.channels)),
             View(boxes.data(), DType::f32, Shape(kPictures, 5)), execution.input());
  execution.forward(ctx, {});
  const Shape shape = execution.kept(layer).shape;
  std::vector<float> plain(static_cast<std::size_t>(shape.elements()));
  const View view(plain.data(), DType::f32, shape);
  cast(ctx, execution.kept(layer), view);
  if (tap == "embedding") {
    std::vector<float> inverse(kPictures);
    normalize_rows(ctx, view, view, View(inverse.data(), DType::f32, Shape(kPictures)));
  }
  if (shape.rank == 2) return {plain.begin(), plain.end()};
  std::vector<double> ordered;
  const std::int64_t pixels_of_row = shape[1] * shape[2];
  for (std::int64_t n = 0; n < kPictures; ++n) {
    for (std::int64_t c = 0; c < shape[3]; ++c) {
      for (std::int64_t p = 0; p < pixels_of_row; ++p) {
        ordered.push_back(plain[static_cast<std::size_t>((n * pixels_of_row + p) * shape[3] + c)]);
      }
    }
  }
  return ordered;
}

// (n, h, w, c) bytes as the model wants them; `unit` is what a byte counts.
OnnxTensor channels_first(const std::vector<std::uint8_t>& pixels, std::int64_t channels,
                          std::int64_t size, double unit = 1) {
  const auto area = static_cast<std::size_t>(size * size);
  const auto depth = static_cast<std::size_t>(channels);
  OnnxTensor tensor{{std::ssize(pixels) / (size * size * channels), channels, size, size},
                    std::vector<double>(pixels.size())};
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const std::size_t picture = i / (area * depth), pixel = i / depth % area, c = i % depth;
    tensor.value[(picture * depth + c) * area + pixel] = unit * pixels[i];
  }
  return tensor;
}

double largest(const std::vector<double>& values) {
  double most = 0;
  for (const double value : values) most = std::max(most, std::abs(value));
  return most;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  std::vector<double> differences;
  for (std::size_t i = 0; i < a.size(); ++i) differences.push_back(a[i] - b[i]);
  return largest(differences);
}

std::vector<std::string> constant_names(const OnnxModel& model) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : model.constants) names.push_back(name);
  return names;
}

}  // namespace

TEST_CASE("an exported network computes the engine's features at every tap, for every front end") {
  for (const auto& kind : {std::pair{FrontEnd::sobel, 3}, std::pair{FrontEnd::sobel, 1},
                           std::pair{FrontEnd::clean, 3}, std::pair{FrontEnd::high_pass, 3}}) {
    const auto& [front, channels] = kind;
    CAPTURE(static_cast<int>(kind.first));
    CAPTURE(kind.second);
    Trained trained(front, channels);
    const std::vector<std::uint8_t> pixels = make_pictures(channels);
    const OnnxModel model = trained.model(kEveryTap);
    const OnnxTensor pictures = channels_first(pixels, channels, kSize);
    const auto values = reference::run_onnx(model, {{"pictures", pictures}});
    for (const std::string& tap : kEveryTap) {
      CAPTURE(tap);
      const std::vector<double> ours = engine_features(trained, pixels, tap);
      const OnnxTensor& theirs = values.at(tap);
      CHECK(theirs.size(0) == kPictures);
      // Fewer than 4,000 roundings of float32 lie between a pixel and the embedding; errors of
      // random signs grow with the root of that.
      const double tolerance = 64 * std::ldexp(1.0, -24) * largest(ours);
      CHECK(largest(ours) > 0);
      CHECK(largest_difference(ours, theirs.value) <= tolerance);
    }
  }
}

TEST_CASE("short and long features are exported as unit vectors, and none is divided by 0") {
  for (const float scale : {1e-6f, 1e4f, 0.0f}) {
    CAPTURE(scale);
    Trained trained(FrontEnd::clean, 3);
    const ParameterSet& parameters = trained.network.net->parameters();
    std::size_t index = 0;
    for (const Parameter& parameter : parameters.parameters()) {
      const View value = parameters.value(index++);
      if (!parameter.name.starts_with("classifier.fc6")) continue;
      for (std::int64_t i = 0; i < value.shape.elements(); ++i) value.as<float>()[i] *= scale;
    }
    trained.checkpoint = Checkpoint();
    put_parameters(trained.ctx, parameters, trained.checkpoint);
    const std::vector<std::uint8_t> pixels = make_pictures(3);
    const auto values = reference::run_onnx(trained.model({"embedding"}),
                                            {{"pictures", channels_first(pixels, 3, kSize)}});
    const std::vector<double> ours = engine_features(trained, pixels, "embedding");
    CHECK(largest_difference(ours, values.at("embedding").value) <= 1e-5);
    for (std::size_t row = 0; row < ours.size(); row += kDimension) {
      double length = 0;
      for (std::size_t i = row; i < row + kDimension; ++i) length += ours[i] * ours[i];
      CHECK(length == doctest::Approx(scale == 0 ? 0 : 1).epsilon(1e-5));
    }
  }
}

TEST_CASE("the unit of the pixels does not matter to an exported network") {
  const Trained trained(FrontEnd::sobel, 3);
  const OnnxModel model = trained.model({"embedding"});
  const std::vector<std::uint8_t> pixels = make_pictures(3);
  const auto bytes = reference::run_onnx(model, {{"pictures", channels_first(pixels, 3, kSize)}});
  const auto parts =
      reference::run_onnx(model, {{"pictures", channels_first(pixels, 3, kSize, 1.0 / 255)}});
  CHECK(largest_difference(bytes.at("embedding").value, parts.at("embedding").value) < 1e-12);
}

TEST_CASE("an exported model says what it is and how its values are shaped") {
  const OnnxModel colours = Trained(FrontEnd::clean, 3).model({"conv", "embedding"});
  CHECK(colours.file_version == 7);
  CHECK(colours.operator_set == 13);
  CHECK(colours.producer == "nat");
  CHECK(colours.description == "a test");
  CHECK(colours.metadata == std::map<std::string, std::string>{{"step", "12"}});
  CHECK(colours.inputs ==
        std::vector<reference::OnnxValue>{{"pictures", {"batch", "3", "32", "32"}}});
  // 32 -> 16 -> 7 -> 7 -> 5 -> 2, four channels.
  CHECK(colours.outputs == std::vector<reference::OnnxValue>{{"conv", {"batch", "16"}},
                                                             {"embedding", {"batch", "7"}}});
  const OnnxModel gradients = Trained(FrontEnd::sobel, 3).model({"fc"});
  CHECK(gradients.inputs ==
        std::vector<reference::OnnxValue>{{"pictures", {"batch", "channels", "32", "32"}}});
}

TEST_CASE("layers behind the last tap are left out of an exported model") {
  const Trained trained(FrontEnd::clean, 3);
  CHECK(constant_names(trained.model({"conv1"})) ==
        std::vector<std::string>{"features.bn1.bias", "features.bn1.running_mean",
                                 "features.bn1.running_var", "features.bn1.weight",
                                 "features.conv1.weight", "zero"});
  const OnnxModel whole = trained.model({"conv1", "embedding"});
  CHECK(whole.constants.contains("classifier.fc6.bias"));
  CHECK(whole.outputs.front().name == "conv1");
}

TEST_CASE("export refuses taps that are not there and checkpoints of another network") {
  const Trained trained(FrontEnd::sobel, 3);
  const auto refusal = [&](ErrorKind kind, const ExportedNetwork& network,
                           const std::vector<std::string>& taps) {
    return test::message_of(kind, [&] { network_graph(network, trained.checkpoint, taps); });
  };
  CHECK(refusal(ErrorKind::usage, trained.exported(), {"conv9"}).find("conv1, conv2") !=
        std::string::npos);
  CHECK(refusal(ErrorKind::usage, trained.exported(), {"fc", "fc"}).find("twice") !=
        std::string::npos);
  CHECK(refusal(ErrorKind::usage, trained.exported(), {}).find("empty") != std::string::npos);
  ExportedNetwork wider = trained.exported();
  wider.dimension = kDimension + 1;
  CHECK(refusal(ErrorKind::checkpoint, wider, {"embedding"}).find("classifier.fc6") !=
        std::string::npos);
  ExportedNetwork deeper = trained.exported();
  deeper.table.hidden.push_back({.features = 8, .dropout = 0});
  CHECK(refusal(ErrorKind::checkpoint, deeper, {"embedding"}).find("classifier.") !=
        std::string::npos);
}

TEST_CASE("nat export writes a model of the features that nat embed writes") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run)).code == 0);
  const std::string features = workspace.at("features.safetensors"), file = workspace.at("a.onnx");
  REQUIRE(nat::tools::nat(workspace, {"embed", run, "--output", features, "--split", "test",
                                      "--layers", "conv,fc,embedding"})
              .code == 0);
  const Outcome exported = nat::tools::nat(
      workspace, {"export", run, "--output", file, "--layers", "conv,fc,embedding", "--json"});
  REQUIRE_MESSAGE(exported.code == 0, exported.err);
  CHECK(nlohmann::json::parse(exported.out).at("layers").size() == 3);
  CHECK(nlohmann::json::parse(exported.out).at("step") == 64);

  const OnnxModel model = reference::parse_onnx(read_file(file));
  CHECK(model.metadata.at("network") == "convnet");
  CHECK(model.description.find("float32") != std::string::npos);
  std::string labels;
  const std::string records = idx_pictures(128, 2, &labels).substr(16);  // of make_data
  const OnnxTensor pictures =
      channels_first(std::vector<std::uint8_t>(records.begin(), records.end()), 1, 16);
  const auto values = reference::run_onnx(model, {{"pictures", pictures}});
  const Checkpoint embedded = Checkpoint::load(features);
  for (const char* tap : {"conv", "fc", "embedding"}) {
    CAPTURE(tap);
    const Checkpoint::Tensor& tensor = embedded.get(tap);
    const auto* begin = tensor.as<float>();
    const std::vector<double> ours(begin, begin + tensor.elements());
    CHECK(largest_difference(ours, values.at(tap).value) <= 1e-5 * largest(ours));
  }
}

TEST_CASE("nat export describes the window that the network looked at") {
  const Workspace workspace;
  const std::string data = make_data(workspace);  // 16 x 16, whatever --stored-size says
  const auto described = [&](const char* crop, const char* size) {
    const std::string run = workspace.at(std::string(crop) + size);
    const Outcome trained =
        nat::tools::nat(workspace, small_run(data, run,
                                             {"--crop", crop, "--size", size, "--stored-size", "32",
                                              "--width", "1", "--epochs", "1", "--limit", "64"}));
    REQUIRE_MESSAGE(trained.code == 0, trained.err);
    const Outcome exported =
        nat::tools::nat(workspace, {"export", run, "--output", workspace.at("a.onnx")});
    REQUIRE_MESSAGE(exported.code == 0, exported.err);
    return exported.out;
  };
  CHECK(described("none", "12")
            .find("the middle 12 x 12 pixels of a picture whose short side is "
                  "16; ") != std::string::npos);
  CHECK(described("none", "20")
            .find("the middle 16 x 16 pixels of a picture whose short side is "
                  "16, resized to 20 x 20 pixels (bilinear); ") != std::string::npos);
  CHECK(described("area", "12")
            .find("the middle 16 x 16 pixels of a picture whose short side is "
                  "16, resized to 12 x 12 pixels (bilinear); ") != std::string::npos);
}

TEST_CASE("nat export says in one line why it cannot") {
  const Workspace workspace;
  const std::string run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(make_data(workspace), run)).code == 0);
  const auto refused = [&](const std::vector<std::string>& arguments, int code,
                           const std::string& word) {
    const Outcome outcome = nat::tools::nat(workspace, arguments);
    CAPTURE(outcome.err);
    CHECK(outcome.code == code);
    CHECK(outcome.out.empty());
    CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 1);
    CHECK(outcome.err.find(word) != std::string::npos);
  };
  const std::string file = workspace.at("a.onnx");
  refused({"export", run, "--output", file, "--layers", "conv7"}, 2, "choose from");
  refused({"export", run, "--output", run + "/results.json"}, 2, "belongs to the run");
  refused({"export", run, "--output", workspace.at("none/a.onnx")}, 8, "none");
  refused({"export", workspace.at("none"), "--output", file}, 4, "none");
  CHECK_FALSE(std::filesystem::exists(file));
}
