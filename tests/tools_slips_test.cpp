// Slips of the hand that would cost a run, a file or the truth of a figure: values that are empty,
// numbers that look like others, labels that nobody was taught, names that lead nowhere.
#include <nlohmann/json.hpp>

#include "tests/tools_support.h"

using namespace nat::tools;

TEST_CASE("an empty preset or config is one that does not exist, not none") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  for (const std::vector<std::string>& empty :
       {std::vector<std::string>{"--preset", ""}, {"--preset="}}) {
    check_refused(workspace, small_run(data, run, empty), 2, {"--preset"});
  }
  check_refused(workspace, small_run(data, run, {"--config", ""}), 2, {"config", "no such file"});
  CHECK_FALSE(std::filesystem::exists(run));
}

TEST_CASE("the neighbours of kNN are a number as it is written") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"})).code == 0);
  const auto knn = [&](const char* k) {
    const Outcome outcome =
        nat::tools::nat(workspace, {"eval", "knn", run, "--layers", "conv", "--k", k});
    CHECK_MESSAGE(outcome.code == 0, outcome.err);
    return outcome.out;
  };
  CHECK(knn("0132") == knn("132"));
  CHECK(knn("0132") != knn("90"));
  check_refused(workspace, {"eval", "knn", run, "--k", "0x5"}, 2, {"--k", "0x5", "whole number"});
  check_refused(workspace, {"eval", "knn", run, "--k", "0"}, 2, {"--k", "outside"});
}

TEST_CASE("no judge gives figures where test pictures have labels that training has not") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"})).code == 0);
  const std::string file = data + "/t10k-labels-idx1-ubyte";
  std::string labels = read_file(file);
  labels.back() = '\7';  // training knows 0 to 3
  write_file(file, labels);
  for (const char* judge : {"knn", "linear", "mlp", "layers", "finetune", "retrieval"}) {
    CAPTURE(judge);
    check_refused(workspace, {"eval", judge, run}, 3, {"test label 7", "outside [0, 4)"});
  }
}

TEST_CASE("retrieval leaves out recalls at more pictures than there are") {
  const Workspace workspace;
  const std::string data = make_data(workspace, 64, 8), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"})).code == 0);
  const Outcome judged = nat::tools::nat(workspace, {"eval", "retrieval", run, "--json"});
  REQUIRE_MESSAGE(judged.code == 0, judged.err);
  CHECK(judged.err.find("recall_10 left out: there are only 8 test pictures") != std::string::npos);
  const auto conv = nlohmann::json::parse(judged.out).at("conv");
  CHECK(conv.contains("recall_1"));
  CHECK(conv.contains("recall_5"));
  CHECK_FALSE(conv.contains("recall_10"));
  CHECK(conv.contains("map"));
}

TEST_CASE("names that lead nowhere are one clear error") {
  const Workspace workspace;
  std::filesystem::create_symlink("loop", workspace.at("loop"));
  check_refused(workspace, {"inspect", workspace.at("loop")}, 3, {"loop"});
  check_refused(workspace, {"inspect", std::string(5000, 'x')}, 3, {"xxx"});

  const std::string data = make_data(workspace), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"})).code == 0);
  const std::string results = run + "/results.json";
  std::filesystem::create_directory(results);
  check_refused(workspace, {"report", run}, 4, {"results.json is damaged"});
  std::filesystem::remove(results);
  std::filesystem::create_symlink("results.json", results);
  check_refused(workspace, {"report", run}, 4, {"results.json is damaged"});
}

TEST_CASE("a metrics file of anything is refused in a line that a terminal can show") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"})).code == 0);
  write_file(run + "/metrics.csv", "epoch\n\x1b[2J" + std::string(5000, '\xff') + "\n");
  check_refused(workspace, {"report", run}, 4, {"metrics.csv: '?[2J???", "...' is not a number"});
}

TEST_CASE("flags without effect beside the others are refused, in a recipe they are not") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const auto refused = [&](const std::vector<std::string>& flags, const std::string& beside) {
    CAPTURE(flags.front());
    check_refused(workspace, small_run(data, workspace.at("run"), flags), 2,
                  {flags.front() + ": has no effect with " + beside, "leave it out"});
  };
  refused({"--gamma", "5"}, "--schedule constant");
  refused({"--t0", "5", "--schedule", "cosine"}, "--schedule cosine");
  refused({"--width", "2", "--network", "alexnet", "--size", "64", "--stored-size", "64"},
          "--network alexnet");
  refused({"--min-area", "0.2", "--crop", "none"}, "--crop none");
  refused({"--period", "2", "--assign-every-steps", "4"}, "--assign-every-steps 4");
  write_file(workspace.at("recipe.toml"), "gamma = 5\nschedule = \"cosine\"\n");
  const std::vector<std::string> recipe = {"--config", workspace.at("recipe.toml"), "--epochs",
                                           "1"};
  CHECK(nat::tools::nat(workspace, small_run(data, workspace.at("run"), recipe)).code == 0);
}

TEST_CASE("inspect takes of the options those that say how pictures are opened, within bounds") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  check_refused(workspace, {"inspect", data, "--batch", "7"}, 2,
                {"--batch", "no effect without --plan"});
  check_refused(workspace, {"inspect", data, "--threads", "-3"}, 2, {"--threads -3"});
  check_refused(workspace, {"inspect", data, "--epochs", "0"}, 2, {"--epochs 0"});
  const Outcome seen = nat::tools::nat(workspace, {"inspect", data, "--limit", "40", "--json"});
  REQUIRE_MESSAGE(seen.code == 0, seen.err);
  CHECK(nlohmann::json::parse(seen.out).at("pictures") == 40);
}

TEST_CASE("a run that was shortened after the fact says how long it is") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--stop-after-steps", "37"})).code ==
          75);
  std::string config = read_file(run + "/config.toml");
  config.replace(config.find("epochs = 4"), 10, "epochs = 1");
  write_file(run + "/config.toml", config);
  const Outcome resumed = nat::tools::nat(workspace, {"resume", run});
  REQUIRE_MESSAGE(resumed.code == 0, resumed.err);
  CHECK(resumed.out.find("trained 2 epochs") != std::string::npos);
}
