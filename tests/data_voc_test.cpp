#include <doctest/doctest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/manifest.h"
#include "data/open.h"
#include "data/store.h"
#include "tests/data_support.h"

namespace nat::data {
namespace {

namespace fs = std::filesystem;
using Flags = std::vector<std::int8_t>;
using Names = std::vector<std::string>;
using Lists = std::map<std::string, std::string>;  // file below ImageSets/Main -> text

// Ids as in 2007, as in 2008 and of 12 digits, in an order of their own. Training pictures show a
// cat, cat and dog, nothing; the dog of the last one is difficult. Padded as in the real lists.
const Lists kLists = {{"trainval.txt", "000012\n2008_000008\n000000000009\n"},
                      {"test.txt", "000003\n000001\n"},
                      {"dog_trainval.txt", "000012 -1\n2008_000008  1\n000000000009  0\n"},
                      {"cat_trainval.txt", "000012  1\n2008_000008  1\n000000000009 -1\n"},
                      {"cat_test.txt", "000003 -1\n000001  1\n"},
                      {"dog_test.txt", "000003  1\n000001  0\n"},
                      {"cat_train.txt", "what other lists say is not read"},
                      {"val.txt", "neither is this"}};

void write_year(const TemporaryFolder& folder, const std::string& year,
                const Lists& lists = kLists) {
  int level = 10;
  for (const char* id : {"000001", "000003", "000012", "2008_000008", "000000000009", "unlisted"}) {
    folder.write(year + "/JPEGImages/" + id + ".jpg", gray_jpeg({level, level}));
    level += 10;
  }
  for (const auto& [file, text] : lists) folder.write(year + "/ImageSets/Main/" + file, text);
  folder.write(year + "/Annotations/000012.xml", "<annotation>not read</annotation>");
}

std::unique_ptr<Dataset> open_path(const std::string& path, Split split = Split::train,
                                   const OpenOptions& options = {}) {
  return open_dataset(parse_spec("voc:" + path), split, options);
}

Flags flags_of(const Dataset& pictures, std::int32_t id) {
  const auto flags = pictures.flags(id);
  return {flags.begin(), flags.end()};
}

// The message for a year in which one list has another text.
std::string failure(const std::string& file, const std::string& text, Split split = Split::train) {
  const TemporaryFolder folder;
  write_year(folder, "year");
  folder.write("year/ImageSets/Main/" + file, text);
  const std::string message =
      message_of(ErrorKind::data, [&] { open_path(folder.at("year"), split); });
  CHECK_CONTAINS(message, folder.at("year"));
  CHECK_CONTAINS(message, "; ");  // the fix
  return message;
}

// n pictures of `classes` classes; picture i has class c where (i + c) % 3 == 0, and its class 0 is
// difficult where i % 5 == 1.
int planned_flag(int i, int c) { return c == 0 && i % 5 == 1 ? 0 : (i + c) % 3 == 0 ? 1 : -1; }

void write_many(const TemporaryFolder& folder, int n, int classes) {
  std::string list;
  for (int i = 0; i < n; ++i) {
    list += std::to_string(100 + i) + "\n";
    folder.write("year/JPEGImages/" + std::to_string(100 + i) + ".jpg", gray_jpeg({2 * i, 2 * i}));
  }
  folder.write("year/ImageSets/Main/trainval.txt", list);
  for (int c = 0; c < classes; ++c) {
    std::string lines;
    for (int i = 0; i < n; ++i) {
      lines += std::to_string(100 + i) + " " + std::to_string(planned_flag(i, c)) + "\n";
    }
    folder.write("year/ImageSets/Main/class" + std::to_string(c) + "_trainval.txt", lines);
  }
}

}  // namespace

// ---- what is read -------------------------------------------------------------------------------

TEST_CASE("ids keep the order of the list, and every picture has a flag for each class") {
  const TemporaryFolder folder;
  write_year(folder, "VOC2007");
  const auto train = open_path(folder.at("VOC2007"));
  CHECK(train->catalog().format == "voc");
  CHECK(train->catalog().source == folder.at("VOC2007"));
  CHECK(train->catalog().paths == Names{"JPEGImages/000012.jpg", "JPEGImages/2008_000008.jpg",
                                        "JPEGImages/000000000009.jpg"});
  CHECK(train->name(1) == "JPEGImages/2008_000008.jpg");
  CHECK(train->catalog().class_names == Names{"cat", "dog"});
  CHECK(train->classes() == 2);
  CHECK(train->multi_label());
  CHECK_FALSE(train->labelled());
  CHECK(train->label(0) == -1);
  CHECK(flags_of(*train, 0) == Flags{1, -1});
  CHECK(flags_of(*train, 1) == Flags{1, 1});
  CHECK(flags_of(*train, 2) == Flags{-1, 0});
  CHECK(train->catalog().remarks.empty());
  CHECK(train->shape() == PictureShape{8, 8, 3});
  CHECK(all_pixels(*train)[0] == 30);
  CHECK(all_pixels(*train)[192] == 40);

  const auto test = open_path(folder.at("VOC2007"), Split::test);
  CHECK(test->catalog().paths == Names{"JPEGImages/000003.jpg", "JPEGImages/000001.jpg"});
  CHECK(test->catalog().class_names == Names{"cat", "dog"});
  CHECK(test->catalog().flags == Flags{-1, 1, 1, 0});
  CHECK(all_pixels(*test)[0] == 20);
}

TEST_CASE("formats with one label a picture, or none, have no flags") {
  const TemporaryFolder folder;
  folder.write("a/1.ppm", ppm(2, 2, plain({1, 2, 3})));
  const auto pictures = open_dataset(parse_spec(folder.path()), Split::train);
  CHECK(pictures->labelled());
  CHECK_FALSE(pictures->multi_label());
  CHECK(pictures->flags(0).empty());
}

TEST_CASE("blanks, ends of lines and the order inside a class file mean nothing") {
  const TemporaryFolder folder;
  write_year(folder, "plain");
  Lists lists = kLists;
  lists["trainval.txt"] = "000012\r\n2008_000008  \r\n\r\n000000000009";
  lists["cat_trainval.txt"] = "\r\n000000000009 -1\r\n  000012\t1\r\n2008_000008  1";
  write_year(folder, "odd", lists);
  const auto expected = open_path(folder.at("plain")), odd = open_path(folder.at("odd"));
  CHECK(odd->catalog().paths == expected->catalog().paths);
  CHECK(odd->catalog().flags == expected->catalog().flags);
  CHECK(odd->fingerprint() == expected->fingerprint());
}

TEST_CASE("classes are sorted by their names, whatever the names of their files") {
  const TemporaryFolder folder;
  Lists lists = kLists;
  // "aB_trainval.txt" sorts before "a_trainval.txt".
  for (const char* name : {"aB", "a", "train", "a_b"}) {
    lists[std::string(name) + "_trainval.txt"] = lists["dog_trainval.txt"];
  }
  lists["_trainval.txt"] = "no class without a name";
  write_year(folder, "year", lists);
  CHECK(open_path(folder.at("year"))->catalog().class_names ==
        Names{"a", "aB", "a_b", "cat", "dog", "train"});
}

TEST_CASE("a class that no picture shows is remarked; without class files there are no labels") {
  const TemporaryFolder folder;
  Lists lists = kLists;
  lists["sheep_trainval.txt"] = "000012 -1\n2008_000008  0\n000000000009 -1\n";
  write_year(folder, "year", lists);
  const auto rare = open_path(folder.at("year"));
  CHECK(rare->classes() == 3);
  CHECK(rare->catalog().remarks == Names{"class 'sheep' is in no picture"});

  write_year(folder, "bare", {{"trainval.txt", kLists.at("trainval.txt")}});
  const auto bare = open_path(folder.at("bare"));
  CHECK(bare->size() == 3);
  CHECK_FALSE(bare->multi_label());
  CHECK_FALSE(bare->labelled());
  CHECK(bare->flags(2).empty());
  CHECK(bare->catalog().remarks ==
        Names{"no files <class>_trainval.txt: the pictures have no labels"});
}

// ---- where it is found --------------------------------------------------------------------------

TEST_CASE("a year is recognised by itself, in a folder and in VOCdevkit below one") {
  const TemporaryFolder folder;
  write_year(folder, "x/VOCdevkit/VOC2007");
  std::uint64_t fingerprint = 0;
  for (const char* path : {"x", "x/VOCdevkit", "x/VOCdevkit/VOC2007", "x/VOCdevkit/VOC2007/"}) {
    const DatasetSpec spec = parse_spec(folder.at(path));
    CHECK(spec.format == Format::voc);
    CHECK(to_string(spec) == "voc:" + folder.at(path));
    CHECK(has_split(spec, Split::train));
    CHECK(has_split(spec, Split::test));
    const auto pictures = open_dataset(spec, Split::train);
    CHECK(pictures->size() == 3);
    if (fingerprint == 0) fingerprint = pictures->fingerprint();
    CHECK(pictures->fingerprint() == fingerprint);
  }
  fs::remove_all(folder.at("x/VOCdevkit/VOC2007/ImageSets"));
  CHECK(parse_spec(folder.at("x")).format == Format::folder);
  CHECK_CONTAINS(message_of(ErrorKind::data, [&] { open_path(folder.at("x")); }),
                 "no JPEGImages and ImageSets/Main in it, one folder below or in VOCdevkit/YEAR");
}

TEST_CASE("several years are refused with the name of one") {
  const TemporaryFolder folder;
  write_year(folder, "VOCdevkit/VOC2012");
  write_year(folder, "VOCdevkit/VOC2007");
  const DatasetSpec spec = parse_spec(folder.at("VOCdevkit"));
  CHECK(spec.format == Format::voc);
  CHECK_FALSE(has_split(spec, Split::train));
  const std::string message =
      message_of(ErrorKind::data, [&] { open_dataset(spec, Split::train); });
  CHECK_CONTAINS(message, "holds 2 years; give one of them, for instance voc:");
  CHECK_CONTAINS(message, "VOCdevkit/VOC2007");
}

TEST_CASE("a split whose list is not there is one the data set does not have") {
  const TemporaryFolder folder;
  write_year(folder, "year");
  for (const char* file : {"test.txt", "cat_test.txt", "dog_test.txt"}) {
    fs::remove(folder.at(std::string("year/ImageSets/Main/") + file));
  }
  const DatasetSpec spec = parse_spec(folder.at("year"));
  CHECK(has_split(spec, Split::train));
  CHECK_FALSE(has_split(spec, Split::test));
  CHECK(open_dataset(spec, Split::train)->multi_label());
  const std::string message = message_of(ErrorKind::data, [&] { open_dataset(spec, Split::test); });
  CHECK_CONTAINS(message, "no test pictures (looked for ");
  CHECK_CONTAINS(message, "ImageSets/Main/test.txt");
}

// ---- what is refused ----------------------------------------------------------------------------

TEST_CASE("lists of ids that cannot be right are refused with file and line") {
  CHECK_CONTAINS(failure("trainval.txt", "000012\n\n000777\n"),
                 "ImageSets/Main/trainval.txt:3: picture '000777' has no .jpg in /");
  CHECK_CONTAINS(failure("test.txt", "000777\r\n", Split::test),
                 "test.txt:1: picture '000777' has no .jpg");
  CHECK_CONTAINS(failure("trainval.txt", "000012\n000012\n"),
                 "trainval.txt:2: '000012' is listed a second time");
  CHECK_CONTAINS(failure("trainval.txt", "000012  1\n"),
                 "trainval.txt:1: '000012  1' is not a picture id");
  CHECK_CONTAINS(failure("trainval.txt", "../JPEGImages/000012\n"),
                 "trainval.txt:1: '../JPEGImages/000012' is not a picture id");
  const std::string message = failure("trainval.txt", std::string(5000, 'x'));
  CHECK_CONTAINS(message, ": picture '" + std::string(60, 'x') + "...' has no .jpg in /");
  CHECK_CONTAINS(failure("trainval.txt", " \r\n\n"), "trainval.txt: lists no pictures");
  CHECK_CONTAINS(failure("trainval.txt", ""), "trainval.txt: lists no pictures");
  CHECK_CONTAINS(failure("trainval.txt", "no\x1b[31m\xff\n"),
                 "picture 'no\\x1b[31m\\xff' has no .jpg");
}

TEST_CASE("class files that do not fit the list are refused with file and line") {
  const std::string good = "000012 -1\n2008_000008  1\n";
  CHECK_CONTAINS(failure("dog_trainval.txt", good + "000000000009  2\n"),
                 "ImageSets/Main/dog_trainval.txt:3: flag '2' is not 1, -1 or 0");
  for (const char* flag : {"-2", "1.0", "+1", "yes", "01"}) {
    CHECK_CONTAINS(failure("dog_trainval.txt", good + "000000000009 " + flag),
                   "dog_trainval.txt:3: flag '" + std::string(flag) + "' is not");
  }
  CHECK_CONTAINS(failure("dog_trainval.txt", good + "\n000001  1\n"),
                 "dog_trainval.txt:4: picture '000001' is not in the list of the split");
  CHECK_CONTAINS(failure("dog_test.txt", "000003  1\n000012 -1\n", Split::test),
                 "dog_test.txt:2: picture '000012' is not in the list");
  CHECK_CONTAINS(failure("dog_trainval.txt", good + "000012 -1\n"),
                 "dog_trainval.txt:3: '000012' is listed a second time");
  CHECK_CONTAINS(failure("dog_trainval.txt", good + "000000000009\n"),
                 "dog_trainval.txt:3: '000000000009' is not a picture id and a flag");
  CHECK_CONTAINS(failure("dog_trainval.txt", good + "000000000009 -1 1\n"),
                 "dog_trainval.txt:3: '000000000009 -1 1' is not a picture id and a flag");
  CHECK_CONTAINS(failure("dog_trainval.txt", good),
                 "dog_trainval.txt: lacks 1 of the 3 pictures of the split (first '000000000009')");
  CHECK_CONTAINS(failure("dog_trainval.txt", ""),
                 "dog_trainval.txt: lacks 3 of the 3 pictures of the split (first '000012')");
}

TEST_CASE("classes must be the same in both splits") {
  CHECK_CONTAINS(failure("sheep_test.txt", "000003 -1\n000001 -1\n", Split::test),
                 "the class files of training and test pictures differ (first 'sheep', 1 in all)");
  CHECK_CONTAINS(
      failure("ant_trainval.txt", "000012 1\n2008_000008 1\n000000000009 1\n", Split::test),
      "differ (first 'ant', 1 in all)");
  // Test pictures whose labels are kept secret are no contradiction.
  const TemporaryFolder folder;
  write_year(folder, "year");
  fs::remove(folder.at("year/ImageSets/Main/cat_test.txt"));
  fs::remove(folder.at("year/ImageSets/Main/dog_test.txt"));
  CHECK_FALSE(open_path(folder.at("year"), Split::test)->multi_label());
}

TEST_CASE("lists that cannot be read are refused, pipes too") {
  const TemporaryFolder folder;
  write_year(folder, "year");
  const std::string list = folder.at("year/ImageSets/Main/dog_trainval.txt");
  fs::remove(list);
  fs::create_symlink(folder.at("year/ImageSets"), list);  // a folder is no class file
  CHECK(open_path(folder.at("year"))->catalog().class_names == Names{"cat"});
  fs::remove(list);
  REQUIRE(mkfifo(list.c_str(), 0600) == 0);
  CHECK(open_path(folder.at("year"))->catalog().class_names == Names{"cat"});
  fs::remove(folder.at("year/ImageSets/Main/trainval.txt"));
  REQUIRE(mkfifo(folder.at("year/ImageSets/Main/trainval.txt").c_str(), 0600) == 0);
  CHECK_CONTAINS(message_of(ErrorKind::data, [&] { open_path(folder.at("year")); }),
                 "no train pictures (looked for ");
  CHECK_CONTAINS(message_of(ErrorKind::data, [&] { open_path(folder.at("year/JPEGImages")); }),
                 "no JPEGImages and ImageSets/Main");
}

// ---- bad pictures, limit, fingerprint, manifest -------------------------------------------------

TEST_CASE("a picture that cannot be decoded keeps its id and its flags") {
  const TemporaryFolder folder;
  write_year(folder, "year");
  folder.write("year/JPEGImages/2008_000008.jpg", "no picture");
  Bytes cut = gray_jpeg({90, 90});
  cut.erase(cut.end() - 2, cut.end());
  folder.write("year/JPEGImages/000012.jpg", cut);  // its header is whole
  for (const Keep keep : {Keep::memory, Keep::disk}) {
    const auto pictures =
        open_path(folder.at("year"), Split::train, {.keep = keep, .max_bad_percent = 70});
    CHECK(pictures->size() == 3);
    CHECK(all_pixels(*pictures)[0] == 128);
    CHECK(all_pixels(*pictures)[2 * 192] == 50);
    const auto bad = pictures->bad_pictures();
    REQUIRE(bad.size() == 2);
    CHECK(bad[0].id == 0);
    CHECK(bad[1].id == 1);
    CHECK_CONTAINS(bad[1].reason, "not a known picture");
    CHECK(pictures->catalog().flags == Flags{1, -1, 1, 1, -1, 0});
  }
  CHECK_CONTAINS(message_of(ErrorKind::data, [&] { open_path(folder.at("year")); }),
                 "1 of 3 pictures cannot be read, more than the limit of 5 % (first: "
                 "JPEGImages/2008_000008.jpg");
}

TEST_CASE("limit keeps evenly spaced pictures with their flags, in memory and on disk") {
  const TemporaryFolder folder;
  write_many(folder, 30, 4);
  for (const Keep keep : {Keep::memory, Keep::disk}) {
    const auto some = open_path(folder.at("year"), Split::train, {.limit = 8, .keep = keep});
    REQUIRE(some->size() == 8);
    CHECK(some->catalog().flags.size() == 32);
    const Bytes pixels = all_pixels(*some);
    for (int k = 0; k < 8; ++k) {
      const int i = k * 30 / 8;
      CHECK(some->name(k) == "JPEGImages/" + std::to_string(100 + i) + ".jpg");
      CHECK(pixels[static_cast<std::size_t>(k) * 192] == 2 * i);
      for (int c = 0; c < 4; ++c) {
        CHECK(some->flags(k)[static_cast<std::size_t>(c)] == planned_flag(i, c));
      }
    }
  }
  CHECK(open_path(folder.at("year"), Split::train, {.limit = 31})->size() == 30);
}

TEST_CASE("memory and disk hold the same data set") {
  const TemporaryFolder folder;
  write_many(folder, 12, 3);
  const auto disk = open_path(folder.at("year"), Split::train, {.keep = Keep::disk});
  const auto stored = load_into_memory(*disk, 2);
  CHECK(stored->catalog().flags == disk->catalog().flags);
  CHECK(stored->multi_label());
  CHECK(stored->fingerprint() == disk->fingerprint());
  CHECK(all_pixels(*stored) == all_pixels(*disk));
}

TEST_CASE("the fingerprint follows ids, bytes, class names and every flag, not the place") {
  const TemporaryFolder folder;
  write_year(folder, "a");
  const std::uint64_t original = open_path(folder.at("a"))->fingerprint();
  fs::rename(folder.at("a"), folder.at("b"));
  const auto now = [&] { return open_path(folder.at("b"))->fingerprint(); };
  CHECK(now() == original);

  const auto with = [&](const std::string& file, const std::string& text) {
    const std::string path = "b/ImageSets/Main/" + file, before = test::read_file(folder.at(path));
    folder.write(path, text);
    const std::uint64_t changed = now();
    folder.write(path, before);
    return changed;
  };
  CHECK(with("dog_trainval.txt", "000012 -1\n2008_000008  1\n000000000009 -1\n") != original);
  CHECK(with("dog_trainval.txt", "000012 -1\n2008_000008  1\n000000000009  1\n") != original);
  CHECK(with("cat_trainval.txt", "000012 -1\n2008_000008  1\n000000000009 -1\n") != original);
  CHECK(with("trainval.txt", "2008_000008\n000012\n000000000009\n") != original);
  CHECK(with("dog_test.txt", "000003 -1\n000001 -1\n") == original);  // of the other split
  CHECK(now() == original);

  const std::string main = folder.at("b/ImageSets/Main/");
  fs::rename(main + "dog_trainval.txt", main + "eel_trainval.txt");
  CHECK(now() != original);
  fs::rename(main + "eel_trainval.txt", main + "dog_trainval.txt");
  folder.write("b/JPEGImages/000012.jpg", gray_jpeg({30, 31}));
  CHECK(now() != original);
  folder.write("b/JPEGImages/000012.jpg", gray_jpeg({30, 30}));
  CHECK(now() == original);
}

TEST_CASE("the manifest names the classes that a picture shows for certain") {
  using Json = nlohmann::json;
  const TemporaryFolder folder;
  write_year(folder, "year");
  const auto pictures = open_path(folder.at("year"));
  folder.write("manifest.jsonl", manifest_lines(*pictures));
  std::ifstream in(folder.at("manifest.jsonl"));
  std::vector<Json> lines;
  for (std::string line; std::getline(in, line);) lines.push_back(Json::parse(line));
  REQUIRE(lines.size() == 4);
  CHECK(lines[0]["format"] == "voc");
  CHECK(lines[0]["classes"] == Json{"cat", "dog"});
  CHECK(lines[1] ==
        Json{{"id", 0}, {"path", "JPEGImages/000012.jpg"}, {"labels", Json::array({"cat"})}});
  CHECK(lines[2]["labels"] == Json::array({"cat", "dog"}));
  CHECK(lines[3]["labels"] == Json::array());

  check_same_data(*open_path(folder.at("year")), folder.at("manifest.jsonl"));
  folder.write("year/ImageSets/Main/cat_trainval.txt",
               "000012  1\n2008_000008  1\n000000000009  0\n");
  CHECK_CONTAINS(
      message_of(
          ErrorKind::data,
          [&] { check_same_data(*open_path(folder.at("year")), folder.at("manifest.jsonl")); }),
      "the data changed since the run began");
}

TEST_CASE("a picture that a run gave up stays grey with its flags when the run goes on") {
  const TemporaryFolder folder;
  write_many(folder, 8, 2);
  const OpenOptions options{.keep = Keep::disk, .max_bad_percent = 50};
  const auto began = open_path(folder.at("year"), Split::train, options);
  folder.write("manifest.jsonl", manifest_lines(*began));
  folder.write("year/JPEGImages/104.jpg", "no picture any more");
  CHECK(all_pixels(*began)[4 * 192] == 128);
  folder.write("bad_images.jsonl", bad_picture_lines(*began));

  folder.write("year/JPEGImages/104.jpg", gray_jpeg({7, 7}));
  OpenOptions again = options;
  again.quarantined = read_quarantined(folder.at("bad_images.jsonl"));
  const auto resumed = open_path(folder.at("year"), Split::train, again);
  check_same_data(*resumed, folder.at("manifest.jsonl"));
  CHECK(all_pixels(*resumed)[4 * 192] == 128);
  CHECK(resumed->catalog().flags == began->catalog().flags);
}

// ---- a real one ---------------------------------------------------------------------------------

TEST_CASE("photographs in a VOC devkit open when they are at hand") {
  const std::string tar = NAT_SOURCE_DIR "/../shared/data/coco-voc/coco-voc.tar";
  if (!fs::exists(tar)) {
    MESSAGE("skipped: no photographs in a VOC devkit (coco-voc.tar) beside the source tree");
    return;
  }
  const TemporaryFolder folder;
  REQUIRE(std::system(("tar -xf '" + tar + "' -C '" + folder.path() + "'").c_str()) == 0);
  const DatasetSpec spec = parse_spec(folder.path());
  CHECK(spec.format == Format::voc);
  const OpenOptions small{.picture_size = 32};
  const auto train = open_dataset(spec, Split::train, small);
  const auto test = open_dataset(spec, Split::test, small);
  int ignored = 0, people = 0, bare = 0, several = 0;
  for (const Dataset* split : {train.get(), test.get()}) {
    CHECK(split->size() == 128);
    CHECK(split->bad_count() == 0);
    REQUIRE(split->classes() == 20);
    CHECK(split->catalog().class_names[14] == "person");
    for (std::int32_t id = 0; id < split->size(); ++id) {
      const Flags flags = flags_of(*split, id);
      const auto shown = std::count(flags.begin(), flags.end(), 1);
      ignored += static_cast<int>(std::count(flags.begin(), flags.end(), 0));
      people += flags[14] == 1;
      several += shown >= 2;
      bare += std::count(flags.begin(), flags.end(), -1) == 20;
    }
  }
  // Counted by those who made the set: flags of 0, pictures with people (training and test), with
  // two classes or more, with none (training and test).
  CHECK(ignored == 20);
  CHECK(people == 58 + 72);
  CHECK(train->catalog().remarks ==
        Names{"class 'cow' is in no picture", "class 'sheep' is in no picture"});
  CHECK(test->catalog().remarks == Names{"class 'cow' is in no picture"});
  CAPTURE(several);
  CAPTURE(bare);
  CHECK(several == 71);
  CHECK(bare == 31 + 28);
}

}  // namespace nat::data
