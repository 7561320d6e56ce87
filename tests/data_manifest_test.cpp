#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/files.h"
#include "data/manifest.h"
#include "data/open.h"
#include "tests/data_support.h"
#include "tests/process_state.h"

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

TEST_CASE("the absolute name of a data set keeps its prefix and means the same folder") {
  const TemporaryFolder folder;
  folder.write("deep/inside/set/cat/a.ppm", ppm(2, 2, plain({1, 2, 3})));
  folder.write("deep/beside/cat/a.ppm", ppm(2, 2, plain({1, 2, 3})));
  std::filesystem::create_directory_symlink(folder.at("deep/inside/set"), folder.at("link"));
  const nat::test::ScopedFolder inside(folder.at("deep"));
  const std::string plain_path = absolute_spec("./inside/../beside");
  const std::string prefixed = absolute_spec("folder:beside");
  const std::string through_link = absolute_spec("../link/../set");
  CHECK_THROWS_AS(absolute_spec("mnist:beside"), Error);
  CHECK(plain_path == folder.at("deep/beside"));
  CHECK(prefixed == "folder:" + folder.at("deep/beside"));
  CHECK(std::filesystem::equivalent(through_link, folder.at("deep/inside/set")));
}

TEST_CASE("the manifest of a folder names every id, bad and odd names included") {
  const TemporaryFolder folder;
  folder.write("set/cat/a\n\xff.ppm", ppm(2, 2, plain({1, 2, 3})));
  folder.write("set/cat/b.ppm", "broken");
  folder.write("set/dog/c.ppm", ppm(2, 2, plain({4, 5, 6})));
  const auto pictures = open_path(folder.at("set"), {.max_bad_percent = 50});
  folder.write("manifest.jsonl", manifest_lines(*pictures));
  folder.write("bad_images.jsonl", bad_picture_lines(*pictures));

  const std::vector<Json> lines = read_lines(folder.at("manifest.jsonl"));
  REQUIRE(lines.size() == 4);
  CHECK(lines[0]["format"] == "folder");
  CHECK(lines[0]["pictures"] == 3);
  CHECK(lines[0]["classes"] == Json{"cat", "dog"});
  CHECK(lines[0]["fingerprint"] == fingerprint_text(pictures->fingerprint()));
  CHECK(lines[1] == Json{{"id", 0}, {"path", "cat/a\\x0a\\xff.ppm"}, {"label", 0}});
  CHECK(lines[3] == Json{{"id", 2}, {"path", "dog/c.ppm"}, {"label", 1}});

  folder.write("some.jsonl", picture_lines(*pictures, {2, 0}));
  CHECK(read_lines(folder.at("some.jsonl")) == std::vector<Json>{lines[3], lines[1]});

  const std::vector<Json> bad = read_lines(folder.at("bad_images.jsonl"));
  REQUIRE(bad.size() == 1);
  CHECK(bad[0]["id"] == 1);
  CHECK(bad[0]["name"] == "cat/b.ppm");
  CHECK_CONTAINS(bad[0]["reason"].get<std::string>(), "not a known picture");
}

TEST_CASE(
    "the manifest of a record format counts records; labels are left out when there are none") {
  const TemporaryFolder folder;
  folder.write("train-images-idx3-ubyte", idx_bytes({4, 1, 1}, {1, 2, 3, 4}));
  const auto pictures = open_path(folder.path(), {.limit = 2});
  folder.write("manifest.jsonl", manifest_lines(*pictures));
  const std::vector<Json> lines = read_lines(folder.at("manifest.jsonl"));
  REQUIRE(lines.size() == 3);
  CHECK(lines[2] == Json{{"id", 1}, {"record", 2}});
}

TEST_CASE("data that changed since the manifest was written are refused") {
  const TemporaryFolder folder;
  const std::string manifest = folder.at("manifest.jsonl");
  folder.write("set/a.ppm", ppm(2, 2, plain({1, 2, 3})));
  folder.write("set/b.ppm", ppm(2, 2, plain({4, 5, 6})));
  test::write_file(manifest, manifest_lines(*open_path(folder.at("set"))));
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

TEST_CASE("a picture that went bad while it was read is no change of the data; all else is") {
  const TemporaryFolder folder;
  const auto path = [&](int i) { return "set/" + std::to_string(i) + ".png"; };
  for (int i = 0; i < 6; ++i) folder.write(path(i), png(4 + i, 5, plain({40 * i, 0, 0})));
  folder.write(path(0), "bad from the beginning");
  const std::string manifest = folder.at("manifest.jsonl"), list = folder.at("bad_images.jsonl");
  const OpenOptions options{.keep = Keep::disk, .max_bad_percent = 50};
  const auto began = open_path(folder.at("set"), options);
  test::write_file(manifest, manifest_lines(*began));
  folder.write(path(3), "bad while the run reads it");
  const auto side = static_cast<std::size_t>(began->shape().height);
  const Bytes grey(side * side * 3, 128);
  Bytes pixels(grey.size());
  began->read(3, pixels.data());
  CHECK(pixels == grey);
  test::write_file(list, bad_picture_lines(*began));

  const auto reopen = [&] {
    OpenOptions again = options;
    again.quarantined = read_quarantined(list);
    return open_path(folder.at("set"), again);
  };
  // Whatever lies under its name now, even a good picture, is not what the run knew.
  for (const Bytes& now : {Bytes{'n', 'o'}, Bytes{}, png(9, 9, plain({1, 2, 3}))}) {
    folder.write(path(3), now);
    CHECK_THROWS_AS(check_same_data(*open_path(folder.at("set"), options), manifest), Error);
    const auto resumed = reopen();
    check_same_data(*resumed, manifest);
    CHECK(resumed->usable_ids() == began->usable_ids());
    CHECK(resumed->extent(3) == began->extent(3));
    CHECK(resumed->bad_count() == 2);
    pixels.assign(pixels.size(), 0);
    resumed->read(3, pixels.data());
    CHECK(pixels == grey);
    resumed->read(5, pixels.data());
    CHECK(pixels[0] == 200);
    CHECK(test::read_file(list) == bad_picture_lines(*resumed));
  }
  const auto refused = [&] {
    CHECK_CONTAINS(message_of(ErrorKind::data, [&] { check_same_data(*reopen(), manifest); }),
                   "the data changed since the run began");
  };
  folder.write(path(5), png(9, 5, plain({201, 0, 0})));
  refused();
  folder.write(path(5), png(9, 5, plain({200, 0, 0})));
  check_same_data(*reopen(), manifest);
  folder.write("set/6.png", png(4, 5, plain({0, 0, 0})));
  refused();
  std::filesystem::remove(folder.at("set/6.png"));
  std::filesystem::remove(folder.at(path(3)));  // ids would move
  refused();
}

TEST_CASE("a missing or damaged list of bad pictures is an unusable run folder") {
  const TemporaryFolder folder;
  CHECK_CONTAINS(message_of(ErrorKind::checkpoint, [&] { read_quarantined(folder.at("none")); }),
                 "cannot be opened");
  const auto line = [](int id, int width, int height) {
    return str(R"({"id":)", id, R"(,"reason":"","file":{"width":)", width, R"(,"height":)", height,
               R"(,"bytes":1,"crc":2}})");
  };
  CHECK(read_quarantined(folder.write("whole", line(0, 1, 1))).size() == 1);
  for (const std::string& text : {std::string("{"), R"({"file":{}})" + std::string(), line(1, 0, 3),
                                  line(1, 3, 0), line(-1, 3, 3)}) {
    CAPTURE(text);
    const std::string file = folder.write("bad_images.jsonl", text);
    CHECK_CONTAINS(message_of(ErrorKind::checkpoint, [&] { read_quarantined(file); }),
                   "not a list of unreadable pictures");
  }
  CHECK(read_quarantined(folder.write("empty", std::string_view())).empty());
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

TEST_CASE("a list of bad pictures may be longer than the data set that is left") {
  const TemporaryFolder folder;
  for (int i = 0; i < 4; ++i) folder.write(str(i, ".ppm"), ppm(2, 2, plain({i, 0, 0})));
  for (const Keep keep : {Keep::disk, Keep::memory}) {
    const auto pictures = open_path(
        folder.path(), {.limit = 2,
                        .keep = keep,
                        .max_bad_percent = 50,
                        .quarantined = {{1, "was bad", {2, 2, 1, 1}}, {3, "too", {2, 2, 1, 1}}}});
    CHECK(pictures->size() == 2);
    CHECK(pictures->bad_count() == 1);
    CHECK(bad_picture_lines(*pictures).find("was bad") != std::string::npos);
  }
}

TEST_CASE("bytes that are no text, or that a terminal obeys, are shown as digits") {
  CHECK(printable("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x88") ==
        "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x88");
  CHECK(printable("\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf") ==
        "\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf");
  CHECK(printable("\xc2\xa0") == "\xc2\xa0");
  for (const char* plain : {"\xe2\x80\xa9", "\xe2\x80\xaf", "\xe2\x81\xa5", "\xe2\x81\xaa"}) {
    CHECK(printable(plain) == plain);  // the neighbours of the marks of direction
  }
  for (const auto& [text, shown] : {std::pair{"a\x1b[m\x7f", "a\\x1b[m\\x7f"},
                                    {"\xc2\x9b", "\\xc2\\x9b"},           // C1: as ESC [
                                    {"\xe2\x80\xae", "\\xe2\\x80\\xae"},  // turns the writing
                                    {"\xe2\x81\xa6", "\\xe2\\x81\\xa6"},
                                    {"\xff", "\\xff"},           // never in UTF-8
                                    {"\xc3", "\\xc3"},           // cut off
                                    {"\xc3(", "\\xc3("},         // goes on with none
                                    {"\xc0\xaf", "\\xc0\\xaf"},  // overlong
                                    {"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},
                                    {"\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf"},
                                    {"\xed\xa0\x80", "\\xed\\xa0\\x80"},  // a surrogate
                                    {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},
                                    {"\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80"}}) {
    CHECK(printable(text) == shown);
    CHECK(printable(shown) == shown);
  }
}

TEST_CASE("a fingerprint is shown as 16 digits") {
  CHECK(fingerprint_text(0xABCu) == "0000000000000abc");
}

}  // namespace nat::data
