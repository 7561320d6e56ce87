// nat sweep: a grid of runs, each the same as trained alone, and their figures side by side.
#include <nlohmann/json.hpp>

#include "kernels/check.h"
#include "tests/process_state.h"
#include "tests/tools_support.h"

using namespace nat;
using namespace nat::tools;

namespace {

using Json = nlohmann::ordered_json;

std::vector<std::string> sweep(const std::string& data, const std::string& out,
                               const std::vector<std::string>& more) {
  std::vector<std::string> arguments = small_run(data, out, {"--epochs", "1"});
  arguments.front() = "sweep";
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

std::string percent(double share) {
  char text[16];
  std::snprintf(text, sizeof text, "%.2f", 100 * share);
  return text;
}

// The cells of the rows behind "**place**", without the two lines of the head.
std::vector<std::vector<std::string>> rows_of(const std::string& text, const std::string& place) {
  std::istringstream lines(text.substr(text.find("**" + place + "**")));
  std::vector<std::vector<std::string>> rows;
  std::string line;
  std::getline(lines, line);
  std::getline(lines, line);
  while (std::getline(lines, line) && !line.empty()) {
    std::vector<std::string> cells;
    std::istringstream cut(line.substr(2));
    for (std::string cell; std::getline(cut, cell, '|');) {
      const auto begin = cell.find_first_not_of(' ');
      cells.push_back(cell.substr(begin, cell.find_last_not_of(' ') - begin + 1));
    }
    rows.push_back(cells);
  }
  REQUIRE(rows.size() > 2);
  rows.erase(rows.begin(), rows.begin() + 2);
  return rows;
}

}  // namespace

TEST_CASE("a sweep trains and judges every combination, each as if it were alone") {
  const Workspace workspace;
  const std::string data = make_data(workspace), out = workspace.at("sweep");
  const std::vector<std::string> over = {"--over", "period=0,1", "--over", "seed=3,4"};
  const Outcome swept = nat::tools::nat(workspace, sweep(data, out, over));
  REQUIRE_MESSAGE(swept.code == 0, swept.err);
  CHECK(swept.err.find("run 4 of 4: " + out + "/period=1,seed=4") != std::string::npos);

  const std::string alone = workspace.at("alone");
  REQUIRE(nat::tools::nat(workspace,
                          small_run(data, alone, {"--epochs", "1", "--period", "0", "--seed", "4"}))
              .code == 0);
  CHECK(read_file(alone + "/metrics.csv") == read_file(out + "/period=0,seed=4/metrics.csv"));
  REQUIRE(nat::tools::nat(workspace, {"eval", "all", alone}).code == 0);
  CHECK(read_file(alone + "/results.json") == read_file(out + "/period=0,seed=4/results.json"));

  const auto value = [&](const std::string& run, const char* place, const char* measure) {
    return Json::parse(read_file(out + "/" + run + "/results.json"))[place][measure]["trained"]
        .get<double>();
  };
  CHECK(swept.out.find("on 128 test pictures; mean (smallest .. largest) of seeds 3, 4.") !=
        std::string::npos);
  for (const char* place : {"conv", "fc", "embedding"}) {
    const auto rows = rows_of(swept.out, place);
    REQUIRE(rows.size() == 2);
    for (std::size_t row = 0; row < 2; ++row) {
      const std::string period = "period=" + std::to_string(row);
      const double a = value(period + ",seed=3", place, "knn");
      const double b = value(period + ",seed=4", place, "knn");
      CHECK(rows[row][0] == std::to_string(row));
      CHECK(rows[row][1] == str(percent((a + b) / 2), " (", percent(std::min(a, b)), " .. ",
                                percent(std::max(a, b)), ")"));
    }
  }

  // Once more, it finds all of that, trains nothing, and prints the same.
  const auto when = std::filesystem::last_write_time(out + "/period=1,seed=4/results.json");
  const Outcome again = nat::tools::nat(workspace, sweep(data, out, over));
  CHECK(again.code == 0);
  CHECK(again.out == swept.out);
  CHECK(again.err.find("epoch") == std::string::npos);
  CHECK(std::filesystem::last_write_time(out + "/period=1,seed=4/results.json") == when);

  const Outcome json = nat::tools::nat(
      workspace, sweep(data, out, {"--over", "period=0,1", "--over", "seed=3,4", "--json"}));
  REQUIRE(json.code == 0);
  const Json runs = Json::parse(json.out);
  REQUIRE(runs.size() == 4);
  CHECK(runs[1]["run"] == out + "/period=0,seed=4");
  CHECK(runs[1]["options"] == Json{{"period", "0"}, {"seed", "4"}});
  CHECK(runs[1]["results"]["fc"]["knn"]["trained"].get<double>() ==
        value("period=0,seed=4", "fc", "knn"));
}

TEST_CASE("a sweep goes on where it was cut off") {
  const Workspace workspace;
  const std::string data = make_data(workspace), out = workspace.at("sweep");
  const std::vector<std::string> over = {"--epochs", "2", "--over", "lr=0.1,0.2"};
  // The first was stopped under way, the second is not there.
  auto first = small_run(data, out + "/lr=0.1", {"--epochs", "2", "--lr", "0.1"});
  first.insert(first.end(), {"--stop-after-steps", "3"});
  REQUIRE(nat::tools::nat(workspace, first).code == 75);
  const Outcome swept = nat::tools::nat(workspace, sweep(data, out, over));
  REQUIRE_MESSAGE(swept.code == 0, swept.err);
  const auto rows = rows_of(swept.out, "embedding");
  REQUIRE(rows.size() == 2);
  CHECK(rows[0][0] == "0.1");
  CHECK(rows[0][1].find("..") == std::string::npos);  // one seed has no range

  const std::string undisturbed = workspace.at("undisturbed");
  REQUIRE(nat::tools::nat(workspace, small_run(data, undisturbed, {"--epochs", "2", "--lr", "0.1"}))
              .code == 0);
  CHECK(read_file(undisturbed + "/metrics.csv") == read_file(out + "/lr=0.1/metrics.csv"));

  // A judgement of a run that was not at its end, or by few labels, is none of the sweep.
  const std::string judged_early = workspace.at("early");
  auto early = small_run(data, judged_early + "/lr=0.1", {"--epochs", "2", "--lr", "0.1"});
  early.insert(early.end(), {"--stop-after-steps", "17"});
  REQUIRE(nat::tools::nat(workspace, early).code == 75);
  REQUIRE(nat::tools::nat(workspace, {"eval", "all", judged_early + "/lr=0.1"}).code == 0);
  const Outcome finished = nat::tools::nat(
      workspace, sweep(data, judged_early, {"--epochs", "2", "--over", "lr=0.1,0.2"}));
  CHECK(finished.out == swept.out);
  REQUIRE(nat::tools::nat(workspace, {"eval", "all", judged_early + "/lr=0.2", "--labels", "64"})
              .code == 0);
  CHECK(nat::tools::nat(workspace,
                        sweep(data, judged_early, {"--epochs", "2", "--over", "lr=0.1,0.2"}))
            .out == swept.out);

  // Without its results it is only judged again.
  std::filesystem::remove(out + "/lr=0.2/results.json");
  const Outcome judged = nat::tools::nat(workspace, sweep(data, out, over));
  CHECK(judged.code == 0);
  CHECK(judged.out == swept.out);

  // A value is trained with as it was given, to the last digit.
  const std::string exact = workspace.at("exact");
  REQUIRE(nat::tools::nat(workspace, sweep(data, exact, {"--over", "lr=0.1234567891,0.12345678"}))
              .code == 0);
  CHECK(read_file(exact + "/lr=0.1234567891/config.toml").find("\nlr = 0.1234567891\n") !=
        std::string::npos);
  CHECK(std::filesystem::exists(exact + "/lr=0.12345678/results.json"));

  // Damaged ones are an error with a name.
  write_file(out + "/lr=0.2/results.json", "{");
  const Outcome damaged = nat::tools::nat(workspace, sweep(data, out, over));
  CHECK(damaged.code == 4);
  CHECK(damaged.err.find("lr=0.2/results.json is damaged or incomplete") != std::string::npos);
}

TEST_CASE("a sweep keeps the path of its pictures absolute, as training does") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string out = workspace.at("sweep"), run = out + "/seed=1";
  const nat::test::ScopedFolder inside(std::filesystem::path(data).parent_path());
  REQUIRE(nat::tools::nat(workspace, sweep("data", out, {"--over", "seed=1"})).code == 0);
  CHECK(Json::parse(read_file(run + "/results.json"))["judged"]["data"] == data);
  CHECK(read_file(run + "/config.toml").find("data = '" + data + "'") != std::string::npos);
  CHECK(nat::tools::nat(workspace, sweep("data", out, {"--over", "seed=1"})).code == 0);
}

TEST_CASE("what a sweep cannot be is refused before anything is trained") {
  const Workspace workspace;
  const std::string data = make_data(workspace), out = workspace.at("sweep");
  const auto refused = [&](const std::vector<std::string>& more,
                           const std::vector<std::string>& words, int code = 2) {
    check_refused(workspace, sweep(data, out, more), code, words);
    CHECK_FALSE(std::filesystem::exists(out));
  };
  refused({}, {"at least one --over"});
  refused({"--over", "period"}, {"--over period", "period=1,2,3"});
  refused({"--over", "peroid=1,2"}, {"peroid", "period"});
  refused({"--over", "threads=1,2"}, {"threads", "no option of the recipe"});
  refused({"--over", "data=a,b"}, {"data", "no option of the recipe"});
  refused({"--over", "seed=1,,2"}, {"seed", "a value is missing"});
  refused({"--over", "seed=1,1"}, {"--over: 1 is named twice"});
  refused({"--over", "lr=0.1,0.10"}, {"--over: 0.1 is named twice"});
  refused({"--over", "seed=1,2", "--over", "seed=3"}, {"seed is named twice"});
  refused({"--over", "seed=1,x"}, {"--over seed", "'x' is not a whole number"});
  refused({"--over", "period=1", "--over", "solver=exact,best"},
          {"period=1,solver=best", "--solver 'best'", "greedy"});

  const std::string unlabelled = make_picture_folder(workspace) + "/train/dark";
  check_refused(workspace, sweep(unlabelled, out, {"--over", "seed=1", "--max-bad-percent", "50"}),
                3, {"sweep: --data", "one label a picture"});

  const std::string run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--stop-after-steps", "1"})).code == 75);
  check_refused(workspace, sweep(data, run, {"--over", "seed=1"}), 2, {run + " is a run itself"});

  // Runs of another recipe are not taken for those of this one.
  REQUIRE(nat::tools::nat(workspace, small_run(data, out + "/seed=1", {"--epochs", "2"})).code ==
          0);
  check_refused(workspace, sweep(data, out, {"--over", "seed=1,2"}), 2,
                {"seed=1 has epochs = 2, not 1", "another --out"});
  CHECK_FALSE(std::filesystem::exists(out + "/seed=2"));
}
