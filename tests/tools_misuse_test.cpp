// What people do that nobody meant: odd numbers, edited and shared run folders, closed pipes, names
// that are not text.
#include <nlohmann/json.hpp>

#include "tests/tools_support.h"

using namespace nat::tools;

namespace {

// A shell command with $NAT, $1, $2, ... set to the program and the arguments; its exit code.
int shell(const std::string& command, const std::vector<std::string>& arguments) {
  const auto quoted = [](const std::string& text) { return "'" + text + "'"; };
  std::string line = "NAT=" + quoted(nat_program()) + "; set --";
  for (const std::string& argument : arguments) line += " " + quoted(argument);
  const int status = std::system((line + "; " + command).c_str());
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("with too few labels for a subset of 1,000 the other judges still speak") {
  const Workspace workspace;
  const std::string data = make_picture_folder(workspace), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"})).code == 0);
  const Outcome judged = nat::tools::nat(workspace, {"eval", "all", run, "--json"});
  REQUIRE_MESSAGE(judged.code == 0, judged.err);
  CHECK(judged.err.find("linear_1k is left out") != std::string::npos);
  const auto conv = nlohmann::json::parse(judged.out).at("conv");
  CHECK(conv.contains("linear"));
  CHECK_FALSE(conv.contains("linear_1k"));
  CHECK(nat::tools::nat(workspace, {"report", run}).code == 0);
}

TEST_CASE("a config file needs no preset, and a missing one is named") {
  const Workspace workspace;
  const std::string data = make_data(workspace), config = workspace.at("mine.toml");
  const std::string run = workspace.at("run");
  write_file(config, "lr = 0.0625\n");
  const Outcome trained =
      nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1", "--config", config}));
  REQUIRE_MESSAGE(trained.code == 0, trained.err);
  CHECK(read_file(run + "/config.toml").find("lr = 0.0625") != std::string::npos);
  for (const std::string& wrong : {workspace.at("missing.toml"), workspace.at("data")}) {
    check_refused(workspace, small_run(data, workspace.at("other"), {"--config", wrong}), 2,
                  {wrong, "no such file"});
  }
  CHECK(nat::tools::nat(workspace, {"inspect", "--plan", "--config", config}).code == 0);
}

TEST_CASE("the preset of the command line wins over that of the config file") {
  const Workspace workspace;
  const std::string data = make_data(workspace), config = workspace.at("mine.toml");
  write_file(config, "preset = 'cifar'\nlr = 0.0625\n");
  // Every option as the run has it, but for its folder.
  const auto trained = [&](const std::string& name, std::vector<std::string> more) {
    const std::string run = workspace.at(name);
    more.insert(more.begin(), {"train", "--data", data, "--out", run, "--epochs", "1", "--batch",
                               "256", "--dimension", "16"});
    const Outcome outcome = nat::tools::nat(workspace, more);
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    const std::string text = read_file(run + "/config.toml");
    const auto out = text.find("out = ");
    return text.substr(0, out) + text.substr(text.find('\n', out));
  };
  const std::string flags = trained("flags", {"--preset", "fmnist", "--lr", "0.0625"});
  CHECK(trained("both", {"--preset", "fmnist", "--config", config}) == flags);
  CHECK(trained("file", {"--config", config}) ==
        trained("cifar", {"--preset", "cifar", "--lr", "0.0625"}));
  write_file(config, "preset = 'cifra'\n");
  check_refused(workspace, small_run(data, workspace.at("no"), {"--config", config}), 2,
                {"cifra", "cifar"});
}

TEST_CASE("a shift of the crop that cannot be, and a size that has no effect, are said") {
  const Workspace workspace;
  const std::string data = make_data(workspace);  // 16 x 16
  const std::string no_room = "crop shift has no room: pictures of 16 pixels are used whole\n";
  const std::string no_effect =
      "stored-size = 40 has no effect: pictures of idx keep their size, 16\n";
  const auto header = [&](const std::string& from, const std::string& name,
                          const std::vector<std::string>& more) {
    const Outcome outcome = nat::tools::nat(workspace, small_run(from, workspace.at(name), more));
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    return outcome.err;
  };
  const std::string whole =
      header(data, "whole", {"--crop", "shift", "--stored-size", "40", "--epochs", "1"});
  CHECK(whole.find(no_room) != std::string::npos);
  CHECK(whole.find(no_effect) != std::string::npos);
  const std::string part =
      header(data, "part", {"--crop", "shift", "--size", "12", "--epochs", "1"});
  CHECK(part.find("no room") == std::string::npos);
  CHECK(part.find("no effect") == std::string::npos);
  // A file of its own is resized to that size, so there the shift has room.
  const std::string folder = header(make_picture_folder(workspace), "folder",
                                    {"--crop", "shift", "--stored-size", "20", "--epochs", "1"});
  CHECK(folder.find("no room") == std::string::npos);
  CHECK(folder.find("no effect") == std::string::npos);
}

TEST_CASE("the last line of training names the judge that takes such pictures") {
  const Workspace workspace;
  const std::string pictures = make_picture_folder(workspace);
  const auto last_line = [&](const std::string& data, const std::string& name) {
    const Outcome outcome =
        nat::tools::nat(workspace, small_run(data, workspace.at(name), {"--epochs", "1"}));
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    return outcome.out;
  };
  const std::string spaced = workspace.at("a run's");
  std::string quoted = "'" + spaced + "'";
  quoted.replace(quoted.find("n's"), 3, "n'\\''s");
  CHECK(last_line(pictures, "a run's") ==
        spaced + ": trained 1 epoch; judge it with 'nat eval all " + quoted + "'\n");
  CHECK(last_line(pictures + "/train/dark", "bare") ==
        workspace.at("bare") + ": trained 1 epoch\n");
}

TEST_CASE("inspect knows a file by its content and says why no checkpoint can be used") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"})).code == 0);
  const std::string features = workspace.at("features");
  REQUIRE(nat::tools::nat(workspace, {"embed", run, "--output", features}).code == 0);
  const Outcome inspected = nat::tools::nat(workspace, {"inspect", features, "--json"});
  REQUIRE_MESSAGE(inspected.code == 0, inspected.err);
  CHECK(nlohmann::json::parse(inspected.out).at("tensors").contains("embedding"));
  write_file(newest_checkpoint(run), "damaged");
  check_refused(workspace, {"inspect", run}, 4, {"no usable checkpoint", "truncated"});
  std::filesystem::remove_all(run + "/checkpoints");
  check_refused(workspace, {"inspect", run}, 4, {"no usable checkpoint", "train it first"});
}

TEST_CASE("a number is taken as it is written or refused") {
  const Workspace workspace;
  const std::string data = make_data(workspace), out = workspace.at("run");
  const auto refused = [&](const char* option, const char* value, const char* word) {
    CAPTURE(option);
    CAPTURE(value);
    check_refused(workspace, small_run(data, out, {option, value}), 2, {option, value, word});
  };
  refused("--batch", "10x", "whole number");
  refused("--batch", "1.5", "whole number");
  refused("--batch", "0x10", "whole number");
  refused("--batch", "99999999999999999999", "too large");
  refused("--threads", "99999999999", "too large");
  refused("--threads", "-1", "outside");
  refused("--flip", "maybe", "neither true nor false");
  refused("--flip", "7", "neither true nor false");
  refused("--lr", "0.1e", "number");
  refused("--lr", "1e-999", "double");
  refused("--lr", "1e999", "double");
  refused("--lr", "nan", "outside");
  refused("--lr", "inf", "outside");
  refused("--t0", "-5", "outside");
  refused("--stop-after-steps", "-4", "outside");
  refused("--seed", "-1", "whole number");
  refused("--seed", "18446744073709551616", "too large");
  // config.toml could not hold it: TOML's integers end there.
  refused("--seed", "9223372036854775808", "outside");
  for (const char* line : {"seed = -4", "threads = 99999999999", "width = -99999999999"}) {
    CAPTURE(line);
    write_file(workspace.at("wrong.toml"), std::string(line) + "\n");
    check_refused(workspace, small_run(data, out, {"--config", workspace.at("wrong.toml")}), 2,
                  {"wrong.toml", "outside"});
  }
  CHECK_FALSE(std::filesystem::exists(out));

  REQUIRE(nat::tools::nat(
              workspace,
              small_run(data, out, {"--seed", "9223372036854775807", "--stop-after-steps", "3"}))
              .code == 75);
  check_refused(workspace, {"resume", out, "--threads", "-3"}, 2, {"--threads", "-3"});
  check_refused(workspace, {"resume", out, "--loaders", "-1"}, 2, {"--loaders", "-1"});
  check_refused(workspace, {"resume", out, "--stop-after-steps", "-1"}, 2, {"-1"});
  check_refused(workspace, {"eval", "knn", out, "--threads", "-1"}, 2, {"--threads", "-1"});
  check_refused(workspace, {"embed", out, "--output", "x", "--threads", "5000"}, 2, {"5000"});
  write_file(workspace.at("costs.csv"), "1,2\n3,4\n");
  check_refused(workspace, {"lap", workspace.at("costs.csv"), "--threads", "-1"}, 2, {"-1"});
  CHECK(nat::tools::nat(workspace, {"resume", out}).code == 0);

  const std::string octal = workspace.at("octal");  // it is not
  REQUIRE(nat::tools::nat(workspace, small_run(data, octal, {"--batch", "020", "--epochs", "1"}))
              .code == 0);
  CHECK(read_file(octal + "/config.toml").find("batch = 20\n") != std::string::npos);
}

TEST_CASE("the floor of a step is computed for sensible sizes only") {
  const Workspace workspace;
  const auto refused = [&](const char* option, const char* value) {
    CAPTURE(option);
    check_refused(workspace, {"bench", "--roofline", option, value}, 2, {option, value});
  };
  refused("--batch", "0");
  refused("--batch", "9223372036854775807");
  refused("--size", "-4");
  refused("--dimension", "-2");
  refused("--copy-gbs", "-1");
  refused("--product-tflops", "nan");
  check_refused(workspace, {"bench", "--roofline", "--card", "h200"}, 2, {"did you mean 'H200'"});
}

TEST_CASE("options and names that are nearly right get a suggestion") {
  const Workspace workspace;
  const std::string data = make_data(workspace), out = workspace.at("run");
  check_refused(workspace, {"--verison"}, 2, {"--verison", "did you mean '--version'"});
  check_refused(workspace, {"train", "--data", data, "--preset", "offical"}, 2,
                {"did you mean 'official'"});
  check_refused(workspace, {"train", "--data", data, "--out", ""}, 2, {"--out", "empty"});
  check_refused(workspace, {"inspect", data, "--plan"}, 2, {"--plan", data});
}

TEST_CASE("a run folder belongs to one process at a time") {
  const Workspace workspace, second;
  const std::string data = make_data(workspace), run = workspace.at("run");
  Process running(workspace, small_run(data, run, {"--epochs", "100000"}));
  CHECK(wait_until([&] { return std::filesystem::exists(run + "/config.toml"); }));
  check_refused(second, {"resume", run}, 4, {run, "another process"});
  running.send(SIGTERM);
  CHECK(running.wait().code == 143);
  CHECK(nat::tools::nat(second, {"resume", run, "--stop-after-steps", "1"}).code == 75);
}

TEST_CASE("what decides the results of a run cannot change in its middle") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--stop-after-steps", "20"})).code ==
          75);
  const std::string config = read_file(run + "/config.toml");
  const auto edited = [&](const std::string& from, const std::string& to) {
    std::string text = config;
    REQUIRE(text.find(from) != std::string::npos);
    write_file(run + "/config.toml", text.replace(text.find(from), from.size(), to));
  };
  edited("seed = 1", "seed = 2");
  check_refused(workspace, {"resume", run}, 4, {"seed = 2", "seed = 1"});
  edited("batch = 32", "batch = 64");
  check_refused(workspace, {"resume", run}, 4, {"batch = 64", "batch = 32"});
  edited("targets = 'sphere'", "targets = 'basis'");
  check_refused(workspace, {"resume", run}, 4, {"targets = 'basis'", "targets = 'sphere'"});
  CHECK(read_file(run + "/metrics.csv").find("\n0,16,") != std::string::npos);
  // Longer training, other threads, other logging: the run goes on.
  edited("epochs = 4", "epochs = 2");
  const Outcome shorter = nat::tools::nat(workspace, {"resume", run});
  CHECK_MESSAGE(shorter.code == 0, shorter.err);
  CHECK(shorter.err.find("epochs = 2") != std::string::npos);
}

TEST_CASE("without a usable checkpoint a run is left as it is") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--stop-after-steps", "40"})).code ==
          75);
  const std::string metrics = read_file(run + "/metrics.csv");
  const std::string newest = newest_checkpoint(run);
  write_file(newest, "damaged");
  const Outcome passed_over =
      nat::tools::nat(workspace, {"resume", run, "--stop-after-steps", "1"});
  CHECK(passed_over.code == 75);
  CHECK(passed_over.err.find("continuing from step-000000032.safetensors") != std::string::npos);

  for (const auto& entry : std::filesystem::directory_iterator(run + "/checkpoints")) {
    write_file(entry.path().string(), "damaged");
  }
  check_refused(workspace, {"resume", run}, 4, {"no usable checkpoint", "truncated"});
  CHECK(read_file(run + "/metrics.csv") == metrics);

  std::filesystem::remove_all(run + "/checkpoints");
  check_refused(workspace, {"resume", run}, 4, {"has logged 2 epochs", "there is no checkpoint"});
  CHECK(read_file(run + "/metrics.csv") == metrics);
}

TEST_CASE("a run whose JSON lines were removed goes on, and one without its CSV is left as it is") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  const std::string run = workspace.at("run"), undisturbed = workspace.at("undisturbed");
  for (const std::string& folder : {run, undisturbed}) {
    REQUIRE(nat::tools::nat(workspace, small_run(data, folder, {"--epochs", "2"})).code == 0);
    std::string config = read_file(folder + "/config.toml");
    config.replace(config.find("epochs = 2"), 10, "epochs = 4");
    write_file(folder + "/config.toml", config);
  }
  REQUIRE(nat::tools::nat(workspace, {"resume", undisturbed}).code == 0);

  for (const char* log : {"/metrics", "/timing"}) {
    CAPTURE(log);
    const std::string csv = run + log + ".csv", jsonl = run + log + ".jsonl";
    const std::string rows = read_file(csv), lines = read_file(jsonl);
    std::filesystem::remove(csv);
    check_refused(workspace, {"resume", run}, 4, {csv, jsonl, "2 rows", "put the file back"});
    CHECK(!std::filesystem::exists(csv));
    CHECK(read_file(jsonl) == lines);
    write_file(csv, rows);
    std::filesystem::remove(jsonl);
  }
  const Outcome outcome = nat::tools::nat(workspace, {"resume", run});
  REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
  check_same_end(run, undisturbed);
  const std::string timing = read_file(run + "/timing.jsonl");
  CHECK(std::count(timing.begin(), timing.end(), '\n') == 4);
}

TEST_CASE("a run that could not be made leaves nothing in the way of the next") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  // The manifest is longer.
  CHECK(Process(workspace, small_run(data, run), Limit{RLIMIT_FSIZE, 4000}).wait().code == 8);
  const Outcome again = nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"}));
  CHECK_MESSAGE(again.code == 0, again.err);

  std::filesystem::remove(run + "/config.toml");  // checkpoints of another run
  check_refused(workspace, small_run(data, run), 2, {run, "step-"});
}

TEST_CASE("results that cannot be written are not success") {
  const Workspace workspace;
  CHECK(shell("\"$NAT\" doctor > /dev/full 2> \"$1\"", {workspace.at("err")}) == 8);
  CHECK(read_file(workspace.at("err")).find("No space left") != std::string::npos);
}

TEST_CASE("a reader of the progress that goes away does not end the run") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  const std::string train =
      "\"$NAT\" train --data \"$1\" --out \"$2\" --size 16 --stored-size 16 --batch 32 --epochs 2 "
      "--threads 1 ";
  shell("(" + train + "> /dev/null; echo $? > \"$3\") 2>&1 | head -n 1 > /dev/null",
        {data, run, workspace.at("code")});
  CHECK(read_file(workspace.at("code")) == "0\n");
  // With stderr closed the next file would get its number, and the progress its lines.
  const std::string closed = workspace.at("closed");
  CHECK(shell(train + "> /dev/null 2>&-", {data, closed}) == 0);
  CHECK(read_file(closed + "/metrics.csv") == read_file(run + "/metrics.csv"));
}

TEST_CASE("names that are not UTF-8 or hold markup are refused or shown safely") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  check_refused(workspace, small_run(data, run + "\xff"), 2, {"--out", "\\xff", "UTF-8"});
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"})).code == 0);

  const std::string odd = workspace.at("<b>\xff'\"");
  std::filesystem::rename(run, odd);
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"report", odd, "--json"},
        {"embed", odd, "--output", odd + "/features", "--json"}}) {
    const Outcome outcome = nat::tools::nat(workspace, arguments);
    CHECK_MESSAGE(outcome.code == 0, outcome.err);
    CHECK(nlohmann::json::accept(outcome.out));
  }
  check_refused(workspace, {"resume", odd}, 2, {"\\xff", "UTF-8"});
  const std::string pictures = workspace.at("pict\xffures");
  std::filesystem::rename(data, pictures);
  const Outcome judged = nat::tools::nat(
      workspace, {"eval", "knn", odd, "--layers", "conv", "--data", pictures, "--json"});
  REQUIRE_MESSAGE(judged.code == 0, judged.err);
  CHECK(nlohmann::json::parse(judged.out).at("judged").at("data") == workspace.at("pict\\xffures"));
  const std::string page = read_file(odd + "/report.html");
  CHECK(page.find("<b>") == std::string::npos);
  CHECK(page.find("<h1>&lt;b&gt;") != std::string::npos);
}

TEST_CASE("the report is named after the folder, however it is written") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("mine");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"})).code == 0);
  CHECK(nat::tools::nat(workspace, {"report", run + "/"}).code == 0);
  CHECK(read_file(run + "/report.html").find("<h1>mine</h1>") != std::string::npos);
}

TEST_CASE("the report refuses results that are damaged or incomplete") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("mine");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"})).code == 0);
  const std::string start =
      R"({"judged": {"data": "d", "step": 1}, "conv": {"knn": {"trained": 0.5, )";
  for (const std::string& results :
       {std::string(), std::string("[]"), std::string(R"({"conv": 1})"), start,
        start + R"("stderr": 0.1, "n_test": 9}}})",
        start + R"("untrained": "0.4", "stderr": 0.1, "n_test": 9}}})",
        start + R"("untrained": 0.4, "stderr": 0.1}}})",
        start + R"("untrained": 0.4, "stderr": 0.1, "n_test": 9}}, "raw": {"knn": {}}})"}) {
    CAPTURE(results);
    write_file(run + "/results.json", results);
    check_refused(workspace, {"report", run}, 4,
                  {"results.json is damaged or incomplete", "'nat eval all " + run + "'"});
  }
  write_file(run + "/results.json", start + R"("untrained": 0.4, "stderr": 0.1, "n_test": 9}}})");
  CHECK(nat::tools::nat(workspace, {"report", run}).code == 0);
}

TEST_CASE("the report of pictures without labels does not speak of labels") {
  const Workspace workspace;
  const std::string data = make_picture_folder(workspace), run = workspace.at("run");
  const std::string flat = data + "/train/dark";
  REQUIRE(nat::tools::nat(workspace, small_run(flat, run, {"--epochs", "1"})).code == 0);
  REQUIRE(nat::tools::nat(workspace, {"report", run}).code == 0);
  const std::string page = read_file(run + "/report.html");
  CHECK(page.find("Nearest of 40 training pictures") != std::string::npos);
  CHECK(page.find("Labels are shown") == std::string::npos);
}

TEST_CASE("a place for results that cannot be written is refused before the work") {
  const Workspace workspace;
  const std::string data = make_data(workspace), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"})).code == 0);
  check_refused(workspace, {"embed", run, "--output", ""}, 2, {"--output", "empty"});
  check_refused(workspace, {"embed", run, "--output", run}, 8, {run, "folder"});
  check_refused(workspace, {"embed", run, "--output", workspace.at("no/f")}, 8, {"no/f"});
  std::filesystem::create_symlink(run + "/config.toml", workspace.at("link"));
  check_refused(workspace, {"embed", run, "--output", workspace.at("link")}, 2, {"run itself"});
  std::filesystem::create_directory(run + "/results.json");
  check_refused(workspace, {"eval", "all", run}, 8, {"results.json", "folder"});
}
