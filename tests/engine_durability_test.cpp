// What is on disk before what: a power cut cannot be tried, so the calls that order the disk's
// writes are counted.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include "engine/durable_file.h"
#include "engine/run_log.h"
#include "tests/temporary_folder.h"

namespace {
std::vector<std::string> calls;  // "sync NAME SIZE", "sync folder NAME", "rename FROM TO"

std::string name_of(const std::filesystem::path& path) { return path.filename().string(); }

std::string synced(int descriptor) {
  std::error_code ignored;
  const auto path =
      std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(descriptor), ignored);
  struct stat status {};
  fstat(descriptor, &status);
  if (S_ISDIR(status.st_mode)) return "sync folder " + name_of(path);
  return "sync " + name_of(path) + " " + std::to_string(status.st_size);
}
}  // namespace

// In place of the C library's, in this program.
extern "C" int fsync(int descriptor) {
  calls.push_back(synced(descriptor));
  return static_cast<int>(syscall(SYS_fsync, descriptor));
}
extern "C" int rename(const char* from, const char* to) noexcept {
  calls.push_back("rename " + name_of(from) + " " + name_of(to));
  return static_cast<int>(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0));
}

using nat::test::TemporaryFolder;
using Calls = std::vector<std::string>;

namespace {

template <class Function>
Calls calls_of(const Function& function) {
  calls.clear();
  function();
  return calls;
}

}  // namespace

TEST_CASE("a file is on disk before it gets its name, and its name before commit returns") {
  const TemporaryFolder folder;
  const std::string name = name_of(folder.path());
  for (const char* round : {"created", "replaced"}) {
    CAPTURE(round);
    CHECK(calls_of([&] { nat::write_durably(folder.at("a.txt"), "four"); }) ==
          Calls{"sync a.txt.tmp 4", "rename a.txt.tmp a.txt", "sync folder " + name});
  }
}

TEST_CASE("a file that is not committed gets no name") {
  const TemporaryFolder folder;
  CHECK(calls_of([&] {
          nat::DurableFile file(folder.at("a.txt"));
          file.write("four", 4);
        }).empty());
}

TEST_CASE("an appended line is on disk when append_durably returns, and so is a new file's name") {
  const TemporaryFolder folder;
  const std::string name = name_of(folder.path());
  CHECK(calls_of([&] { nat::append_durably(folder.at("log"), "first"); }) ==
        Calls{"sync log 6", "sync folder " + name});
  CHECK(calls_of([&] { nat::append_durably(folder.at("log"), "second"); }) ==
        Calls{"sync log 13", "sync folder " + name});
}

TEST_CASE("the rows of a log are on disk when flush returns") {
  const TemporaryFolder folder;
  nat::MetricsLog log(folder.at("metrics"), {"epoch"});
  log.append({{"epoch", 0}});
  CHECK(calls_of([&] { log.flush(); }) == Calls{"sync metrics.csv 8", "sync metrics.jsonl 13"});
}
