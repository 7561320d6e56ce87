// The file of pinned plans: what is written comes back, and what is broken is named.
#include <doctest/doctest.h>

#include <filesystem>
#include <limits>
#include <string>

#include "kernels/check.h"
#include "kernels/cuda/libraries/plan_file.h"
#include "tests/error_message.h"
#include "tests/temporary_folder.h"

using nat::Error;
using nat::ErrorKind;
using nat::gpu::PlanFile;
using nat::test::message_of;
using nat::test::read_file;
using nat::test::TemporaryFolder;
using nat::test::write_file;

namespace {

std::string complaint(const std::string& path, ErrorKind kind) {
  return message_of(kind, [&] { PlanFile::load(path); });
}

}  // namespace

TEST_CASE("plans come back from a file as they were set, extreme numbers included") {
  const TemporaryFolder folder;
  constexpr auto kLowest = std::numeric_limits<std::int64_t>::min();
  constexpr auto kHighest = std::numeric_limits<std::int64_t>::max();
  PlanFile file;
  file.set("cudnn 91900 sm 90 conv2d forward bf16 256x27x27x96 to 256x27x27x256",
           {62, 2, 17, 14, 4});
  file.set("cublaslt 130100 sm 90 gemm bf16 256x4096 @256", {kLowest, -1, 0, kHighest});
  file.set("no knobs", {0});
  file.save(folder.at("plans"));

  const PlanFile loaded = PlanFile::load(folder.at("plans"));
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

  loaded.save(folder.at("again"));
  CHECK(read_file(folder.at("again")) == read_file(folder.at("plans")));
  CHECK_FALSE(std::filesystem::exists(folder.at("plans.tmp")));
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
  const TemporaryFolder folder;
  const std::string text = "nat library plans 1\na plan of another version = 1 2\n";
  write_file(folder.at("plans"), text);
  const PlanFile file = PlanFile::load(folder.at("plans"));
  CHECK(file.find("conv2d") == nullptr);
  CHECK(file.find("") == nullptr);
  file.save(folder.at("plans"));
  CHECK(read_file(folder.at("plans")) == text);
}

TEST_CASE("a broken file is refused in one line that says where") {
  const TemporaryFolder folder;
  const std::string path = folder.at("plans");
  CHECK(complaint(path, ErrorKind::io) == "plan file " + path + " cannot be read");

  for (const char* text : {"", "{}\n", "nat library plans 2\n", "\x7f\x45\x4c\x46"}) {
    write_file(path, text);
    CHECK(complaint(path, ErrorKind::usage) ==
          "plan file " + path +
              " does not begin with 'nat library plans 1'; delete it and tune again");
  }
  for (const char* line : {"no separator", "key = ", "key = 1 two", "key = 1.5", " = 1", "key=1",
                           "key = 99999999999999999999", ""}) {
    write_file(path, std::string("nat library plans 1\nkey = 1 2\n") + line + "\n");
    CHECK(complaint(path, ErrorKind::usage) ==
          "plan file " + path + ", line 3: expected 'KEY = NUMBER NUMBER ...', found '" + line +
              "'; delete the line and tune again");
  }
}

TEST_CASE("a file that cannot be written is an error, and the old one stays") {
  const TemporaryFolder folder;
  PlanFile file;
  file.set("key", {1});
  try {
    file.save(folder.at("missing/plans"));
    CHECK(false);
  } catch (const Error& error) {
    CHECK(error.kind() == ErrorKind::io);
  }
  std::filesystem::create_directories(folder.at("taken/below"));
  CHECK_THROWS_AS(file.save(folder.at("taken")), Error);
  CHECK(std::filesystem::is_directory(folder.at("taken/below")));
}
