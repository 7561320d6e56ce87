// Folders with pictures that cannot be read, before a run or in its middle.
#include <nlohmann/json.hpp>

#include "engine/checkpoint.h"
#include "tests/tools_support.h"

using namespace nat::tools;

TEST_CASE("pictures that cannot be read are counted, listed and left out of everything") {
  const Workspace workspace;
  const std::string data = make_picture_folder(workspace), run = workspace.at("run");
  const Outcome trained = nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"}));
  REQUIRE_MESSAGE(trained.code == 0, trained.err);
  CHECK(trained.err.find("2 of 82 pictures cannot be read") != std::string::npos);
  CHECK(trained.err.find("bad_images.jsonl") != std::string::npos);
  CHECK(read_file(run + "/bad_images.jsonl").find("broken.jpg") != std::string::npos);

  const Outcome judged = nat::tools::nat(workspace, {"eval", "knn", run, "--k", "5", "--json"});
  REQUIRE_MESSAGE(judged.code == 0, judged.err);
  CHECK(nlohmann::json::parse(judged.out).at("conv").at("knn").at("n_test").get<int>() == 80);
  const Outcome report = nat::tools::nat(workspace, {"report", run});
  CHECK_MESSAGE(report.code == 0, report.err);
  const Outcome embedded =
      nat::tools::nat(workspace, {"embed", run, "--output", workspace.at("f"), "--json"});
  REQUIRE_MESSAGE(embedded.code == 0, embedded.err);
  CHECK(nlohmann::json::parse(embedded.out).at("pictures").get<int>() == 80);
}

TEST_CASE("whoever opens a folder of pictures tells what is odd about it") {
  const Workspace workspace;
  const std::string data = make_picture_folder(workspace), run = workspace.at("run");
  std::filesystem::create_directory_symlink("../striped", data + "/train/dark/more");
  for (int i = 0; i < 7; ++i) {
    for (const char* split : {"/train/", "/test/"}) {
      std::filesystem::create_directory(data + split + "none" + std::to_string(i));
    }
  }
  const Outcome trained = nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"}));
  REQUIRE_MESSAGE(trained.code == 0, trained.err);
  CAPTURE(trained.err);
  CHECK(trained.err.find("\nremark: 'dark/more' is left out") != std::string::npos);
  CHECK(trained.err.find("\nremark: class 'none3' has no pictures\n") != std::string::npos);
  CHECK(trained.err.find("'none4'") == std::string::npos);
  CHECK(trained.err.find("\nremark: and 3 more, which 'nat inspect' lists") != std::string::npos);

  for (int i = 1; i < 7; ++i) {
    std::filesystem::remove(data + "/train/none" + std::to_string(i));
    std::filesystem::remove(data + "/test/none" + std::to_string(i));
  }
  const Outcome judged = nat::tools::nat(workspace, {"eval", "knn", run, "--k", "5"});
  REQUIRE_MESSAGE(judged.code == 0, judged.err);
  CAPTURE(judged.err);
  CHECK(judged.err.find("training pictures: class 'none0' has no pictures") != std::string::npos);
  CHECK(judged.err.find("training pictures: 'dark/more' is left out") != std::string::npos);
  CHECK(judged.err.find("test pictures: class 'none0' has no pictures") != std::string::npos);

  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"embed", run, "--output", workspace.at("f")}, {"report", run}}) {
    CAPTURE(command.front());
    const Outcome outcome = nat::tools::nat(workspace, command);
    CHECK(outcome.code == 0);
    CHECK(outcome.err.starts_with("remark: "));
    CHECK(std::count(outcome.err.begin(), outcome.err.end(), '\n') == 3);
    CHECK(outcome.err.find("remark: 'dark/more' is left out") != std::string::npos);
    CHECK(outcome.err.find("\nremark: 2 of 82 pictures cannot be read and are left out (first: ") !=
          std::string::npos);
    CHECK(outcome.err.find("remark: class 'none0' has no pictures\n") != std::string::npos);
    CHECK(outcome.out.find("remark") == std::string::npos);
  }
}

TEST_CASE("pictures that turn out to be unreadable are left out wherever pictures are kept") {
  const Workspace workspace;
  const std::string data = make_picture_folder(workspace);
  // Their headers are whole, and so they are found to be bad only when they are decoded: in memory
  // when the folder is opened, on disk when they are looked at.
  const std::vector<std::string> cut = {data + "/train/dark/3.pgm", data + "/test/dark/5.pgm",
                                        data + "/test/striped/0.pgm"};
  for (const std::string& file : cut) write_file(file, read_file(file).substr(0, 200));
  for (const char* crop : {"area", "shift"}) {
    CAPTURE(crop);
    const std::string run = workspace.at(crop), features = workspace.at("features");
    const Outcome trained = nat::tools::nat(
        workspace, small_run(data, run, {"--crop", crop, "--stored-size", "20", "--epochs", "1"}));
    REQUIRE_MESSAGE(trained.code == 0, trained.err);
    const Outcome embedded = nat::tools::nat(
        workspace, {"embed", run, "--split", "test", "--output", features, "--json"});
    REQUIRE_MESSAGE(embedded.code == 0, embedded.err);
    CHECK(nlohmann::json::parse(embedded.out).at("pictures") == 78);
    CHECK(embedded.err.find("4 of 82 pictures cannot be read and are left out") !=
          std::string::npos);
    CHECK(read_file(features + ".jsonl").find("striped/0.pgm") == std::string::npos);
    CHECK(nat::Checkpoint::load(features).get("embedding").shape[0] == 78);

    for (const std::vector<std::string>& judge :
         {std::vector<std::string>{"knn", "--k", "5"}, {"mlp", "--epochs", "1"}}) {
      CAPTURE(judge.front());
      std::vector<std::string> command = {"eval", judge.front(), run};
      command.insert(command.end(), judge.begin() + 1, judge.end());
      const Outcome table = nat::tools::nat(workspace, command);
      REQUIRE_MESSAGE(table.code == 0, table.err);
      CHECK(table.err.find("79 training and 78 test pictures") != std::string::npos);
      CHECK(table.err.find("training pictures: 3 of 82 pictures cannot be read and are ") !=
            std::string::npos);
      CHECK(table.err.find("test pictures: 4 of 82 pictures cannot be read and are left out") !=
            std::string::npos);
      command.push_back("--json");
      const Outcome json = nat::tools::nat(workspace, command);
      REQUIRE_MESSAGE(json.code == 0, json.err);
      CHECK(nlohmann::json::parse(json.out).at("conv").at(judge.front()).at("n_test").get<int>() ==
            78);
    }
    const Outcome near =
        nat::tools::nat(workspace, {"neighbors", run, data + "/test/dark/1.pgm", "--k", "79"});
    REQUIRE_MESSAGE(near.code == 0, near.err);
    CHECK(near.err.find("3 of 82 pictures cannot be read") != std::string::npos);
    CHECK(near.out.find("dark/3.pgm") == std::string::npos);
  }
}

TEST_CASE("who judges a run may accept more bad pictures than it was trained with") {
  const Workspace workspace;
  const std::string data = make_picture_folder(workspace), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"})).code == 0);
  for (const char* name : {"0.pgm", "1.pgm", "2.pgm", "3.pgm"}) {
    write_file(data + "/test/dark/" + name, "no picture");
  }
  const std::string features = workspace.at("features");
  for (std::vector<std::string> command :
       {std::vector<std::string>{"eval", "knn", run, "--k", "5"},
        {"embed", run, "--split", "test", "--output", features}}) {
    CAPTURE(command.front());
    check_refused(workspace, command, 3, {"6 of 82 pictures", "raise --max-bad-percent"});
    command.insert(command.end(), {"--max-bad-percent", "8"});
    const Outcome outcome = nat::tools::nat(workspace, command);
    CHECK_MESSAGE(outcome.code == 0, outcome.err);
  }
}

TEST_CASE("--knn-every refuses what it cannot judge by before an epoch is trained") {
  const Workspace workspace;
  const std::string data = make_picture_folder(workspace), run = workspace.at("run");
  const std::vector<std::string> arguments =
      small_run(data, run, {"--knn-every", "1", "--epochs", "1", "--max-bad-percent", "6"});
  const auto refused = [&](int code, const std::vector<std::string>& words) {
    check_refused(workspace, arguments, code, words);
    CHECK_FALSE(std::filesystem::exists(run));
  };
  // Of the test pictures 6 of 82 cannot be read, of the training pictures 2.
  for (const char* name : {"0.pgm", "1.pgm", "2.pgm", "3.pgm"}) {
    write_file(data + "/test/dark/" + name, "no picture");
  }
  refused(3, {"6 of 82 pictures cannot be read", "more than the limit of 6 %",
              "raise --max-bad-percent"});
  std::vector<std::string> patient = arguments;
  patient.back() = "8";
  patient[4] = workspace.at("patient");
  CHECK(nat::tools::nat(workspace, patient).code == 0);
  CHECK(read_file(workspace.at("patient/metrics.csv")).find("knn") != std::string::npos);

  std::filesystem::rename(data + "/test/dark", data + "/test/dim");
  refused(3, {"class folders of training and test pictures differ", "dark"});
  std::filesystem::remove_all(data + "/test/dim");
  std::filesystem::rename(data + "/test/striped/0.pgm", data + "/test/0.pgm");
  std::filesystem::remove_all(data + "/test/striped");
  refused(2, {"--knn-every", "one label a picture"});

  const std::string records = make_data(workspace, 64, 32);
  std::string labels = read_file(records + "/t10k-labels-idx1-ubyte");
  labels.back() = 4;  // training has 0 to 3
  write_file(records + "/t10k-labels-idx1-ubyte", labels);
  check_refused(workspace, small_run(records, run, {"--knn-every", "1"}), 3,
                {"--knn-every", "test label 4 of row 31"});
  CHECK_FALSE(std::filesystem::exists(run));

  const std::string few = make_data(workspace, 19, 19);
  check_refused(workspace, small_run(few, run, {"--knn-every", "1", "--batch", "16"}), 2,
                {"--knn-every", "20 neighbours", "19 pictures"});
  CHECK_FALSE(std::filesystem::exists(run));
}

TEST_CASE("a plan is made for pictures of which the first cannot be read") {
  const Workspace workspace;
  const std::string data = make_picture_folder(workspace);
  write_file(data + "/train/dark/0.pgm", "no picture");  // sorted by name it is the first
  const Outcome plan =
      nat::tools::nat(workspace, {"inspect", "--plan", "--data", data, "--threads", "1"});
  CHECK_MESSAGE(plan.code == 0, plan.err);
}

TEST_CASE("a picture that is damaged while a run reads it is listed, and the run goes on") {
  const Workspace workspace;
  const std::string data = make_picture_folder(workspace), run = workspace.at("run");
  // Pictures larger than the crop stay on disk and are read in every epoch.
  Process training(workspace, small_run(data, run,
                                        {"--crop", "shift", "--stored-size", "20", "--epochs",
                                         "100000", "--keep-checkpoints", "1"}));
  CHECK(wait_until([&] { return std::filesystem::exists(run + "/config.toml"); }));
  write_file(data + "/train/dark/7.pgm", "no picture");
  CHECK(wait_until([&] {
    return read_file(run + "/bad_images.jsonl").find("dark/7.pgm") != std::string::npos;
  }));
  training.send(SIGTERM);
  const Outcome outcome = training.wait();
  CHECK_MESSAGE(outcome.code == 143, outcome.err);
  CHECK(outcome.err.find("3 of 82 pictures cannot be read any more") != std::string::npos);
  CHECK(read_file(run + "/bad_images.jsonl").find("dark/7.pgm") != std::string::npos);

  // The run has given that picture up; any other change is one of the data.
  const std::vector<std::string> resume = {"resume", run, "--stop-after-steps", "3"};
  const Outcome resumed = nat::tools::nat(workspace, resume);
  CHECK_MESSAGE(resumed.code == 75, resumed.err);
  CHECK(resumed.err.find("3 of 82 pictures cannot be read") != std::string::npos);
  const std::string other = data + "/train/dark/8.pgm", intact = read_file(other);
  write_file(other, intact.substr(0, 100));
  check_refused(workspace, resume, 3, {"the data changed since the run began"});
  write_file(other, intact);
  CHECK(nat::tools::nat(workspace, resume).code == 75);
}

TEST_CASE("a run that gave up a picture resumes to the same end, whatever becomes of the file") {
  const Workspace workspace;
  const std::string data = make_picture_folder(workspace), run = workspace.at("run");
  const std::string file = data + "/train/striped/5.pgm", intact = read_file(file);
  const auto arguments = [&](const std::string& out) {
    return small_run(data, out, {"--crop", "shift", "--stored-size", "20", "--batch", "16"});
  };
  write_file(file, intact.substr(0, 200));  // its header is whole
  const std::string undisturbed = workspace.at("undisturbed");
  REQUIRE(nat::tools::nat(workspace, arguments(undisturbed)).code == 0);
  std::vector<std::string> first = arguments(run);
  first.insert(first.end(), {"--stop-after-steps", "7"});
  REQUIRE(nat::tools::nat(workspace, first).code == 75);
  write_file(file, "not even a header");
  CHECK(nat::tools::nat(workspace, {"resume", run, "--stop-after-steps", "5"}).code == 75);
  write_file(file, intact);
  CHECK(nat::tools::nat(workspace, {"resume", run}).code == 0);
  CHECK(read_file(run + "/metrics.csv") == read_file(undisturbed + "/metrics.csv"));
  CHECK(read_file(run + "/bad_images.jsonl") == read_file(undisturbed + "/bad_images.jsonl"));
}
