// The file of pinned plans: what is written comes back, and what is broken is named.
#include <doctest/doctest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>

#include "kernels/check.h"
#include "kernels/cuda/libraries/plan_file.h"

using nat::Error;
using nat::ErrorKind;
using nat::gpu::PlanFile;

namespace {

// A folder that is gone at the end of the test.
struct Folder {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("nat_plan_file_" + std::to_string(getpid()));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string file(const char* name) const { return (path / name).string(); }
};

void write(const std::string& path, const std::string& text) { std::ofstream(path) << text; }

std::string read(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// Kind and message of what load() throws.
std::string complaint(const std::string& path, ErrorKind kind) {
  try {
    PlanFile::load(path);
  } catch (const Error& error) {
    CHECK(error.kind() == kind);
    return error.what();
  }
  return "nothing thrown";
}

}  // namespace

TEST_CASE("plans come back from a file as they were set, extreme numbers included") {
  const Folder folder;
  constexpr auto kLowest = std::numeric_limits<std::int64_t>::min();
  constexpr auto kHighest = std::numeric_limits<std::int64_t>::max();
  PlanFile file;
  file.set("cudnn 91900 sm 90 conv2d forward bf16 256x27x27x96 to 256x27x27x256",
           {62, 2, 17, 14, 4});
  file.set("cublaslt 130100 sm 90 gemm bf16 256x4096 @256", {kLowest, -1, 0, kHighest});
  file.set("no knobs", {0});
  file.save(folder.file("plans"));

  const PlanFile loaded = PlanFile::load(folder.file("plans"));
  CHECK(loaded.size() == 3);
  const auto numbers = [&](const char* key) {
    const auto* found = loaded.find(key);
    return found == nullptr ? std::vector<std::int64_t>() : *found;
  };
  CHECK(numbers("cudnn 91900 sm 90 conv2d forward bf16 256x27x27x96 to 256x27x27x256") ==
        std::vector<std::int64_t>{62, 2, 17, 14, 4});
  CHECK(numbers("cublaslt 130100 sm 90 gemm bf16 256x4096 @256") ==
        std::vector<std::int64_t>{kLowest, -1, 0, kHighest});
  CHECK(numbers("no knobs") == std::vector<std::int64_t>{0});

  loaded.save(folder.file("again"));
  CHECK(read(folder.file("again")) == read(folder.file("plans")));
  CHECK_FALSE(std::filesystem::exists(folder.file("plans.tmp")));
}

TEST_CASE("a later plan of the same key replaces the earlier one") {
  PlanFile file;
  file.set("key", {1});
  file.set("key", {2, 3});
  CHECK(file.size() == 1);
  REQUIRE(file.find("key") != nullptr);
  CHECK(*file.find("key") == std::vector<std::int64_t>{2, 3});
}

TEST_CASE("keys that nobody knows are kept, and unknown problems are not pinned") {
  const Folder folder;
  const std::string text = "nat library plans 1\na plan of another version = 1 2\n";
  write(folder.file("plans"), text);
  const PlanFile file = PlanFile::load(folder.file("plans"));
  CHECK(file.find("conv2d") == nullptr);
  CHECK(file.find("") == nullptr);
  file.save(folder.file("plans"));
  CHECK(read(folder.file("plans")) == text);
}

TEST_CASE("a broken file is refused in one line that says where") {
  const Folder folder;
  const std::string path = folder.file("plans");
  CHECK(complaint(path, ErrorKind::io) == "plan file " + path + " cannot be read");

  for (const char* text : {"", "{}\n", "nat library plans 2\n", "\x7f\x45\x4c\x46"}) {
    write(path, text);
    CHECK(complaint(path, ErrorKind::usage) ==
          "plan file " + path +
              " does not begin with 'nat library plans 1'; delete it and tune again");
  }
  for (const char* line : {"no separator", "key = ", "key = 1 two", "key = 1.5", " = 1", "key=1",
                           "key = 99999999999999999999", ""}) {
    write(path, std::string("nat library plans 1\nkey = 1 2\n") + line + "\n");
    CHECK(complaint(path, ErrorKind::usage) ==
          "plan file " + path + ", line 3: expected 'KEY = NUMBER NUMBER ...', found '" + line +
              "'; delete the line and tune again");
  }
}

TEST_CASE("a file that cannot be written is an error, and the old one stays") {
  const Folder folder;
  PlanFile file;
  file.set("key", {1});
  try {
    file.save(folder.file("missing/plans"));
    CHECK(false);
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::io);
  }
  std::filesystem::create_directories(folder.file("taken/below"));
  CHECK_THROWS_AS(file.save(folder.file("taken")), Error);
  CHECK(std::filesystem::is_directory(folder.file("taken/below")));
}
