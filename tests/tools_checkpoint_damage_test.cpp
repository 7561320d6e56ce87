// Checkpoints that are damaged, or whole and say what cannot be, and networks that have diverged.
#include <cmath>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/checkpoint.h"
#include "tests/tools_support.h"

using namespace nat::tools;
using nat::Checkpoint;
using nat::DType;

namespace {

// The same checkpoint with other metadata and tensors, and a checksum that fits.
Checkpoint changed(const Checkpoint& from,
                   const std::function<void(std::map<std::string, std::string>&,
                                            std::vector<Checkpoint::Tensor>&)>& change) {
  std::map<std::string, std::string> metadata = from.metadata;
  std::vector<Checkpoint::Tensor> tensors = from.tensors();
  change(metadata, tensors);
  Checkpoint to;
  to.metadata = metadata;
  for (const Checkpoint::Tensor& tensor : tensors) {
    to.put(tensor.name, tensor.dtype, tensor.shape, tensor.bytes.data());
  }
  return to;
}

Checkpoint with_metadata(const Checkpoint& from, const std::string& key, const std::string& value) {
  return changed(from, [&](auto& metadata, auto&) { metadata[key] = value; });
}

// With `value` as the first number of a tensor.
template <class Number>
Checkpoint with_number(const Checkpoint& from, const std::string& name, Number value) {
  return changed(from, [&](auto&, auto& tensors) {
    for (Checkpoint::Tensor& tensor : tensors) {
      if (tensor.name == name) std::memcpy(tensor.bytes.data(), &value, sizeof value);
    }
  });
}

}  // namespace

TEST_CASE("a damaged checkpoint of a later step does not push out the one that was just saved") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  const std::vector<std::string> stopped = {"--stop-after-steps", "48", "--keep-checkpoints", "1"};
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, stopped)).code == 75);
  write_file(run + "/checkpoints/step-000000060.safetensors", "damaged");
  CHECK(nat::tools::nat(workspace, {"resume", run, "--stop-after-steps", "2"}).code == 75);
  CHECK(std::filesystem::exists(run + "/checkpoints/step-000000050.safetensors"));
  CHECK_FALSE(std::filesystem::exists(run + "/checkpoints/step-000000048.safetensors"));
  const Outcome resumed = nat::tools::nat(workspace, {"resume", run});
  CHECK_MESSAGE(resumed.code == 0, resumed.err);
}

TEST_CASE("a checkpoint that does not tell its precision, as old ones do not, is gone on from") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--stop-after-steps", "3"})).code == 75);
  const std::string newest = newest_checkpoint(run);
  const Checkpoint whole = Checkpoint::load(newest);
  CHECK(whole.metadata.contains("math"));
  changed(whole, [](auto& metadata, auto&) { metadata.erase("math"); }).save(newest);
  const Outcome resumed = nat::tools::nat(workspace, {"resume", run});
  CHECK_MESSAGE(resumed.code == 0, resumed.err);
  CHECK(resumed.err.find("computing in") == std::string::npos);
}

TEST_CASE("whoever falls back to an older network says which, and why") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run)).code == 0);
  const std::string picture = workspace.at("picture.pgm"), newest = newest_checkpoint(run);
  write_file(picture, "P5 16 16 255\n" + std::string(256, '\x50'));
  const auto lines = [](const std::string& text) {
    return std::count(text.begin(), text.end(), '\n');
  };
  const std::vector<std::vector<std::string>> commands = {
      {"eval", "knn", run, "--layers", "conv"},
      {"embed", run, "--output", workspace.at("features")},
      {"export", run, "--output", workspace.at("network.onnx")},
      {"report", run},
      {"neighbors", run, picture},
      {"inspect", run}};
  for (const std::vector<std::string>& command : commands) {
    CAPTURE(command.front());
    const Outcome whole = nat::tools::nat(workspace, command);
    REQUIRE_MESSAGE(whole.code == 0, whole.err);
    CHECK(whole.err.find("step-") == std::string::npos);
  }
  write_file(newest, "damaged");
  for (const std::vector<std::string>& command : commands) {
    const Outcome outcome = nat::tools::nat(workspace, command);
    CAPTURE(command.front());
    CAPTURE(outcome.err);
    CHECK(outcome.code == 0);
    CHECK(outcome.err.starts_with("checkpoint " + newest + ": "));
    CHECK(outcome.err.find("\nusing step-000000048.safetensors\n") != std::string::npos);
    const bool judges = command.front() == "eval";
    CHECK(lines(outcome.err) == (judges ? 3 : 2));
    CHECK((outcome.err.find("\njudged the network of step 48 by 512 ") != std::string::npos) ==
          judges);
  }
}

TEST_CASE("a checkpoint too many, left by a process that was killed, goes with the next resume") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  const std::string folder = run + "/checkpoints/", spare = folder + "step-000000001.safetensors";
  REQUIRE(nat::tools::nat(workspace, small_run(data, run)).code == 0);
  std::filesystem::copy_file(newest_checkpoint(run), spare);
  write_file(folder + "step-000000064.safetensors.tmp", "half");
  const std::string log = run + "/train.log", before = read_file(log);
  CHECK(before.starts_with("device cpu"));
  CHECK(before.find("\nepoch 4/4  loss ") != std::string::npos);
  const Outcome done = nat::tools::nat(workspace, {"resume", run});
  CHECK(read_file(log).starts_with(before));  // what was told stays
  CHECK(read_file(log).size() > before.size());
  CHECK(done.code == 0);
  CHECK(done.err.find("\nnothing is left to train: all 4 epochs are done; 'nat resume " + run +
                      " --epochs N' goes on to N\n") != std::string::npos);
  CHECK_FALSE(std::filesystem::exists(spare));
  CHECK(std::distance(std::filesystem::directory_iterator(folder),
                      std::filesystem::directory_iterator()) == 3);
}

TEST_CASE("a checkpoint whose numbers cannot be is refused, however whole it is") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  const std::vector<std::string> stopped = {"--stop-after-steps", "37"};  // 2 epochs and 5 steps
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, stopped)).code == 75);
  const std::string file = newest_checkpoint(run), metrics = read_file(run + "/metrics.csv");
  const Checkpoint whole = Checkpoint::load(file);
  const auto refused = [&](const Checkpoint& checkpoint, const std::string& command, int code,
                           const std::string& word) {
    checkpoint.save(file);
    std::vector<std::string> arguments = {command, run};
    if (command == "eval") arguments.insert(arguments.begin() + 1, "knn");
    check_refused(workspace, arguments, code, {word});
    CHECK(read_file(run + "/metrics.csv") == metrics);
  };
  for (const std::string key : {"step", "epoch", "step_in_epoch"}) {
    for (const std::string value : {"", "abc", "13x", " 13", "-5", "1e3", "99999999999999999999"}) {
      CAPTURE(key);
      CAPTURE(value);
      refused(with_metadata(whole, key, value), "resume", 4, key);
    }
  }
  refused(with_metadata(whole, "step", "37x"), "eval", 4, "step");
  refused(with_metadata(whole, "step", "9223372036854775807"), "resume", 4, "2 epochs of 16 steps");
  refused(with_metadata(whole, "step", "38"), "resume", 4, "38 steps");
  refused(with_metadata(whole, "epoch", "3"), "resume", 4, "3 epochs");
  refused(changed(whole,
                  [](auto& metadata, auto&) {
                    metadata["epoch"] = "1";
                    metadata["step_in_epoch"] = "21";
                  }),
          "resume", 4, "1 epochs");
  const std::string sizes = whole.metadata.at("metrics");
  for (const std::string& text : {std::string("0 0 0"), std::string("2 10 10"),
                                  std::string("-1 -1 -1"), " " + sizes, "1" + sizes.substr(1)}) {
    CAPTURE(text);
    refused(with_metadata(whole, "metrics", text), "resume", 4, "metrics");
  }
  refused(with_metadata(whole, "format", "nat-2"), "resume", 4, "nat-2");
  refused(with_metadata(whole, "config", "= = ="), "resume", 4, "config in the checkpoint");
  refused(with_metadata(whole, "config", "foo = 1"), "eval", 4, "config in the checkpoint");
  refused(with_number(whole, "nat.epoch_sums", std::nan("")), "resume", 4, "sums");
  refused(with_number(whole, "nat.epoch_sums", -32.0), "resume", 4, "sums");
  refused(with_number(whole, "nat.previous_loss", std::nan("")), "resume", 4, "sums");
  refused(with_number(whole, "nat.permutation", 512), "resume", 4, "target 512");
  refused(changed(whole,
                  [](auto&, auto& tensors) {
                    for (Checkpoint::Tensor& tensor : tensors) {
                      if (tensor.name != "nat.permutation") continue;
                      tensor.dtype = DType::u8;
                      tensor.bytes.resize(512);
                    }
                  }),
          "resume", 4, "nat.permutation");

  whole.save(file);
  CHECK(nat::tools::nat(workspace, {"resume", run}).code == 0);
}

TEST_CASE("a network that holds NaN or infinity is not saved, and gives no features") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  const std::string out = workspace.at("features");
  const std::vector<std::string> fast = {"--lr", "100", "--stop-after-steps", "5"};
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, fast)).code == 75);
  const std::string file = newest_checkpoint(run), weight = "features.conv1.weight";
  const Checkpoint whole = Checkpoint::load(file);
  // The loss of the next step is one, its update leaves infinity.
  with_number(whole, "momentum." + weight, 3e38f).save(file);
  const Outcome diverged = nat::tools::nat(workspace, {"resume", run, "--stop-after-steps", "1"});
  CHECK_MESSAGE(diverged.code == 5, diverged.err);
  CHECK(diverged.err.find("lower --lr") != std::string::npos);
  CHECK(newest_checkpoint(run) == file);

  for (const float value :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    with_number(whole, weight, value).save(file);
    check_refused(workspace, {"embed", run, "--output", out}, 5, {weight});
    check_refused(workspace, {"export", run, "--output", out}, 5, {weight});
    check_refused(workspace, {"resume", run}, 5, {weight});
  }
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("features that are NaN or infinite are not written") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"})).code == 0);
  const std::string file = newest_checkpoint(run);
  // A number, but too large to be multiplied by the weights behind it.
  with_number(Checkpoint::load(file), "features.bn1.bias", 3e38f).save(file);
  for (const std::string& out :
       {workspace.at("features.npy"), workspace.at("features.safetensors")}) {
    check_refused(workspace, {"embed", run, "--output", out}, 5, {"features at embedding"});
    CHECK_FALSE(std::filesystem::exists(out));
  }
}
