// The roofline calculator: counts that can be made by hand from the layer table of AlexNet, totals
// worked out independently of the program, and the agreement of its layers with the network built.
#include <doctest/doctest.h>

#include <cmath>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/sequential.h"
#include "models/network.h"
#include "tests/tools_support.h"
#include "tools/roofline/roofline.h"

using namespace nat;
using roofline::Floor;
using roofline::Kind;
using roofline::Operation;
using roofline::Workload;

namespace {

Workload alexnet_workload(std::int64_t batch, Math math) {
  Workload workload = roofline::workload_of({.name = "alexnet", .dimension = 2048}, 224);
  workload.batch = batch;
  workload.math = math;
  return workload;
}

Floor floor_on(const std::string& card, std::int64_t batch, Math math) {
  const auto operations = roofline::step_operations(alexnet_workload(batch, math));
  return roofline::floor_of(operations, roofline::card(card).expected, math);
}

// Equal to as many digits as the expected figure was printed with: half a unit of the last one.
void check_printed(double actual, double printed, double last_digit) {
  CHECK(actual == doctest::Approx(printed).epsilon(1e-12 + last_digit / 2 / printed));
}

std::map<std::string, Operation> by_name(const std::vector<Operation>& operations) {
  std::map<std::string, Operation> found;
  for (const Operation& operation : operations) found.emplace(operation.name, operation);
  REQUIRE(found.size() == operations.size());  // no name twice
  return found;
}

}  // namespace

TEST_CASE("AlexNet takes 2.209 GFLOP forward and 6.486 GFLOP of training for a picture") {
  const Workload workload = alexnet_workload(256, Math::bf16);
  check_printed(roofline::forward_flops_of_picture(workload) / 1e9, 2.209, 1e-3);
  check_printed(roofline::training_flops_of_picture(workload) / 1e9, 6.486, 1e-3);
}

TEST_CASE("forward products of AlexNet's layers, MFLOP a picture") {
  const auto operations = by_name(roofline::step_operations(alexnet_workload(1, Math::bf16)));
  const std::map<std::string, double> expected = {
      {"conv1", 140.6}, {"conv2", 895.8}, {"conv3", 299.0}, {"conv4", 448.6},
      {"conv5", 299.0}, {"fc6", 75.5},    {"fc7", 33.6},    {"fc8", 16.8}};
  for (const auto& of_layer : expected) {
    const auto& [layer, mflop] = of_layer;
    CAPTURE(of_layer.first);
    const double forward = operations.at(layer + " forward").flops;
    check_printed(forward / 1e6, mflop, 0.1);
    CHECK(operations.at(layer + " backward weights").flops == forward);
    CHECK(operations.count(layer + " backward data") == (layer == "conv1" ? 0 : 1));
  }
}

TEST_CASE("megabytes of every operation of AlexNet at batch 256 in bf16") {
  const auto operations = by_name(roofline::step_operations(alexnet_workload(256, Math::bf16)));
  const std::map<std::string, double> expected = {{"preprocess", 66},
                                                  {"conv1 forward", 202},
                                                  {"conv1 backward weights", 202},
                                                  {"bn1 statistics", 149},
                                                  {"bn1 forward", 202},
                                                  {"bn1 backward sums", 72},
                                                  {"bn1 backward", 351},
                                                  {"conv2 backward data", 133},
                                                  {"bn2 statistics", 96},
                                                  {"bn2 forward", 129},
                                                  {"bn2 backward sums", 44},
                                                  {"bn2 backward", 224},
                                                  {"conv3 forward", 57},
                                                  {"bn3 statistics", 33},
                                                  {"bn3 forward", 66},
                                                  {"bn3 backward sums", 66},
                                                  {"bn3 backward", 100},
                                                  {"conv4 forward", 69},
                                                  {"conv5 forward", 57},
                                                  {"bn5 statistics", 22},
                                                  {"bn5 forward", 29},
                                                  {"bn5 backward sums", 9},
                                                  {"bn5 backward", 51},
                                                  {"fc6 forward", 82},
                                                  {"fc7 forward", 38},
                                                  {"fc8 forward", 20},
                                                  {"loss", 4},
                                                  {"scores", 2},
                                                  {"update", 800}};
  for (const auto& traffic : expected) {
    CAPTURE(traffic.first);
    check_printed(operations.at(traffic.first).bytes / 1e6, traffic.second, 1);
  }
}

TEST_CASE("floors of AlexNet's step by card, dtype and batch") {
  struct Row {
    const char* card;
    Math math;
    std::int64_t batch;
    double ms, ms_digit, thousand_images;
  };
  const Row rows[] = {{"H200", Math::bf16, 256, 2.76, 0.01, 92.8},
                      {"H200", Math::bf16, 1024, 10.48, 0.01, 97.7},
                      {"H200", Math::tf32, 256, 5.27, 0.01, 48.6},
                      {"H200", Math::tf32, 1024, 20.5, 0.1, 49.9},
                      {"H200", Math::f32, 256, 28.8, 0.1, 8.9},
                      {"RTX 4090", Math::bf16, 256, 13.1, 0.1, 19.5},
                      {"RTX 4090", Math::bf16, 1024, 49.9, 0.1, 20.5},
                      {"RTX 4090", Math::tf32, 256, 25.3, 0.1, 10.1},
                      {"RTX 4090", Math::f32, 256, 25.3, 0.1, 10.1}};
  for (const Row& row : rows) {
    CAPTURE(str(row.card, " ", name(row.math), " ", row.batch));
    const Floor floor = floor_on(row.card, row.batch, row.math);
    check_printed(1e3 * floor.seconds, row.ms, row.ms_digit);
    check_printed(static_cast<double>(row.batch) / floor.seconds / 1e3, row.thousand_images, 0.1);
  }
}

TEST_CASE("the floor of a step on an H200 splits by kind, and into pure products and pure bytes") {
  const Floor floor = floor_on("H200", 256, Math::bf16);
  check_printed(1e3 * floor.seconds_of(Kind::convolution), 1.98, 0.01);
  check_printed(1e3 * floor.seconds_of(Kind::batch_norm), 0.45, 0.01);
  check_printed(1e3 * floor.seconds_of(Kind::update), 0.19, 0.01);
  check_printed(1e3 * floor.seconds_of(Kind::linear), 0.12, 0.01);
  check_printed(1e3 * floor.seconds_of(Kind::preprocess), 0.015, 0.001);
  check_printed(1e3 * floor.seconds_of(Kind::head), 0.002, 0.001);
  check_printed(floor.bytes / 1e9, 4.59, 0.01);
  const double flops = roofline::training_flops_of_picture(alexnet_workload(256, Math::bf16));
  check_printed(790e12 / flops / 1e3, 121.8, 0.1);
  check_printed(256 * 4.3e12 / floor.bytes / 1e3, 240, 1);
}

TEST_CASE("momentum adds eight bytes for every trained parameter") {
  Context ctx;
  const Network network = build_architecture(ctx, {.dimension = 64}, Shape(1, 28, 28, 2));
  double trained = 0;
  for (const Parameter& parameter : network.net->parameters().parameters()) {
    trained += static_cast<double>(parameter.shape.elements());
  }
  Workload workload = roofline::workload_of({.name = "convnet", .dimension = 64}, 28);
  CHECK(roofline::step_operations(workload).back().bytes == 12 * trained);
  workload.momentum = true;
  CHECK(roofline::step_operations(workload).back().bytes == 20 * trained);
}

TEST_CASE("bytes follow the activations of the network that is built") {
  Context ctx;
  const Network network = build_architecture(ctx, {.dimension = 64}, Shape(1, 28, 28, 2));
  const auto activations = network.net->activations(ctx, 1);
  const auto elements = [&](const char* layer) {
    return static_cast<double>(activations[network.net->layer_index(layer) + 1].shape.elements());
  };
  Workload workload = roofline::workload_of({.name = "convnet", .dimension = 64}, 28);
  workload.batch = 3;
  workload.math = Math::f32;
  const auto operations = by_name(roofline::step_operations(workload));
  for (const std::string number : {"1", "2", "3"}) {
    CAPTURE(number);
    const double raw = elements(("features.conv" + number).c_str());
    const double pooled = elements(("features.bn" + number).c_str());
    const double places = number == "1" ? 0 : pooled;
    CHECK(operations.at("bn" + number + " forward").bytes == 3 * (4 * (raw + pooled) + places));
  }
  CHECK(operations.at("fc4 forward").flops == 3 * 2 * elements("features.bn3") * 256);
}

TEST_CASE("what every card is expected to sustain") {
  struct Row {
    const char* card;
    double bf16, tf32, f32, terabytes;  // tera-operations and terabytes a second
  };
  const Row rows[] = {{"H200", 790, 400, 60, 4.3},
                      {"H100", 790, 400, 60, 3.0},
                      {"A100", 250, 125, 17.5, 1.83},
                      {"RTX 4090", 165, 82.6, 82.6, 0.92},
                      {"RTX 5090", 209, 104, 104, 1.63}};
  CHECK(roofline::cards().size() == std::size(rows));
  for (const Row& row : rows) {
    CAPTURE(row.card);
    const roofline::Ceilings& expected = roofline::card(row.card).expected;
    CHECK(expected.product_rate(Math::bf16) == doctest::Approx(1e12 * row.bf16));
    CHECK(expected.product_rate(Math::tf32) == doctest::Approx(1e12 * row.tf32));
    CHECK(expected.product_rate(Math::f32) == doctest::Approx(1e12 * row.f32));
    CHECK(expected.bytes_per_second == doctest::Approx(1e12 * row.terabytes));
  }
}

TEST_CASE("an unknown card is refused with the names of the known ones") {
  std::string message;
  try {
    roofline::card("H20");
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::usage);
    message = error.what();
  }
  CHECK(message.find("H200, H100, A100, RTX 4090") != std::string::npos);
}

TEST_CASE("pictures too small for the network are refused") {
  CHECK_THROWS_AS(roofline::step_operations(roofline::workload_of({.name = "alexnet"}, 32)), Error);
}

TEST_CASE("nat bench --roofline prints the floor, from expected or measured ceilings") {
  const tools::Workspace workspace;
  const auto ask = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"bench", "--roofline", "--json"});
    return tools::nat(workspace, more);
  };
  const auto expected = ask({"--network", "alexnet", "--batch", "256", "--card", "H200"});
  REQUIRE(expected.code == 0);
  check_printed(nlohmann::json::parse(expected.out)["floor_ms"].get<double>(), 2.76, 0.01);
  // A card that copies at next to no cost is bound by its products: 6.486 GFLOP a picture and the
  // scores.
  const auto measured = ask({"--product-tflops", "1", "--copy-gbs", "1e6"});
  REQUIRE(measured.code == 0);
  const auto json = nlohmann::json::parse(measured.out);
  CHECK(json["floor_ms"].get<double>() == doctest::Approx(json["flops"].get<double>() / 1e9));
  CHECK(ask({"--card", "Voodoo 2"}).code == 2);
  // Float32 products are slower and everything takes twice the room; momentum is read and written.
  const auto plain = nlohmann::json::parse(ask({}).out);
  const auto wide = nlohmann::json::parse(ask({"--dtype", "f32"}).out);
  CHECK(plain["product_flops_per_second"] == 790e12);
  CHECK(wide["product_flops_per_second"] == 60e12);
  CHECK(wide["flops"] == plain["flops"]);
  CHECK(wide["bytes"] > plain["bytes"]);
  const auto momentum = nlohmann::json::parse(ask({"--momentum"}).out);
  const auto update = [](const nlohmann::json& floor) {
    return floor["operations"].back()["bytes"].get<double>();
  };
  CHECK(update(momentum) / update(plain) == doctest::Approx(20. / 12));
}
