// The commands of a run on the device under test: the program itself, from pictures to the report.
// As gpu_tools_commands_test it runs on a GPU (tests/gpu.cmake).
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/checkpoint.h"
#include "tests/opcases/device.h"
#include "tests/tools_support.h"

using namespace nat;
using namespace nat::tools;

namespace {

constexpr int kTrain = 512, kTest = 128;

std::string succeeded(const Workspace& workspace, const std::vector<std::string>& arguments) {
  CAPTURE(arguments[0] + " " + arguments[1]);
  const Outcome outcome = tools::nat(workspace, arguments);
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  return outcome.out;
}

std::vector<std::string> device_run(const std::string& data, const std::string& out,
                                    const std::string& dtype,
                                    const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments =
      small_run(data, out, {"--device", name(test::kDevice), "--dtype", dtype});
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

// Four classes: an accuracy that guessing has less than once in ten thousand times.
bool above_chance(double accuracy) { return accuracy > 0.25 + 4 * std::sqrt(0.25 * 0.75 / kTest); }

// A copy of the run whose commands compute on the CPU.
std::string for_cpu(const Workspace& workspace, const std::string& run) {
  const std::string copy = workspace.at("on-cpu");
  std::filesystem::copy(run, copy, std::filesystem::copy_options::recursive);
  std::string config = read_file(copy + "/config.toml");
  const std::string line = str("device = '", name(test::kDevice), "'");
  const auto at = config.find(line);
  REQUIRE(at != std::string::npos);
  write_file(copy + "/config.toml", config.replace(at, line.size(), "device = 'cpu'"));
  return copy;
}

// The embeddings of all training pictures, row by row.
std::vector<float> embeddings(const Workspace& workspace, const std::string& run) {
  const std::string path = workspace.at("features.safetensors");
  succeeded(workspace, {"embed", run, "--output", path});
  const Checkpoint file = Checkpoint::load(path);
  std::vector<std::int32_t> ids(kTrain);
  file.read("id", DType::i32, {kTrain}, ids.data());
  CHECK(ids.front() == 0);
  CHECK(ids.back() == kTrain - 1);
  std::vector<float> rows(kTrain * 16);
  file.read("embedding", DType::f32, {kTrain, 16}, rows.data());
  return rows;
}

}  // namespace

TEST_CASE("a run on the device, stopped and resumed, ends as the undisturbed one") {
  const Workspace workspace;
  const std::string data = make_data(workspace, kTrain, kTest);
  for (const std::string dtype : {"f32", "auto"}) {
    CAPTURE(dtype);
    const std::string undisturbed = workspace.at("undisturbed-" + dtype);
    const Outcome trained =
        tools::nat(workspace, device_run(data, undisturbed, dtype, {"--knn-every", "2"}));
    REQUIRE_MESSAGE(trained.code == 0, trained.err);
    CHECK(trained.err.find(std::string("device ") + name(test::kDevice)) != std::string::npos);
    const std::string run = workspace.at("run-" + dtype);
    const Outcome stopped = tools::nat(
        workspace, device_run(data, run, dtype, {"--knn-every", "2", "--stop-after-steps", "21"}));
    REQUIRE_MESSAGE(stopped.code == 75, stopped.err);
    const std::string plans = run + "/library_plans.txt";  // of cuDNN and cuBLASLt
    const bool has_plans = std::filesystem::exists(plans);
    CHECK(has_plans == (test::kDevice == Device::cuda));
    const std::string chosen = has_plans ? read_file(plans) : "";
    succeeded(workspace, {"resume", run});
    check_same_end(run, undisturbed);
    // Judging by kNN, after the resume, adds plans of its own; none has changed.
    std::istringstream lines(chosen);
    for (std::string line; std::getline(lines, line);) {
      CHECK(read_file(plans).find(line + "\n") != std::string::npos);
    }
  }
}

TEST_CASE("every judge finds the classes on the device") {
  const Workspace workspace;
  const std::string data = make_data(workspace, kTrain, kTest), run = workspace.at("run");
  succeeded(workspace, device_run(data, run, "auto"));
  const auto judged = [&](const std::string& how, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"eval", how, run, "--threads", "1", "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return nlohmann::json::parse(succeeded(workspace, arguments));
  };
  const auto all = judged("all");
  for (const char* tap : {"conv", "fc", "embedding"}) {
    for (const char* measure : {"knn", "linear"}) {
      CAPTURE(tap);
      CAPTURE(measure);
      CHECK(above_chance(all.at(tap).at(measure).at("trained")));
      CHECK(above_chance(all.at("raw").at(measure).at("value")));
    }
  }
  CHECK(above_chance(judged("mlp", {"--epochs", "12"}).at("conv").at("mlp").at("trained")));
  const auto layers = judged("layers", {"--epochs", "12", "--views", "2"});
  for (const char* tap : {"conv1", "conv2", "conv3"}) {
    CHECK(above_chance(layers.at(tap).at("linear_sgd").at("trained")));
  }
  for (const char* loss : {"softmax", "square"}) {
    const auto network = judged("finetune", {"--epochs", "6", "--loss", loss}).at("network");
    CAPTURE(loss);
    CHECK(above_chance(network.at("finetune").at("trained")));
    CHECK(above_chance(network.at("finetune").at("untrained")));  // learns from nothing
  }
  CHECK(above_chance(judged("retrieval").at("conv").at("recall_1").at("trained")));
  CHECK(judged("cluster").at("conv").at("nmi").at("trained") > 0);
}

TEST_CASE("features and report of a run on the device are those that the CPU makes of it") {
  const Workspace workspace;
  const std::string data = make_data(workspace, kTrain, kTest), run = workspace.at("run");
  succeeded(workspace, device_run(data, run, "f32"));
  const std::string copy = for_cpu(workspace, run);

  // Sums of up to 1,152 products in another order, in five layers: their relative errors of at most
  // 1152 * 2^-24 each turn a row by 3.4e-4 at most, before Winograd's transforms and batch norm
  // magnify them; ten times that.
  const std::vector<float> here = embeddings(workspace, run), cpu = embeddings(workspace, copy);
  for (std::size_t row = 0; row < here.size(); row += 16) {
    double apart = 0, length = 0;
    for (std::size_t k = row; k < row + 16; ++k) {
      apart += std::pow(static_cast<double>(here[k]) - static_cast<double>(cpu[k]), 2);
      length += std::pow(static_cast<double>(here[k]), 2);
    }
    CHECK(std::sqrt(apart) < 3.4e-3);
    CHECK(length == doctest::Approx(1).epsilon(1e-5));
  }

  succeeded(workspace, {"report", run});
  succeeded(workspace, {"report", copy});
  CHECK(read_file(run + "/report.html").find("</html>") != std::string::npos);
  const std::string filters = read_file(run + "/figures/filters.png");
  CHECK(filters.size() > 100);
  CHECK(filters == read_file(copy + "/figures/filters.png"));
}

TEST_CASE("the demo goes from pictures to the report on whatever device is there") {
  const Workspace workspace;
  const std::string data = make_data(workspace, kTrain, kTest), run = workspace.at("run");
  succeeded(workspace, {"demo", "--data", data, "--out", run, "--epochs", "2", "--threads", "1"});
  CHECK(nlohmann::json::parse(read_file(run + "/results.json")).contains("conv"));
  CHECK(read_file(run + "/report.html").find("</html>") != std::string::npos);
}
