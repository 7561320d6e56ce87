// The program as a user meets it: what works prints results, what is wrong gives one clear line and
// the documented exit code, and nothing is lost.
#include <nlohmann/json.hpp>

#include "tests/tools_support.h"

using namespace nat::tools;

TEST_CASE("train, eval, embed, inspect and report work on generated pictures") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--knn-every", "2"})).code == 0);
  CHECK(read_file(run + "/metrics.csv").find("knn") != std::string::npos);

  const Outcome knn = nat::tools::nat(workspace, {"eval", "knn", run, "--json"});
  REQUIRE_MESSAGE(knn.code == 0, knn.err);
  const auto json = nlohmann::json::parse(knn.out);
  for (const char* tap : {"conv", "fc", "embedding"}) {
    const auto& score = json.at(tap).at("knn");
    CHECK(score.at("n_test").get<int>() == 128);
    CHECK(score.at("trained").get<double>() > 0.25);  // four classes: above chance
    const double p = score.at("trained").get<double>();
    CHECK(score.at("stderr").get<double>() == doctest::Approx(std::sqrt(p * (1 - p) / 128)));
  }
  CHECK(json.at("raw").at("knn").contains("value"));

  const std::string features = workspace.at("features.safetensors");
  CHECK(nat::tools::nat(workspace, {"embed", run, "--output", features, "--split", "test"}).code ==
        0);
  const Outcome inspected = nat::tools::nat(workspace, {"inspect", features, "--json"});
  REQUIRE(inspected.code == 0);
  CHECK(nlohmann::json::parse(inspected.out).at("tensors").at("embedding").at("shape") ==
        nlohmann::json({128, 16}));
  CHECK(nat::tools::nat(workspace, {"inspect", run}).code == 0);
  CHECK(nat::tools::nat(workspace, {"inspect", data}).code == 0);
  CHECK(nat::tools::nat(workspace, {"doctor", "--json"}).code == 0);

  const Outcome report = nat::tools::nat(workspace, {"report", run});
  REQUIRE_MESSAGE(report.code == 0, report.err);
  CHECK(read_file(run + "/report.html").find("</html>") != std::string::npos);
}

TEST_CASE("an AlexNet, which has dropout, is trained and judged") {
  const Workspace workspace;
  const std::string run = workspace.at("run");
  const Outcome trained = nat::tools::nat(
      workspace, small_run(make_data(workspace), run,
                           {"--network", "alexnet", "--size", "67", "--stored-size", "67", "--crop",
                            "none", "--limit", "20", "--batch", "10", "--epochs", "1"}));
  REQUIRE_MESSAGE(trained.code == 0, trained.err);
  const Outcome judged = nat::tools::nat(
      workspace, {"eval", "knn", run, "--layers", "embedding", "--k", "5", "--json"});
  REQUIRE_MESSAGE(judged.code == 0, judged.err);
  CHECK(nlohmann::json::parse(judged.out).at("embedding").at("knn").contains("untrained"));
}

TEST_CASE("a run on targets of the basis says so wherever it is described") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  const Outcome trained =
      nat::tools::nat(workspace, small_run(data, run, {"--targets", "basis", "--epochs", "1"}));
  REQUIRE_MESSAGE(trained.code == 0, trained.err);
  CHECK(trained.err.find("targets = basis\n") != std::string::npos);
  CHECK(read_file(run + "/config.toml").find("targets = 'basis'\n") != std::string::npos);
  const Outcome inspected = nat::tools::nat(workspace, {"inspect", run});
  CHECK(inspected.out.find("targets = 'basis'") != std::string::npos);
  REQUIRE(nat::tools::nat(workspace, {"report", run}).code == 0);
  CHECK(read_file(run + "/report.html").find("16-dimensional one-hot targets") !=
        std::string::npos);

  // Its config is a recipe; a flag overrides it, and the targets are then others.
  const auto loss_of = [](const std::string& folder) {
    const std::string jsonl = read_file(folder + "/metrics.jsonl");
    return nlohmann::json::parse(jsonl.substr(0, jsonl.find('\n'))).at("loss");
  };
  const std::string again = workspace.at("again"), sphere = workspace.at("sphere");
  const std::string config = run + "/config.toml";
  REQUIRE(nat::tools::nat(workspace, {"train", "--config", config, "--out", again}).code == 0);
  REQUIRE(nat::tools::nat(workspace,
                          {"train", "--config", config, "--out", sphere, "--targets", "sphere"})
              .code == 0);
  CHECK(loss_of(again) == loss_of(run));
  CHECK(loss_of(sphere) != loss_of(run));
}

TEST_CASE("inspect --plan prints the memory of a step before anything is trained") {
  const Workspace workspace;
  const Outcome plan = nat::tools::nat(
      workspace, {"inspect", "--plan", "--preset", "fmnist", "--batch", "64", "--json"});
  REQUIRE_MESSAGE(plan.code == 0, plan.err);
  const auto json = nlohmann::json::parse(plan.out);
  CHECK(json.at("arena_bytes").get<std::int64_t>() >=
        json.at("lower_bound_bytes").get<std::int64_t>());
}

TEST_CASE("wrong options are refused with a suggestion and exit code 2") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string out = workspace.at("run");
  check_refused(workspace, {"train", "--data", data, "--epoch", "3", "--out", out}, 2,
                {"--epoch", "--epochs"});
  check_refused(workspace, {"trian"}, 2, {"trian", "train"});
  check_refused(workspace, {"train", "--data", data, "--out", out, "--epochs", "many"}, 2,
                {"--epochs", "many"});
  check_refused(workspace, {"train", "--data", data, "--out", out, "--preset", "imagenet"}, 2,
                {"imagenet", "official"});
  check_refused(workspace, {"train", "--data", data, "--out", out, "--front", "sobl"}, 2,
                {"sobl", "sobel"});
  check_refused(workspace, {"train", "--out", out}, 2, {"--data"});
  check_refused(workspace, small_run(data, out, {"--batch", "100000"}), 2, {"100000", "512"});
  check_refused(workspace, small_run(data, out, {"--limit", "0"}), 2, {"--limit", "0"});
  check_refused(workspace, small_run(data, out, {"--assign-pool", "48"}), 2, {"48", "32"});
  check_refused(workspace, small_run(data, out, {"--assign-pool", "1024"}), 2, {"1024", "512"});
  check_refused(workspace, small_run(data, out, {"--solver", "sinkhron"}), 2, {"sinkhorn"});
  check_refused(workspace, small_run(data, out, {"--targets", "bases"}), 2, {"bases", "basis"});
  write_file(workspace.at("bad.toml"), "learning_rate = 3\n");
  check_refused(workspace,
                {"train", "--config", workspace.at("bad.toml"), "--data", data, "--out", out}, 2,
                {"learning_rate", "bad.toml"});
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("wrong data is refused with exit code 3, and no run folder appears") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string out = workspace.at("run");
  check_refused(workspace, small_run(workspace.at("nowhere"), out), 3, {"nowhere"});

  const std::string empty = workspace.at("empty");
  std::filesystem::create_directories(empty);
  check_refused(workspace, small_run(empty, out), 3, {"empty"});

  const std::string labels = data + "/train-labels-idx1-ubyte";
  const std::string good = read_file(labels);
  write_file(labels, good.substr(0, 6) + std::string("\x01\x00", 2) + good.substr(8, 256));
  check_refused(workspace, small_run(data, out), 3, {"train-labels", "512", "256"});
  write_file(labels, good);

  const std::string images = data + "/train-images-idx3-ubyte";
  const std::string pictures = read_file(images);
  write_file(images, pictures.substr(0, pictures.size() / 2));
  check_refused(workspace, small_run(data, out), 3, {"train-images"});
  write_file(images, "JUNK" + pictures.substr(4));
  check_refused(workspace, small_run("idx:" + data, out), 3, {"train-images"});
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("runs are never overwritten, and unusable ones are refused with exit code 4") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"})).code == 0);
  const std::string before = read_file(newest_checkpoint(run));
  check_refused(workspace, small_run(data, run), 2, {"already holds a run", "nat resume"});
  CHECK(read_file(newest_checkpoint(run)) == before);

  check_refused(workspace, {"resume", workspace.at("nothing")}, 4, {"nothing"});

  const std::string config = read_file(run + "/config.toml");
  std::string other = config;
  other.replace(other.find("dimension = 16"), 14, "dimension = 24");
  write_file(run + "/config.toml", other);
  check_refused(workspace, {"eval", "knn", run}, 4, {"classifier"});
  const Outcome resumed = nat::tools::nat(workspace, {"resume", run});
  CHECK(resumed.code == 4);
  write_file(run + "/config.toml", config);
  CHECK(read_file(newest_checkpoint(run)) == before);

  // Another data set under the same run would give its targets to other pictures.
  std::string labels;
  write_file(data + "/train-images-idx3-ubyte", idx_pictures(512, 99, &labels));
  check_refused(workspace, {"resume", run}, 3, {"the data changed"});
}

TEST_CASE("a damaged newest checkpoint is passed over for the one before") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string run = workspace.at("run"), undisturbed = workspace.at("undisturbed");
  REQUIRE(nat::tools::nat(workspace, small_run(data, undisturbed)).code == 0);
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--stop-after-steps", "40"})).code ==
          75);
  const std::string newest = newest_checkpoint(run);
  std::string bytes = read_file(newest);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_file(newest, bytes);
  const Outcome outcome = nat::tools::nat(workspace, {"resume", run});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  CHECK(outcome.err.find("step-000000040") != std::string::npos);
  CHECK(read_file(run + "/metrics.csv") == read_file(undisturbed + "/metrics.csv"));
}

TEST_CASE("a loss that is not finite stops with exit code 5 and keeps the checkpoints") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string run = workspace.at("run");
  const Outcome outcome = nat::tools::nat(
      workspace,
      small_run(data, run,
                {"--lr", "1e6", "--loss", "sum", "--schedule", "constant", "--weight-decay", "1"}));
  CAPTURE(outcome.err);
  CHECK(outcome.code == 5);
}

TEST_CASE("a folder that cannot be written is refused with exit code 8") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  write_file(workspace.at("file"), "not a folder");
  check_refused(workspace, small_run(data, workspace.at("file") + "/run"), 8, {"file/run"});
}

TEST_CASE("a full disk ends the run with exit code 8 and the last checkpoint stays valid") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--stop-after-steps", "20"})).code ==
          75);
  const std::string newest = newest_checkpoint(run);
  const std::string before = read_file(newest);
  const Outcome outcome = Process(workspace, {"resume", run}, before.size() / 2).wait();
  CAPTURE(outcome.err);
  CHECK(outcome.code == 8);
  CHECK(outcome.err.find("checkpoints/step-") != std::string::npos);
  CHECK(newest_checkpoint(run) == newest);
  CHECK(read_file(newest) == before);
  CHECK(nat::tools::nat(workspace, {"resume", run}).code == 0);
}
