// Logs whose lines are whole (append_durably).
#include "engine/durable_file.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>
#include <sstream>

#include "kernels/check.h"
#include "tests/error_message.h"
#include "tests/process_state.h"
#include "tests/temporary_folder.h"

using nat::ErrorKind;
using nat::test::message_of;
using nat::test::read_file;
using nat::test::TemporaryFolder;

TEST_CASE("lines are added behind whole lines, and half a line goes") {
  const TemporaryFolder folder;
  const std::string log = folder.at("log");
  nat::append_durably(log, "first");
  nat::append_durably(log, "second");
  CHECK(read_file(log) == "first\nsecond\n");
  // Shorter than a block of what is read, as long as one, longer, and around the newline.
  for (const std::size_t half : {1, 4095, 4096, 4097, 20000}) {
    CAPTURE(half);
    folder.write("log", "first\n" + std::string(half, 'x'));
    nat::append_durably(log, "second");
    CHECK(read_file(log) == "first\nsecond\n");
    folder.write("log", std::string(half, 'x'));
    nat::append_durably(log, "first");
    CHECK(read_file(log) == "first\n");
  }
}

TEST_CASE("a line that does not fit on the disk leaves nothing of itself") {
  const TemporaryFolder folder;
  const std::string log = folder.write("log", "first\nhalf");
  const std::string message = message_of(ErrorKind::io, [&] {
    const nat::test::ScopedLimit full(RLIMIT_FSIZE, 9);
    nat::append_durably(log, "second");
  });
  CHECK(message.find(log + ": cannot write: ") == 0);
  CHECK(read_file(log) == "first\n");
}

TEST_CASE("processes that append to one file lose no line and mix none") {
  const TemporaryFolder folder;
  const std::string log = folder.at("log");
  constexpr int kProcesses = 4, kLines = 50;
  const auto line_of = [](int process, int i) {
    return std::to_string(process) + std::string(static_cast<std::size_t>(100 * i), '.');
  };
  std::vector<pid_t> children;
  for (int process = 0; process < kProcesses; ++process) {
    children.push_back(fork());
    REQUIRE(children.back() >= 0);
    if (children.back() > 0) continue;
    for (int i = 0; i < kLines; ++i) nat::append_durably(log, line_of(process, i));
    _exit(0);
  }
  for (const pid_t child : children) {
    int status = -1;
    waitpid(child, &status, 0);
    CHECK(status == 0);
  }
  std::map<int, int> seen;  // lines of each process, which come in order
  std::istringstream in(read_file(log));
  for (std::string line; std::getline(in, line);) {
    const int process = line.empty() ? -1 : line[0] - '0';
    CHECK(line == line_of(process, seen[process]++));
  }
  for (int process = 0; process < kProcesses; ++process) CHECK(seen[process] == kLines);
}

TEST_CASE("what cannot be appended to is refused beforehand, and no file appears") {
  const TemporaryFolder folder;
  nat::require_appendable(folder.at("log"));
  CHECK(std::filesystem::is_empty(folder.path()));
  CHECK(message_of(ErrorKind::io, [&] {
          nat::require_appendable(folder.at("no/log"));
        }).find("no/log: cannot create: No such file or directory") != std::string::npos);
  std::filesystem::create_directory(folder.at("log"));
  for (const auto attempt : {+[](const std::string& log) { nat::require_appendable(log); },
                             +[](const std::string& log) { nat::append_durably(log, "x"); }}) {
    CHECK(message_of(ErrorKind::io, [&] { attempt(folder.at("log")); }).find("it is a folder") !=
          std::string::npos);
  }
  const std::string log = folder.write("kept", "first\nhalf");
  nat::require_appendable(log);
  CHECK(read_file(log) == "first\nhalf");
}
