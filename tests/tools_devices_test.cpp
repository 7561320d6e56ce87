// Choosing the device at run time: a build with CUDA on a machine without a driver is a CPU program
// that says why the GPU is not used.
#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "kernels/context.h"
#include "nat_config.h"
#include "tests/tools_support.h"

using namespace nat;
using namespace nat::tools;

TEST_CASE("doctor names the CUDA device, or why there is none") {
  const CudaDevice device = cuda_device();
  const auto json = nlohmann::json::parse(tools::nat(Workspace(), {"doctor", "--json"}).out);
  CHECK(json["cuda_kernels"] == kHasCudaKernels);
  CHECK(json["cuda_device"] == (device.usable() ? device.name : device.reason));
  CHECK(json["auto_device"] == (device.usable() ? "cuda" : "cpu"));
  CHECK(device.usable() == device.reason.empty());
}

TEST_CASE("asking for a GPU that is not there is an error that says why, and trains nothing") {
  if (cuda_device().usable()) {
    MESSAGE("skipped: there is a CUDA device");
    return;
  }
  const Workspace workspace;
  const Outcome outcome = tools::nat(
      workspace, small_run(make_data(workspace), workspace.at("run"), {"--device", "cuda"}));
  CHECK(outcome.code == 6);
  CHECK(outcome.err.find(cuda_device().reason) != std::string::npos);
  CHECK(outcome.err.find("use --device cpu") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(workspace.at("run")));
}

TEST_CASE("a run of a GPU is judged and goes on where there is none, on a device named for once") {
  if (cuda_device().usable()) {
    MESSAGE("skipped: there is a CUDA device");
    return;
  }
  const Workspace workspace;
  const std::string run = workspace.at("run"), picture = workspace.at("grey.pgm");
  write_file(picture, "P5 16 16 255\n" + std::string(256, '\x80'));
  const std::vector<std::string> stopped = {"--device", "cpu", "--stop-after-steps", "16"};
  REQUIRE(tools::nat(workspace, small_run(make_data(workspace), run, stopped)).code == 75);
  std::string config = read_file(run + "/config.toml");
  config.replace(config.find("device = 'cpu'"), 14, "device = 'cuda'");
  write_file(run + "/config.toml", config);
  const std::vector<std::vector<std::string>> commands = {
      {"eval", "knn", run, "--layers", "conv"},
      {"embed", run, "--output", workspace.at("features")},
      {"neighbors", run, picture},
      {"report", run},
      {"resume", run}};
  for (std::vector<std::string> command : commands) {
    CAPTURE(command.front());
    check_refused(workspace, command, 6, {cuda_device().reason, "use --device cpu"});
    command.insert(command.end(), {"--device", "cpu"});
    std::vector<std::string> wrong = command;
    wrong.insert(wrong.end(), {"--dtype", "f23"});
    check_refused(workspace, wrong, 2, {"--dtype 'f23'", "did you mean 'f32'"});
    command.insert(command.end(), {"--dtype", "f32"});
    const Outcome outcome = tools::nat(workspace, command);
    CHECK_MESSAGE(outcome.code == 0, outcome.err);
  }
  CHECK(read_file(run + "/config.toml") == config);
  const std::string page = read_file(run + "/report.html");
  CHECK(page.find("<td><code>cuda</code></td>") != std::string::npos);  // as the run says
}

TEST_CASE("a run that could choose says which device it took, and why not the GPU") {
  const CudaDevice device = cuda_device();
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const auto header = [&](const char* asked) {
    const std::vector<std::string> more = {"--device", asked, "--stop-after-steps", "1"};
    return tools::nat(workspace, small_run(data, workspace.at(asked), more)).err;
  };
  const std::string chosen = header("auto");
  CHECK(chosen.find(device.usable() ? "device cuda (" + device.name
                                    : "not cuda: " + device.reason) != std::string::npos);
  CHECK(header("cpu").find("not cuda") == std::string::npos);
}

TEST_CASE("a run computes with as many threads as it is told") {
#if defined(_OPENMP)
  const Workspace workspace;
  const std::string data = make_data(workspace);
  for (const std::string threads : {"1", "3"}) {
    std::vector<std::string> arguments =
        small_run(data, workspace.at(threads), {"--device", "cpu", "--stop-after-steps", "1"});
    *(std::find(arguments.begin(), arguments.end(), "--threads") + 1) = threads;
    const Outcome outcome = tools::nat(workspace, arguments);
    CAPTURE(outcome.err);
    CHECK(outcome.err.find("device cpu (" + threads + " threads") != std::string::npos);
  }
#else
  MESSAGE("skipped: built without OpenMP");
#endif
}

TEST_CASE("a run computes in tf32 where it is told to and there is a GPU, else it is refused") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const auto asked = [&](const std::string& device) {
    return small_run(data, workspace.at(device),
                     {"--device", device, "--dtype", "tf32", "--stop-after-steps", "1"});
  };
  check_refused(workspace, asked("cpu"), 6, {"--dtype tf32 exists on CUDA only"});
  if (!cuda_device().usable()) return;
  const Outcome outcome = tools::nat(workspace, asked("cuda"));
  CAPTURE(outcome.err);
  CHECK(outcome.code == 75);
  CHECK(outcome.err.find("), tf32\n") != std::string::npos);
}

TEST_CASE("a run that goes on in another precision says so") {
  const Workspace workspace;
  const std::string run = workspace.at("run");
  const std::vector<std::string> single = {"--device",           "cpu", "--dtype", "f32",
                                           "--stop-after-steps", "3"};
  REQUIRE(tools::nat(workspace, small_run(make_data(workspace), run, single)).code == 75);
  const auto resumed = [&](const std::string& dtype) {
    return tools::nat(workspace, {"resume", run, "--dtype", dtype, "--stop-after-steps", "3"});
  };
  CHECK(resumed("f32").err.find("computing in") == std::string::npos);
  const Outcome half = resumed("bf16");
  if (half.code == 6) {
    MESSAGE("skipped: this processor has no bfloat16");
    return;
  }
  REQUIRE_MESSAGE(half.code == 75, half.err);
  CHECK(half.err.find("computing in bf16 from here on (before: f32)") != std::string::npos);
  const Outcome again = resumed("f32");
  CHECK(again.err.find("computing in f32 from here on (before: bf16)") != std::string::npos);
}

TEST_CASE("the memory of a step on CUDA is planned without a device") {
  const auto total = [](const std::string& device, const std::string& dtype) {
    const auto json = nlohmann::json::parse(
        tools::nat(Workspace(), {"inspect", "--plan", "--preset", "official", "--batch", "256",
                                 "--device", device, "--dtype", dtype, "--json"})
            .out);
    return json["arena_bytes"].get<double>() / (1 << 20);
  };
  const double single = total("cuda", "f32"), half = total("cuda", "bf16");
  CHECK(half < 0.55 * single);  // activations of two bytes; arg-maxima and statistics stay
  CHECK(half > 0.45 * single);
}
