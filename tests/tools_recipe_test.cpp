// What a run is asked for is what it does: no option of a recipe is idle, and its rows of metrics
// and timing mean what they are called.
#include <nlohmann/json.hpp>
#include <numbers>

#include "tests/tools_support.h"

using namespace nat::tools;

namespace {

constexpr int kPictures = 128, kBatch = 32;  // four steps an epoch

// The rows of a run of two epochs.
std::vector<nat::MetricsRow> trained(const Workspace& workspace, const std::string& data,
                                     std::vector<std::string> more) {
  const std::string run = workspace.at("run");
  std::filesystem::remove_all(run);
  more.insert(more.begin(), {"--epochs", "2"});
  const Outcome outcome = nat::tools::nat(workspace, small_run(data, run, more));
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  const std::vector<nat::MetricsRow> rows = nat::read_csv(run + "/metrics.csv");
  REQUIRE(rows.size() == 2);
  return rows;
}

}  // namespace

TEST_CASE("every option of a recipe changes what a run computes") {
  const Workspace workspace;
  const std::string data = make_data(workspace, kPictures, 8);
  const std::vector<std::vector<std::string>> recipes = {
      {},
      {"--limit", "96"},
      {"--seed", "2"},
      {"--size", "14"},
      {"--front", "clean"},
      {"--front", "high_pass"},
      {"--crop", "none"},
      {"--crop", "none", "--size", "14"},
      {"--crop", "shift", "--size", "14"},
      {"--min-area", "0.9"},
      {"--flip", "false"},
      {"--width", "2"},
      {"--dimension", "12"},
      {"--init", "torch7"},
      {"--targets", "basis"},
      {"--batch", "64"},
      {"--period", "1"},
      {"--assign-every-steps", "3"},
      {"--assign-pool", "64"},
      {"--solver", "greedy"},
      {"--solver", "none"},
      {"--loss", "sum"},
      {"--lr", "0.05"},
      {"--schedule", "cosine"},
      {"--schedule", "inverse", "--gamma", "0.5"},
      {"--schedule", "inverse", "--gamma", "0.5", "--t0", "2"},
      {"--momentum", "0.5"},
      {"--weight-decay", "0.01"}};
  std::map<double, std::string> found;  // what was asked for, by the loss of the second epoch
  for (const std::vector<std::string>& recipe : recipes) {
    std::string asked = "nothing";
    for (const std::string& word : recipe) asked += " " + word;
    const double loss = trained(workspace, data, recipe)[1].at("loss");
    CHECK_MESSAGE(!found.contains(loss), asked, " and ", found[loss], " give the same loss");
    found[loss] = asked;
  }
}

TEST_CASE("the learning rate that is logged is that of the last step of an epoch") {
  const Workspace workspace;
  const std::string data = make_data(workspace, kPictures, 8);
  const auto rates = [&](const std::vector<std::string>& schedule) {
    const auto rows = trained(workspace, data, schedule);
    return std::pair(rows[0].at("lr"), rows[1].at("lr"));  // of steps 3 and 7 of 8
  };
  const auto check = [](const std::pair<double, double>& logged, double first, double second) {
    CHECK(logged.first == doctest::Approx(first).epsilon(1e-9));
    CHECK(logged.second == doctest::Approx(second).epsilon(1e-9));
  };
  const auto cosine = [](double progress) {
    return 0.2 * (1 + std::cos(std::numbers::pi * progress)) / 2;
  };
  check(rates({"--lr", "0.2", "--schedule", "cosine"}), cosine(3. / 8), cosine(7. / 8));
  write_file(workspace.at("decay.toml"), "gamma = 1\n");  // of which a constant rate knows nothing
  check(rates({"--lr", "0.2", "--config", workspace.at("decay.toml")}), 0.2, 0.2);
  check(rates({"--lr", "0.2", "--schedule", "inverse", "--gamma", "0.5", "--t0", "2"}), 0.2 / 1.5,
        0.2 / 3.5);
}

TEST_CASE("the columns of metrics.csv agree with each other") {
  const Workspace workspace;
  const std::string data = make_data(workspace, kPictures, 8);
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{}, {"--period", "1"}, {"--assign-pool", "64"}}) {
    double previous_loss = 2;  // of unit vectors that know nothing of each other
    for (const nat::MetricsRow& row : trained(workspace, data, more)) {
      // Means of float32 losses and cosines.
      const auto near = [](double value) { return doctest::Approx(value).epsilon(1e-5); };
      const double before = 2 - 2 * row.at("cosine_before");
      CHECK(row.at("loss") == near(2 - 2 * row.at("cosine_after")));
      CHECK(row.at("loss_before_assignment") == near(before));
      CHECK(row.at("won_by_assignment") == near(before - row.at("loss")));
      CHECK(row.at("won_by_sgd") == near(previous_loss - before));
      previous_loss = row.at("loss");
      const bool reassigned = row.at("reassigned") == 1;
      CHECK((reassigned || row.at("reassigned") == 0));
      CHECK((row.at("moved") > 0) == reassigned);
      CHECK(row.at("moved") <= 1);
      CHECK((row.at("won_by_assignment") > 0.01) == reassigned);
      CHECK(row.at("steps") == (row.at("epoch") + 1) * kPictures / kBatch);
    }
  }
  // Nothing is learnt at rate 0, so before they are exchanged targets are as near in a pool as in
  // batches.
  const auto before = [&](const std::vector<std::string>& more) {
    std::vector<std::string> still = {"--lr", "0", "--flip", "false"};
    still.insert(still.end(), more.begin(), more.end());
    return trained(workspace, data, still)[0].at("cosine_before");
  };
  CHECK(before({"--assign-pool", "64"}) == doctest::Approx(before({})).epsilon(1e-5));
}

TEST_CASE("the speed of an epoch counts the pictures of this process") {
  const Workspace workspace;
  const std::string data = make_data(workspace, kPictures, 8), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--stop-after-steps", "3"})).code == 75);
  REQUIRE(nat::tools::nat(workspace, {"resume", run}).code == 0);
  for (const nat::MetricsRow& row : nat::read_csv(run + "/timing.csv")) {
    const double steps = row.at("epoch") == 0 ? 1 : 4;
    CHECK(row.at("images_per_second") * row.at("seconds") ==
          doctest::Approx(steps * kBatch).epsilon(1e-6));
  }
}

TEST_CASE("kNN while training is that of nat eval") {
  const Workspace workspace;
  const std::string data = make_data(workspace, kPictures, 64), run = workspace.at("run");
  const std::vector<std::string> judged = {"--epochs", "2", "--knn-every", "2"};
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, judged)).code == 0);
  const std::vector<nat::MetricsRow> rows = nat::read_csv(run + "/metrics.csv");
  const Outcome later = nat::tools::nat(
      workspace, {"eval", "knn", run, "--layers", "conv", "--threads", "1", "--json"});
  REQUIRE_MESSAGE(later.code == 0, later.err);
  REQUIRE(rows.size() == 2);
  CHECK_FALSE(rows[0].contains("knn"));
  CHECK(rows[1].at("knn") ==
        nlohmann::json::parse(later.out).at("conv").at("knn").at("trained").get<double>());
}
