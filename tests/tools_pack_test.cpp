// nat pack: training on packed pictures is training on the pictures.
#include <nlohmann/json.hpp>

#include "tests/tools_support.h"

using namespace nat::tools;

namespace {

// Grey pictures of two kinds whose sides differ, 48 to train on and 16 to test; one file of each
// split is no picture, and of one training picture only the header is whole.
std::string make_folder(const Workspace& workspace) {
  const std::string root = workspace.at("pictures");
  const auto picture = [](int kind, int i) {
    const int width = 20 + i % 5, height = 20 + i % 3;
    std::string file = "P5 " + std::to_string(width) + " " + std::to_string(height) + " 255\n";
    for (int k = 0; k < width * height; ++k) {
      const bool lit = kind == 1 ? k / width % 4 < 2 : k % width % 4 < 2;
      file.push_back(static_cast<char>((lit ? 200 - i : 10 + i) + k % 7));
    }
    return file;
  };
  for (const char* split : {"train", "test"}) {
    const int count = std::string(split) == "train" ? 24 : 8;
    for (int i = 0; i < 2 * count; ++i) {
      const int kind = i % 2;
      write_file(root + "/" + split + "/" + (kind == 0 ? "a/" : "b/") + std::to_string(i) + ".pgm",
                 picture(kind, i));
    }
    write_file(root + "/" + split + "/a/broken.jpg", "no picture");
  }
  const std::string whole = picture(1, 3);
  write_file(root + "/train/b/cut.pgm", whole.substr(0, whole.size() - 9));
  return root;
}

// Batches of 16 of the larger pictures: official crops, which may lie anywhere in a picture.
std::vector<std::string> shifted_run(const std::string& data, const std::string& out,
                                     const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments =
      small_run(data, out,
                {"--batch", "16", "--crop", "shift", "--stored-size", "18", "--max-bad-percent",
                 "10", "--dimension", "8"});
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

Outcome pack(const Workspace& workspace, const std::string& data,
             const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {"pack",
                                        "--data",
                                        data,
                                        "--out",
                                        workspace.at("packed"),
                                        "--stored-size",
                                        "18",
                                        "--max-bad-percent",
                                        "10"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return nat::tools::nat(workspace, arguments);
}

}  // namespace

TEST_CASE("packed pictures train the run that the folder trains, and their runs change places") {
  const Workspace workspace;
  const std::string data = make_folder(workspace), packed = workspace.at("packed");
  const Outcome made = pack(workspace, data);
  REQUIRE_MESSAGE(made.code == 0, made.err);
  CHECK(made.out.find("train.pixels: 50 pictures, ") != std::string::npos);
  CHECK(made.out.find("test.pixels: 17 pictures, ") != std::string::npos);
  CHECK(made.err.find("unreadable: a/broken.jpg: ") != std::string::npos);
  CHECK(made.err.find("unreadable: b/cut.pgm: ") != std::string::npos);

  const std::string a = workspace.at("a"), b = workspace.at("b"), c = workspace.at("c");
  const Outcome on_folder = nat::tools::nat(workspace, shifted_run(data, a));
  REQUIRE_MESSAGE(on_folder.code == 0, on_folder.err);
  const Outcome on_packed = nat::tools::nat(workspace, shifted_run("packed:" + packed, b));
  REQUIRE_MESSAGE(on_packed.code == 0, on_packed.err);
  check_same_end(b, a);
  CHECK(read_file(b + "/bad_images.jsonl") == read_file(a + "/bad_images.jsonl"));

  // Half on the folder, half on its packed pictures.
  REQUIRE(nat::tools::nat(workspace, shifted_run(data, c, {"--stop-after-steps", "7"})).code == 75);
  std::string config = read_file(c + "/config.toml");
  const std::string line = "data = '" + data + "'";
  const std::size_t at = config.find(line);
  REQUIRE_MESSAGE(at != std::string::npos, config);
  config.replace(at, line.size(), "data = 'packed:" + packed + "'");
  write_file(c + "/config.toml", config);
  const Outcome resumed = nat::tools::nat(workspace, {"resume", c});
  REQUIRE_MESSAGE(resumed.code == 0, resumed.err);
  check_same_end(c, a);

  const auto features = [&](const std::string& run) {
    const std::string file = workspace.at("conv.npy");
    const Outcome outcome = nat::tools::nat(
        workspace, {"embed", run, "--split", "test", "--layers", "conv", "--output", file});
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    return read_file(file) + read_file(file + ".jsonl");
  };
  CHECK(features(b) == features(a));
  const Outcome report = nat::tools::nat(workspace, {"report", b});
  CHECK_MESSAGE(report.code == 0, report.err);
}

TEST_CASE("nat pack says as JSON what it made") {
  const Workspace workspace;
  const Outcome made = pack(workspace, make_folder(workspace), {"--json", "--threads", "1"});
  REQUIRE_MESSAGE(made.code == 0, made.err);
  const auto json = nlohmann::json::parse(made.out);
  CHECK(json.at("train").at("pictures") == 50);
  CHECK(json.at("train").at("unreadable") == 2);
  CHECK(json.at("test").at("pictures") == 17);
  CHECK(json.at("test").at("bytes").get<std::uintmax_t>() ==
        std::filesystem::file_size(workspace.at("packed/test.pixels")));
  const Outcome seen = nat::tools::nat(
      workspace, {"inspect", workspace.at("packed"), "--max-bad-percent", "10", "--json"});
  REQUIRE_MESSAGE(seen.code == 0, seen.err);
  CHECK(nlohmann::json::parse(seen.out).at("unreadable") == 2);
}

TEST_CASE("what cannot be packed, or not there, is refused before anything is written") {
  const Workspace workspace;
  const std::string data = make_folder(workspace), out = workspace.at("packed");
  check_refused(workspace, {"pack", "--data", make_data(workspace, 32, 32), "--out", out}, 2,
                {"idx", "nothing to pack"});
  check_refused(workspace, {"pack", "--data", data, "--out", data + "/train/c"}, 2,
                {"--out", "lies in the data set itself"});
  // Where it would be a class of the pictures, so that no resume would find the same ones.
  check_refused(workspace, {"train", "--data", data, "--out", data + "/train/c"}, 2,
                {"--out", "lies in the data set itself"});
  check_refused(workspace, {"pack", "--data", data, "--out", ""}, 2, {"--out is empty"});
  check_refused(workspace, {"pack", "--data", data, "--out", out, "--stored-size", "0"}, 2,
                {"--stored-size 0 is outside 1 .. 4096"});
  check_refused(
      workspace,
      {"pack", "--data", data, "--out", out, "--stored-size", "9", "--max-bad-percent", "1"}, 3,
      {"1 of 50 pictures cannot be read"});
  check_refused(workspace, {"pack", "--data", workspace.at("nowhere"), "--out", out}, 3,
                {"no such file or folder"});
  write_file(workspace.at("file"), "x");
  check_refused(workspace, {"pack", "--data", data, "--out", workspace.at("file/below")}, 8,
                {"cannot create the folder"});
  CHECK(!std::filesystem::exists(out + "/train.jsonl"));

  REQUIRE(pack(workspace, data).code == 0);
  const std::string before = read_file(out + "/train.jsonl");
  check_refused(workspace, {"pack", "--data", data, "--out", out}, 2,
                {"already holds packed pictures", "choose another folder or remove it"});
  CHECK(read_file(out + "/train.jsonl") == before);
  check_refused(workspace, {"pack", "--data", out, "--out", workspace.at("again")}, 2,
                {"packed", "nothing to pack"});
  check_refused(workspace, shifted_run(out, workspace.at("run"), {"--stored-size", "20"}), 2,
                {"holds pictures with a short side of 18, not 20"});
}

TEST_CASE("packing that is interrupted, or finds no room, leaves nothing behind") {
  const Workspace workspace;
  const std::string data = make_folder(workspace), out = workspace.at("packed");
  for (int i = 0; i < 200; ++i) {  // enough for the signal to come in time
    std::filesystem::create_hard_link(data + "/train/a/0.pgm",
                                      data + "/train/a/more" + std::to_string(i) + ".pgm");
  }
  const std::vector<std::string> arguments = {"pack", "--data",        data,   "--out",
                                              out,    "--stored-size", "1024", "--max-bad-percent",
                                              "10",   "--threads",     "1"};
  for (const auto& [signal, code] : {std::pair{SIGINT, 130}, {SIGTERM, 143}}) {
    Process process(workspace, arguments);
    REQUIRE(wait_until([&] { return std::filesystem::exists(out + "/train.pixels.tmp"); }));
    process.send(SIGSTOP);
    check_refused(Workspace(), arguments, 2,
                  {"--out " + out, "another process is packing into it"});
    process.send(SIGCONT);
    process.send(signal);
    const Outcome stopped = process.wait();
    CHECK(stopped.code == code);
    CHECK(stopped.err.find("stopped; the part under way was removed") != std::string::npos);
    CHECK(std::filesystem::is_empty(out));
  }

  const Outcome full = Process(workspace, arguments, Limit{RLIMIT_FSIZE, 1 << 20}).wait();
  CHECK(full.code == 8);
  CHECK(full.err.find("train.pixels: cannot write") != std::string::npos);
  CHECK(std::filesystem::is_empty(out));
}

TEST_CASE("what a killed packing left goes with the next one, what is not its own stays") {
  const Workspace workspace;
  const std::string data = make_folder(workspace), out = workspace.at("packed");
  for (const char* name : {"train.pixels.tmp", "test.pixels.1.tmp", "train.jsonl.tmp", "a.tmp"}) {
    write_file(out + "/" + name, "half");
  }
  const Outcome made = pack(workspace, data);
  REQUIRE_MESSAGE(made.code == 0, made.err);
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(out)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  const std::vector<std::string> expected = {"a.tmp", "test.jsonl", "test.pixels", "train.jsonl",
                                             "train.pixels"};
  CHECK(names == expected);
}

// The folder tells that a picture cannot be decoded when it is read, the packed set when it is
// opened.
TEST_CASE("a run that goes on with packed pictures lists those that it had not come to") {
  const Workspace workspace;
  const std::string data = make_folder(workspace), packed = workspace.at("packed");
  REQUIRE(pack(workspace, data).code == 0);
  const std::string run = workspace.at("run"), list = run + "/bad_images.jsonl";
  // An epoch of 12 batches of 4, of which one loader is at most a few ahead of a single step.
  bool was_unlisted = false;
  for (int seed = 1; seed <= 20 && !was_unlisted; ++seed) {
    std::filesystem::remove_all(run);
    const Outcome begun = nat::tools::nat(
        workspace, shifted_run(data, run,
                               {"--batch", "4", "--loaders", "1", "--stop-after-steps", "1",
                                "--seed", std::to_string(seed)}));
    REQUIRE_MESSAGE(begun.code == 75, begun.err);
    was_unlisted = read_file(list).find("cut.pgm") == std::string::npos;
  }
  REQUIRE(was_unlisted);
  std::string config = read_file(run + "/config.toml");
  const std::string line = "data = '" + data + "'";
  config.replace(config.find(line), line.size(), "data = 'packed:" + packed + "'");
  write_file(run + "/config.toml", config);
  REQUIRE(nat::tools::nat(workspace, {"resume", run}).code == 0);
  CHECK(read_file(list).find("cut.pgm") != std::string::npos);
}
