// What a run folder promises: nothing in it is lost or believed unseen, and it is usable from
// everywhere.
#include <array>
#include <nlohmann/json.hpp>

#include "engine/checkpoint.h"
#include "tests/process_state.h"
#include "tests/tools_support.h"

using namespace nat::tools;

namespace {

namespace fs = std::filesystem;

void replace_line(const std::string& file, const std::string& name, const std::string& line) {
  std::string text = read_file(file);
  const auto from = text.find(name + " = ");
  REQUIRE(from != std::string::npos);
  write_file(file, text.replace(from, text.find('\n', from) - from, line));
}

// 20 x 20 grey pictures of two kinds, in folders of their names.
std::string make_folder(const Workspace& workspace) {
  const std::string root = workspace.at("pictures");
  for (const std::string split : {"/train", "/test"}) {
    for (int i = 0; i < 40; ++i) {
      const std::string pixels(400, static_cast<char>(i % 2 == 0 ? 10 + i : 200 - i));
      write_file(root + split + (i % 2 == 0 ? "/dark/" : "/light/") + std::to_string(i) + ".pgm",
                 "P5 20 20 255\n" + pixels);
    }
  }
  return root;
}

std::vector<nlohmann::json> lines_of(const std::string& file) {
  std::vector<nlohmann::json> lines;
  std::istringstream in(read_file(file));
  for (std::string line; std::getline(in, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

}  // namespace

TEST_CASE("the demo takes the place of the one before only when it can begin") {
  const Workspace workspace;
  const std::string data = make_data(workspace, 512, 64);
  fs::create_directories(workspace.at("home"));
  const nat::test::ScopedFolder inside(workspace.at("home"));
  const auto demo = [&](const std::string& limit) {
    return std::vector<std::string>{"demo",      "--data", data,       "--limit", limit,
                                    "--threads", "1",      "--epochs", "1"};
  };
  const std::string run = "runs/demo";
  REQUIRE(nat::tools::nat(workspace, demo("300")).code == 0);
  const std::vector<std::string> foreign = {run + "/notes.txt", run + "/figures/curve-mine.svg",
                                            run + "/checkpoints/mine.safetensors"};
  for (const std::string& file : foreign) write_file(file, "mine");
  write_file(run + "/figures/curve-99.svg", "of a run that had more curves");
  const std::string config = read_file(run + "/config.toml");
  const std::string checkpoint = newest_checkpoint(run);

  check_refused(workspace, demo("100"), 2, {"100"});  // fewer than a batch
  const std::string labels = data + "/train-labels-idx1-ubyte", away = workspace.at("labels");
  fs::rename(labels, away);
  check_refused(workspace, demo("300"), 3, {"demo", "one label a picture", "nat train"});
  fs::rename(away, labels);
  for (const char* file :
       {"results.json", "judgements.jsonl", "report.html", "metrics.csv", "manifest.jsonl"}) {
    CHECK(fs::exists(run + "/" + file));
  }
  CHECK(read_file(run + "/config.toml") == config);
  CHECK(fs::exists(checkpoint));

  write_file(run + "/checkpoints/step-000000999.safetensors", "of a longer run");
  const Outcome again = nat::tools::nat(workspace, demo("400"));
  REQUIRE_MESSAGE(again.code == 0, again.err);
  CHECK(read_file(run + "/config.toml").find("limit = 400\n") != std::string::npos);
  CHECK_FALSE(fs::exists(run + "/checkpoints/step-000000999.safetensors"));
  CHECK_FALSE(fs::exists(run + "/figures/curve-99.svg"));
  check_events(run);
  const auto judgements = lines_of(run + "/judgements.jsonl");
  REQUIRE(judgements.size() == 1);
  CHECK(judgements[0].at("results") == nlohmann::json::parse(read_file(run + "/results.json")));
  for (const std::string& file : foreign) {
    CAPTURE(file);
    CHECK(read_file(file) == "mine");
  }
}

TEST_CASE("the demo replaces no run but its own") {
  const Workspace workspace;
  const std::string data = make_data(workspace, 512, 64), run = "runs/demo";
  fs::create_directories(workspace.at("home"));
  const nat::test::ScopedFolder inside(workspace.at("home"));
  REQUIRE(nat::tools::nat(workspace,
                          small_run(data, run, {"--stop-after-steps", "1", "--preset", "cifar"}))
              .code == 75);
  const std::string config = read_file(run + "/config.toml"), newest = newest_checkpoint(run);
  const auto refused = [&](const std::string& pictures, const std::string& why) {
    check_refused(workspace, {"demo", "--data", pictures, "--batch", "64", "--device", "cpu"}, 2,
                  {"runs/demo holds a run of " + data, why, "--out"});
    CHECK(read_file(run + "/config.toml") == config);
    CHECK(fs::exists(newest));
  };
  refused(data, "preset cifar");
  const std::string others = workspace.at("others");
  fs::copy(data, others);
  refused(others, "preset cifar");

  // With the preset of the demo, but of other pictures than it is asked for.
  fs::remove_all(run);
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--stop-after-steps", "1"})).code == 75);
  const std::string own = read_file(run + "/config.toml");
  check_refused(workspace, {"demo", "--data", others, "--batch", "64", "--device", "cpu"}, 2,
                {"runs/demo holds a run of " + data, "--out"});
  CHECK(read_file(run + "/config.toml") == own);
}

TEST_CASE("the demo does not put its run among its pictures") {
  const Workspace workspace;
  const std::string data = make_picture_folder(workspace), inside = data + "/train/run";
  check_refused(workspace, {"demo", "--data", data, "--out", inside, "--epochs", "1"}, 2,
                {"--out", "run"});
  CHECK_FALSE(fs::exists(inside));
}

TEST_CASE("a run that goes on clears away what killed writers left, and nothing else") {
  const Workspace workspace;
  const std::string data = make_data(workspace, 64, 32), run = workspace.at("run");
  const std::vector<std::string> own = {"config.toml.tmp",           "config.toml.1.tmp",
                                        "manifest.jsonl.tmp",        "results.json.tmp",
                                        "bad_images.jsonl.tmp",      "judgements.jsonl.12.tmp",
                                        "report.html.tmp",           "figures/results.svg.tmp",
                                        "figures/curve-2.svg.1.tmp", "figures/filters.png.tmp"};
  const std::vector<std::string> foreign = {"notes.tmp",         "config.toml.bak",
                                            "config.toml.x.tmp", "my-report.html.tmp",
                                            "report.html.tmp~",  "figures/curve-mine.svg.tmp",
                                            "figures/mine.tmp",  "runs/config.toml.tmp"};
  const auto write = [&] {
    for (const auto* names : {&own, &foreign}) {
      for (const std::string& name : *names) write_file(run + "/" + name, "half");
    }
  };
  const auto check_cleared = [&] {
    for (const std::string& name : own) {
      CAPTURE(name);
      CHECK_FALSE(fs::exists(run + "/" + name));
    }
    for (const std::string& name : foreign) {
      CAPTURE(name);
      CHECK(read_file(run + "/" + name) == "half");
    }
  };
  write();
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--stop-after-steps", "1"})).code == 75);
  check_cleared();
  write();
  REQUIRE(nat::tools::nat(workspace, {"report", run}).code == 0);  // owns nothing
  CHECK(fs::exists(run + "/config.toml.tmp"));
  REQUIRE(nat::tools::nat(workspace, {"resume", run, "--stop-after-steps", "1"}).code == 75);
  check_cleared();
  // So nothing may be written there.
  for (const char* name : {"/config.toml.tmp", "/report.html.3.tmp"}) {
    check_refused(workspace, {"embed", run, "--output", run + name}, 2,
                  {name, "belongs to the run"});
  }
}

TEST_CASE("no command believes a recipe that was edited after training") {
  const Workspace workspace;
  const std::string data = make_data(workspace, 64, 32), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"})).code == 0);
  const std::vector<std::vector<std::string>> commands = {
      {"eval", "knn", run},
      {"embed", run, "--output", workspace.at("f")},
      {"export", run, "--output", workspace.at("n")},
      {"report", run}};
  for (const auto& [name, before, after] :
       {std::array<std::string, 3>{"seed", "seed = 1", "seed = 7"},
        {"front", "front = 'sobel'", "front = 'clean'"}}) {
    replace_line(run + "/config.toml", name, after);
    for (const std::vector<std::string>& command : commands) {
      CAPTURE(command.front());
      check_refused(workspace, command, 4, {"config.toml says " + after, before, "put it back"});
    }
    replace_line(run + "/config.toml", name, before);
  }
  replace_line(run + "/config.toml", "checkpoint-every-steps", "checkpoint-every-steps = 5");
  for (const std::vector<std::string>& command : commands) {
    CHECK(nat::tools::nat(workspace, command).code == 0);
  }
}

TEST_CASE("a damaged config.toml of a run is exit code 4 and says how to repair it") {
  const Workspace workspace;
  const std::string data = make_data(workspace, 64, 32), run = workspace.at("run");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"})).code == 0);
  const std::string file = run + "/config.toml", config = read_file(file);
  const std::vector<std::array<std::string, 2>> damages = {
      {config + "sede = 3\n", "unknown option 'sede'"},
      {config + "\"\\u0007\" = 3\n", "unknown option '\\x07'"},
      {"lr = 'fast'\n", "lr = 'fast': the value has the wrong type; give a number"},
      {"epochs = [1, 2]\n", "epochs = [ 1, 2 ]: the value has the wrong type"},
      {"flip = 1\n", "give true or false"},
      {"batch = -5\n", "--batch -5"},
      {"seed = -1\n", "seed = -1 is outside 0 .. 9223372036854775807"},
      {std::string("\x89PNG\r\n\x1a\n\0\0", 10), "line 1"}};
  for (const auto& [text, word] : damages) {
    write_file(file, text);
    for (const std::vector<std::string>& command :
         {std::vector<std::string>{"resume", run}, {"eval", "knn", run}, {"report", run}}) {
      CAPTURE(command.front());
      check_refused(workspace, command, 4, {file, word, "'nat inspect " + run + "'"});
    }
  }
  const Outcome inspected = nat::tools::nat(workspace, {"inspect", run});
  REQUIRE_MESSAGE(inspected.code == 0, inspected.err);
  CHECK(inspected.out.find(config) != std::string::npos);
}

TEST_CASE("the limit of a run is one of its own pictures") {
  const Workspace workspace, elsewhere;
  const std::string data = make_data(workspace, 128, 32), run = workspace.at("run");
  const std::string other = make_data(elsewhere, 96, 32);
  REQUIRE(
      nat::tools::nat(workspace, small_run(data, run, {"--limit", "64", "--epochs", "1"})).code ==
      0);
  const auto embedded = [&](const std::vector<std::string>& more) {
    std::vector<std::string> embed = {"embed", run, "--output", workspace.at("f"), "--json"};
    embed.insert(embed.end(), more.begin(), more.end());
    const Outcome outcome = nat::tools::nat(workspace, embed);
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    return nlohmann::json::parse(outcome.out).at("pictures").get<int>();
  };
  CHECK(embedded({}) == 64);
  CHECK(embedded({"--data", other}) == 96);
}

TEST_CASE("a run finds its data from every folder, and says where a lost path stands") {
  const Workspace workspace;
  const std::string data = make_data(workspace, 64, 32), run = workspace.at("run");
  {
    fs::create_directories(workspace.at("home"));
    const nat::test::ScopedFolder inside(workspace.at("home"));
    const auto arguments = small_run("idx:../data", run, {"--stop-after-steps", "1"});
    REQUIRE(nat::tools::nat(workspace, arguments).code == 75);
    check_refused(workspace, small_run("mnist:../data", workspace.at("no")), 2, {"mnist"});
  }
  CHECK(read_file(run + "/config.toml").find("data = 'idx:" + data + "'\n") != std::string::npos);
  CHECK(nat::tools::nat(workspace, {"resume", run, "--stop-after-steps", "1"}).code == 75);
  CHECK(nat::tools::nat(workspace, {"eval", "knn", run}).code == 0);

  const std::string moved = workspace.at("moved");
  fs::rename(data, moved);
  const std::vector<std::string> line = {data + ": no such file",
                                         "the line 'data' in " + run + "/config.toml"};
  check_refused(workspace, {"resume", run}, 3, line);
  check_refused(workspace, {"eval", "knn", run}, 3, line);
  check_refused(workspace, {"embed", run, "--output", workspace.at("f")}, 3, line);
  check_refused(workspace, {"report", run}, 3, line);
  CHECK(nat::tools::nat(workspace, {"eval", "knn", run, "--data", moved}).code == 0);
  const Outcome typed = nat::tools::nat(workspace, {"eval", "knn", run, "--data", data + "x"});
  CHECK(typed.code == 3);
  CHECK(typed.err.find("config.toml") == std::string::npos);
  replace_line(run + "/config.toml", "data", "data = '" + moved + "'");
  CHECK(nat::tools::nat(workspace, {"resume", run}).code == 0);
}

TEST_CASE("every row of embedded features names its picture") {
  const Workspace workspace;
  const std::string data = make_folder(workspace), run = workspace.at("run");
  const std::string features = workspace.at("features.safetensors");
  REQUIRE(
      nat::tools::nat(workspace, small_run(data, run, {"--batch", "20", "--epochs", "1"})).code ==
      0);
  write_file(data + "/test/dark/0.pgm", "no picture");
  replace_line(run + "/config.toml", "max-bad-percent", "max-bad-percent = 10.0");
  const auto embed = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"embed", run, "--output", features, "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = nat::tools::nat(workspace, arguments);
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    CHECK(nlohmann::json::parse(outcome.out).at("rows") == features + ".jsonl");
    const Outcome inspected = nat::tools::nat(workspace, {"inspect", features, "--json"});
    return nlohmann::json::parse(inspected.out).at("metadata");
  };
  const auto metadata = embed({"--split", "test"});
  CHECK(metadata.at("data") == data);
  CHECK(metadata.at("split") == "test");
  CHECK(metadata.at("step") == "2");
  const auto rows = lines_of(features + ".jsonl");
  REQUIRE(rows.size() == 39);
  CHECK(rows[0] == nlohmann::json({{"id", 1}, {"path", "dark/10.pgm"}, {"label", 0}}));
  CHECK(rows[38] == nlohmann::json({{"id", 39}, {"path", "light/9.pgm"}, {"label", 1}}));
  const nat::Checkpoint file = nat::Checkpoint::load(features);
  std::vector<std::int32_t> ids(39), labels(39);
  file.read("id", nat::DType::i32, {39}, ids.data());
  file.read("label", nat::DType::i32, {39}, labels.data());
  for (std::size_t i = 0; i < 39; ++i) {
    CHECK(rows[i].at("id") == ids[i]);
    CHECK(rows[i].at("label") == labels[i]);
  }

  const std::string records = make_data(workspace, 8, 8);
  CHECK(embed({"--data", "idx:" + records}).at("data") == "idx:" + records);
  const auto of_records = lines_of(features + ".jsonl");
  REQUIRE(of_records.size() == 8);
  CHECK(of_records[6] == nlohmann::json({{"id", 6}, {"record", 6}, {"label", 2}}));

  const std::string config = read_file(run + "/config.toml");
  for (const std::string name :
       {"config.toml", "manifest", "metrics", "judgements", "report.html",
        "events.out.tfevents.nat", "checkpoints/step-000000001.safetensors", "checkpoints/mine",
        "figures/mine", "./checkpoints/../config.toml"}) {
    CAPTURE(name);
    check_refused(workspace, {"embed", run, "--output", run + "/" + name}, 2,
                  {"--output", "belongs to the run"});
  }
  CHECK(read_file(run + "/config.toml") == config);
  CHECK(nat::tools::nat(workspace, {"embed", run, "--output", run + "/features"}).code == 0);
}

TEST_CASE("nothing is written over the pictures of a run, or those that embed reads") {
  const Workspace workspace;
  const std::string data = make_folder(workspace), records = make_data(workspace, 64, 8);
  const std::string run = workspace.at("run"), link = workspace.at("link");
  REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"})).code == 0);
  const std::string picture = data + "/train/dark/0.pgm", tested = data + "/test/light/1.pgm";
  const std::string images = records + "/train-images-idx3-ubyte";
  const std::vector<std::string> precious = {picture, tested, images};
  std::vector<std::string> before;
  for (const std::string& file : precious) before.push_back(read_file(file));

  const auto refused = [&](const std::string& command, const std::string& output,
                           const std::string& named, const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {command, run, "--output", output};
    arguments.insert(arguments.end(), more.begin(), more.end());
    CAPTURE(output);
    check_refused(workspace, arguments, 2,
                  {"--output " + named + ": that is a file of the pictures"});
  };
  for (const char* command : {"embed", "export"}) {
    for (const std::string& file : {picture, tested}) refused(command, file, file);
    fs::create_symlink(picture, link);
    refused(command, link, link);
    fs::remove(link);
    fs::create_hard_link(picture, link);
    refused(command, link, link);
    fs::remove(link);
  }
  refused("embed", images, images, {"--data", records});
  // The list beside the features.
  fs::create_symlink(images, workspace.at("features.jsonl"));
  refused("embed", workspace.at("features"), workspace.at("features.jsonl"), {"--data", records});
  for (std::size_t i = 0; i < precious.size(); ++i) CHECK(read_file(precious[i]) == before[i]);

  // Beside the pictures there is room, as often as one likes, and where they are gone nothing to
  // spoil.
  for (int i = 0; i < 2; ++i) {
    for (const char* command : {"embed", "export"}) {
      CHECK(
          nat::tools::nat(workspace, {command, run, "--output", data + "/train/dark/mine"}).code ==
          0);
    }
  }
  fs::rename(data, workspace.at("away"));
  CHECK(nat::tools::nat(workspace, {"export", run, "--output", workspace.at("mine")}).code == 0);
  CHECK(nat::tools::nat(workspace, {"export", run, "--output", workspace.at("mine")}).code == 0);
}
