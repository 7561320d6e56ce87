// Where commands write, and what they tell whom: files beside others, streams, terminals.
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "tests/process_state.h"
#include "tests/tools_support.h"

using namespace nat::tools;

namespace {

struct Trained {
  Workspace workspace;
  std::string data = make_data(workspace, 64, 32), run = workspace.at("run");

  Trained() {
    REQUIRE(nat::tools::nat(workspace, small_run(data, run, {"--epochs", "1"})).code == 0);
  }
};

// A command whose stderr is a terminal: what it shows there.
std::string shown(const std::string& command) {
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  REQUIRE(terminal >= 0);
  REQUIRE(grantpt(terminal) == 0);
  REQUIRE(unlockpt(terminal) == 0);
  const std::string name = ptsname(terminal);
  const std::string line = command + " > /dev/null 2> " + name;
  const int other = open(name.c_str(), O_RDWR | O_NOCTTY);  // keeps what is shown until it is read
  setenv("TERM", "xterm", 1);
  CHECK(std::system(line.c_str()) == 0);
  REQUIRE(fcntl(terminal, F_SETFL, O_NONBLOCK) == 0);
  std::string text;
  char part[4096];
  for (ssize_t count; (count = read(terminal, part, sizeof part)) > 0;) {
    text.append(part, static_cast<std::size_t>(count));
  }
  close(other);
  close(terminal);
  return text;
}

}  // namespace

TEST_CASE("embed writes over no list but its own") {
  const Trained trained;
  const std::string features = trained.workspace.at("f.safetensors"), rows = features + ".jsonl";
  const std::vector<std::string> embed = {"embed", trained.run, "--output", features};
  const std::string notes = "{\"id\": 3, \"note\": \"mine\"}\n";
  for (const std::string& text : {notes, std::string("no JSON\n"), std::string("[1, 2]\n")}) {
    write_file(rows, text);
    check_refused(trained.workspace, embed, 2, {rows, "choose another name"});
    CHECK(read_file(rows) == text);
    CHECK_FALSE(std::filesystem::exists(features));
  }
  write_file(rows, "");
  for (int i = 0; i < 2; ++i) CHECK(nat::tools::nat(trained.workspace, embed).code == 0);
}

TEST_CASE("features go into files whose ending says how they are written") {
  const Trained trained;
  const auto embed = [&](const std::string& output) {
    return std::vector<std::string>{"embed", trained.run, "--output", output};
  };
  const std::string array = trained.workspace.at("F.NPY");
  REQUIRE(nat::tools::nat(trained.workspace, embed(array)).code == 0);
  CHECK(read_file(array).starts_with("\x93NUMPY"));
  const std::string table = trained.workspace.at("f.csv");
  check_refused(trained.workspace, embed(table), 2, {table, ".safetensors or .npy"});
  CHECK_FALSE(std::filesystem::exists(table + ".jsonl"));
  for (const char* stream : {"/dev/stdout", "/dev/null", "/dev/fd/1"}) {
    const std::string rows = std::string(stream) + ".jsonl";
    const bool was_there = std::filesystem::exists(rows);
    check_refused(trained.workspace, embed(stream), 2, {stream, "give the name of a file"});
    CHECK(std::filesystem::exists(rows) == was_there);
  }
}

TEST_CASE("- is the standard output of nat lap") {
  const Workspace workspace;
  write_file(workspace.at("m.csv"), "0,1\n1,0\n");
  const nat::test::ScopedFolder inside(workspace.path());
  const Outcome outcome = nat::tools::nat(workspace, {"lap", "m.csv", "--out", "-"});
  CHECK_FALSE(std::filesystem::exists("-"));
  CHECK(outcome.code == 0);
  CHECK(outcome.out.starts_with("0\n1\n"));
}

TEST_CASE("a config that is no list of options is not read to its end") {
  const Workspace workspace;
  const std::string data = make_data(workspace);
  check_refused(workspace, small_run(data, workspace.at("run"), {"--config", "/dev/zero"}), 2,
                {"/dev/zero", "longer than 1048576 bytes"});
}

TEST_CASE("how far features are is shown on a terminal, and nowhere else") {
  const Trained trained;
  const std::string features = trained.workspace.at("f");
  const std::string embed =
      "'" + nat_program() + "' embed '" + trained.run + "' --output '" + features + "'";
  const std::string text = shown(embed);
  CHECK_MESSAGE(text.find("features of the pictures\r\n") == 0, text);
  CHECK(text.find("100%") != std::string::npos);
  CHECK(
      nat::tools::nat(trained.workspace, {"embed", trained.run, "--output", features}).err.empty());
}

TEST_CASE("a report may show the neighbours among other pictures") {
  const Trained trained;
  const std::string copy = trained.workspace.at("copy");
  std::filesystem::rename(trained.data, copy);
  CHECK(nat::tools::nat(trained.workspace, {"report", trained.run}).code == 3);
  REQUIRE(nat::tools::nat(trained.workspace, {"report", trained.run, "--data", copy}).code == 0);
  CHECK(read_file(trained.run + "/report.html").find("64 training pictures of " + copy) !=
        std::string::npos);
}

TEST_CASE("inspect tells the sizes of the files, and lists the pictures that cannot be read") {
  const Workspace workspace;
  const std::string data = make_picture_folder(workspace), kind = data + "/train/dark/";
  write_file(kind + "wide.pgm", "P5 30 20 255\n" + std::string(600, 'x'));
  write_file(kind + "cut.png", "\x89PNG\r\n\x1a\n");
  const auto inspect = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"inspect", data, "--json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = nat::tools::nat(workspace, arguments);
    REQUIRE_MESSAGE(outcome.code == 0, outcome.err);
    return nlohmann::json::parse(outcome.out);
  };
  const nlohmann::json files = inspect({}), stored = inspect({"--stored-size", "64"});
  CHECK(files.at("width") == "20 .. 30");
  CHECK(files.at("height") == 20);
  CHECK(stored.at("width") == 64);
  // Its header is whole: only who looks at it knows.
  write_file(kind + "short.pgm", "P5 20 20 255\n");
  const nlohmann::json bad = inspect({"--bad"});
  CHECK(bad.at("pictures") == 85);
  CHECK(bad.at("unreadable") == 4);
  for (const char* name :
       {"dark/broken.jpg", "dark/cut.png", "dark/short.pgm", "striped/broken.jpg"}) {
    CAPTURE(name);
    CHECK_FALSE(bad.at("reasons").at(name).get<std::string>().empty());
  }
}
