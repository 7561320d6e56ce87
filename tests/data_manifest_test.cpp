#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/manifest.h"
#include "data/open.h"
#include "tests/data_support.h"

namespace nat::data {
namespace {

using Json = nlohmann::json;

std::vector<Json> read_lines(const std::string& path) {
  std::ifstream in(path);
  std::vector<Json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(Json::parse(line));
  return lines;
}

std::unique_ptr<Dataset> open_path(const std::string& path, const OpenOptions& options = {}) {
  return open_dataset(parse_spec(path), Split::train, options);
}

}  // namespace

TEST_CASE("the manifest of a folder names every id, bad and odd names included") {
  const TemporaryFolder folder;
  folder.write("set/cat/a\n\xff.ppm", ppm(2, 2, plain({1, 2, 3})));
  folder.write("set/cat/b.ppm", "broken");
  folder.write("set/dog/c.ppm", ppm(2, 2, plain({4, 5, 6})));
  const auto pictures = open_path(folder.at("set"), {.max_bad_percent = 50});
  write_manifest(*pictures, folder.at("manifest.jsonl"));
  write_bad_pictures(*pictures, folder.at("bad_images.jsonl"));

  const std::vector<Json> lines = read_lines(folder.at("manifest.jsonl"));
  REQUIRE(lines.size() == 4);
  CHECK(lines[0]["format"] == "folder");
  CHECK(lines[0]["pictures"] == 3);
  CHECK(lines[0]["classes"] == Json{"cat", "dog"});
  CHECK(lines[0]["fingerprint"] == fingerprint_text(pictures->fingerprint()));
  CHECK(lines[1] == Json{{"id", 0}, {"path", "cat/a\\x0a\\xff.ppm"}, {"label", 0}});
  CHECK(lines[3] == Json{{"id", 2}, {"path", "dog/c.ppm"}, {"label", 1}});

  const std::vector<Json> bad = read_lines(folder.at("bad_images.jsonl"));
  REQUIRE(bad.size() == 1);
  CHECK(bad[0]["id"] == 1);
  CHECK(bad[0]["name"] == "cat/b.ppm");
  CHECK_CONTAINS(bad[0]["reason"].get<std::string>(), "not a known picture");
  CHECK_FALSE(std::filesystem::exists(folder.at("manifest.jsonl.tmp")));
}

TEST_CASE(
    "the manifest of a record format counts records; labels are left out when there are none") {
  const TemporaryFolder folder;
  folder.write("train-images-idx3-ubyte", idx_bytes({4, 1, 1}, {1, 2, 3, 4}));
  const auto pictures = open_path(folder.path(), {.limit = 2});
  write_manifest(*pictures, folder.at("manifest.jsonl"));
  const std::vector<Json> lines = read_lines(folder.at("manifest.jsonl"));
  REQUIRE(lines.size() == 3);
  CHECK(lines[2] == Json{{"id", 1}, {"record", 2}});
}

TEST_CASE("data that changed since the manifest was written are refused") {
  const TemporaryFolder folder;
  const std::string manifest = folder.at("manifest.jsonl");
  folder.write("set/a.ppm", ppm(2, 2, plain({1, 2, 3})));
  folder.write("set/b.ppm", ppm(2, 2, plain({4, 5, 6})));
  write_manifest(*open_path(folder.at("set")), manifest);
  check_same_data(*open_path(folder.at("set")), manifest);
  const ManifestHeader header = read_manifest_header(manifest);
  CHECK(header.format == "folder");
  CHECK(header.source == folder.at("set"));
  CHECK(header.pictures == 2);

  folder.write("set/c.ppm", ppm(2, 2, plain({7, 8, 9})));
  CHECK_CONTAINS(
      message_of(ErrorKind::data, [&] { check_same_data(*open_path(folder.at("set")), manifest); }),
      "the data changed since the run began (2 pictures");
}

TEST_CASE("a missing or damaged manifest is an unusable run folder") {
  const TemporaryFolder folder;
  CHECK_CONTAINS(
      message_of(ErrorKind::checkpoint, [&] { read_manifest_header(folder.at("none")); }),
      "cannot be opened");
  for (const char* text : {"", "{\"format\":", "[1]", "{\"format\":1}"}) {
    folder.write("manifest.jsonl", std::string_view(text));
    CHECK_CONTAINS(message_of(ErrorKind::checkpoint,
                              [&] { read_manifest_header(folder.at("manifest.jsonl")); }),
                   "not the header of a manifest");
  }
}

TEST_CASE("a manifest that cannot be written is an IO error and leaves the old one") {
  const TemporaryFolder folder;
  folder.write("set/a.ppm", ppm(2, 2, plain({1, 2, 3})));
  const auto pictures = open_path(folder.at("set"));
  CHECK_CONTAINS(message_of(ErrorKind::io,
                            [&] { write_manifest(*pictures, folder.at("none/manifest.jsonl")); }),
                 "cannot be written");
  // A full disk: /dev/full accepts the open and refuses the bytes.
  folder.write("manifest.jsonl", "old");
  std::filesystem::create_symlink("/dev/full", folder.at("manifest.jsonl.tmp"));
  CHECK_CONTAINS(
      message_of(ErrorKind::io, [&] { write_manifest(*pictures, folder.at("manifest.jsonl")); }),
      "No space left on device");
  std::ifstream in(folder.at("manifest.jsonl"));
  std::string text;
  std::getline(in, text);
  CHECK(text == "old");
}

TEST_CASE("a fingerprint is shown as 16 digits") {
  CHECK(fingerprint_text(0xABCu) == "0000000000000abc");
}

}  // namespace nat::data
