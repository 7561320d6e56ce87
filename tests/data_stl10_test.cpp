#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "data/open.h"
#include "tests/data_support.h"
#include "tests/process_state.h"

namespace nat::data {
namespace {

namespace fs = std::filesystem;
using Labels = std::vector<std::int32_t>;

constexpr std::int64_t kBytes = 27648;

// No two of its pixels are equal, and no turn or mirroring leaves it as it is.
Painter slope(int level) {
  return [level](int x, int y) { return Colour{x, y, level}; };
}

Bytes pictures(const std::vector<int>& levels) {
  Bytes all;
  for (const int level : levels) {
    const Bytes picture = stl10_picture(slope(level));
    all.insert(all.end(), picture.begin(), picture.end());
  }
  return all;
}

// Three training pictures, two test pictures, two without labels.
void write_stl10(const TemporaryFolder& folder, const std::string& below) {
  folder.write(below + "/train_X.bin", pictures({10, 11, 12}));
  folder.write(below + "/train_y.bin", Bytes{1, 10, 3});
  folder.write(below + "/test_X.bin", pictures({20, 21}));
  folder.write(below + "/test_y.bin", Bytes{3, 2});
  folder.write(below + "/unlabeled_X.bin", pictures({30, 31}));
  folder.write(below + "/class_names.txt",
               "airplane\nbird\ncar\ncat\ndeer\ndog\nhorse\nmonkey\nship\ntruck\n");
}

std::unique_ptr<Dataset> open_path(const std::string& path, Split split = Split::train,
                                   const OpenOptions& options = {}) {
  return open_dataset(parse_spec("stl10:" + path), split, options);
}

std::string failure(const std::string& path, Split split = Split::train) {
  return message_of(ErrorKind::data, [&] { open_path(path, split); });
}

// The third colour of the first pixel of every picture: its level.
std::vector<int> levels_of(const Dataset& dataset) {
  const Bytes pixels = all_pixels(dataset);
  std::vector<int> levels;
  for (std::size_t i = 2; i < pixels.size(); i += kBytes) levels.push_back(pixels[i]);
  return levels;
}

}  // namespace

// ---- what is read -------------------------------------------------------------------------------

TEST_CASE("STL-10 pictures are turned from columns to rows and labels begin at 0") {
  const TemporaryFolder folder;
  write_stl10(folder, "x/stl10_binary");
  for (const char* path : {"x", "x/stl10_binary", "x/stl10_binary/test_X.bin"}) {
    const DatasetSpec spec = parse_spec(folder.at(path));
    CHECK(spec.format == Format::stl10);
    CHECK(to_string(spec) == "stl10:" + folder.at(path));
    CHECK(has_split(spec, Split::train));
    CHECK(has_split(spec, Split::test));
    const auto train = open_dataset(spec, Split::train);
    CHECK(train->catalog().format == "stl10");
    CHECK(train->size() == 3);
    CHECK(train->shape() == PictureShape{96, 96, 3});
    CHECK(train->catalog().labels == Labels{0, 9, 2});
    CHECK(train->classes() == 10);
    CHECK(train->catalog().class_names[9] == "truck");
    CHECK(train->name(2) == "record 2");
    CHECK(levels_of(*train) == std::vector<int>{10, 11, 12});
    const Bytes pixels = all_pixels(*train);
    int wrong = 0;
    for (int y = 0; y < 96; ++y) {
      for (int x = 0; x < 96; ++x) {
        const auto at = pixels.begin() + kBytes + 3 * (96 * y + x);
        wrong += !(at[0] == x && at[1] == y && at[2] == 11);
      }
    }
    CHECK(wrong == 0);
    const auto test = open_dataset(spec, Split::test);
    CHECK(test->catalog().labels == Labels{2, 1});
    CHECK(levels_of(*test) == std::vector<int>{20, 21});
    CHECK(test->fingerprint() != train->fingerprint());
  }
}

TEST_CASE("the unlabelled pictures are a training set of their own") {
  const TemporaryFolder folder;
  write_stl10(folder, "stl10_binary");
  const std::string path = folder.at("stl10_binary/unlabeled_X.bin");
  const DatasetSpec spec = parse_spec(path);
  CHECK(spec.format == Format::stl10);
  CHECK(has_split(spec, Split::train));
  CHECK_FALSE(has_split(spec, Split::test));
  const auto train = open_dataset(spec, Split::train);
  CHECK_FALSE(train->labelled());
  CHECK(train->classes() == 0);
  CHECK(levels_of(*train) == std::vector<int>{30, 31});
  CHECK_CONTAINS(failure(path, Split::test),
                 "stl10_binary/unlabeled_X.bin: one file of pictures without labels has no test "
                 "pictures; judge features by the labelled ones, stl10:" +
                     folder.at("stl10_binary"));
  // Under another name the prefix says what it is.
  fs::rename(path, folder.at("part.bin"));
  CHECK(levels_of(*open_path(folder.at("part.bin"))) == std::vector<int>{30, 31});
  CHECK_CONTAINS(message_of(ErrorKind::data, [&] { parse_spec(folder.at("part.bin")); }),
                 "is a file but not an IDX");
}

TEST_CASE("a single STL-10 file is found from its own folder") {
  const TemporaryFolder folder;
  write_stl10(folder, "here");
  const nat::test::ScopedFolder inside(folder.at("here"));
  const auto train = open_path("train_X.bin");
  const auto unlabelled = open_path("unlabeled_X.bin");
  const std::string refused = failure("unlabeled_X.bin", Split::test);
  CHECK(train->catalog().class_names[0] == "airplane");
  CHECK(unlabelled->size() == 2);
  CHECK_CONTAINS(refused, "labelled ones, stl10:.");
}

TEST_CASE("STL-10 classes are numbered where the names are missing or too few") {
  const TemporaryFolder folder;
  write_stl10(folder, "x");
  folder.write("x/class_names.txt", "airplane\nbird\n");
  CHECK(open_path(folder.at("x"))->catalog().class_names == numbered_classes(10));
  fs::remove(folder.at("x/class_names.txt"));
  CHECK(open_path(folder.at("x"))->catalog().class_names == numbered_classes(10));
}

// ---- limit, size --------------------------------------------------------------------------------

TEST_CASE("limit keeps the classes of STL-10 data, with any number of threads") {
  const TemporaryFolder folder;
  std::vector<int> levels;
  Bytes labels;
  for (int i = 0; i < 40; ++i) {
    levels.push_back(i);
    labels.push_back(static_cast<std::uint8_t>(1 + i / 4));
  }
  folder.write("train_X.bin", pictures(levels));
  folder.write("train_y.bin", labels);
  const auto some = open_path(folder.path(), Split::train, {.limit = 10, .threads = 1});
  CHECK(some->catalog().labels == Labels{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK(levels_of(*some) == std::vector<int>{0, 4, 8, 12, 16, 20, 24, 28, 32, 36});
  CHECK(some->name(1) == "record 4");
  const auto one = open_path(folder.path(), Split::train, {.threads = 1});
  const auto four = open_path(folder.path(), Split::train, {.threads = 4});
  CHECK(levels_of(*one) == levels);
  CHECK(one->fingerprint() == four->fingerprint());
  CHECK(one->fingerprint() != some->fingerprint());
}

TEST_CASE("pictures beyond 2^31 bytes are found, and others are not read for it") {
  const TemporaryFolder folder;
  // As many as the real file has; between the pictures written here it has holes, no blocks.
  const std::string path = folder.at("unlabeled_X.bin");
  std::ofstream file(path, std::ios::binary);
  for (const int number : {0, 20000, 80000}) {
    const Bytes picture = stl10_picture(slope(1 + number / 20000));
    file.seekp(number * kBytes);
    file.write(reinterpret_cast<const char*>(picture.data()), kBytes);
  }
  file.close();
  REQUIRE(file.good());
  fs::resize_file(path, 100000 * kBytes);
  const auto some = open_path(path, Split::train, {.limit = 5});
  CHECK(some->catalog().records == std::vector<std::int64_t>{0, 20000, 40000, 60000, 80000});
  CHECK(levels_of(*some) == std::vector<int>{1, 2, 0, 0, 5});
  Bytes last(kBytes);
  some->read(4, last.data());
  const auto at = last.begin() + 3 * (96 * 70 + 50);
  CHECK(Bytes(at, at + 3) == Bytes{50, 70, 5});

  fs::resize_file(path, 100000 * kBytes - 1);
  CHECK_CONTAINS(failure(path),
                 "27647 bytes left over after 99999 pictures of 27648 bytes; the file is cut off");
}

// ---- what is refused ----------------------------------------------------------------------------

TEST_CASE("damaged or missing STL-10 files are refused with one clear line") {
  const TemporaryFolder folder;
  const auto with = [&](const std::string& file, const Bytes& bytes) {
    write_stl10(folder, "x");
    folder.write("x/" + file, bytes);
    const std::string message = failure(folder.at("x"));
    CHECK_CONTAINS(message, folder.at("x/" + file));
    CHECK_CONTAINS(message, "; ");  // the fix
    return message;
  };
  CHECK_CONTAINS(with("train_X.bin", {}), "train_X.bin: is empty");
  Bytes left_over = pictures({1});
  append(left_over, {1, 2});
  CHECK_CONTAINS(with("train_X.bin", left_over),
                 "train_X.bin: 2 bytes left over after 1 pictures of 27648 bytes");
  CHECK_CONTAINS(with("train_y.bin", {1, 2}), "train_y.bin: holds 2 labels but ");
  CHECK_CONTAINS(with("train_y.bin", {1, 2}), "train_X.bin holds 3 pictures");
  CHECK_CONTAINS(with("train_y.bin", {1, 2, 3, 4}), "train_y.bin: holds 4 labels");
  CHECK_CONTAINS(with("train_y.bin", {}), "train_y.bin: holds 0 labels");
  CHECK_CONTAINS(with("train_y.bin", {1, 0, 3}), "train_y.bin: label 1 is 0, not one of 1 to 10");
  CHECK_CONTAINS(with("train_y.bin", {1, 2, 11}), "train_y.bin: label 2 is 11, not one of");
  // What is wrong with one split is no matter of the other.
  CHECK(open_path(folder.at("x"), Split::test)->size() == 2);

  const auto without = [&](const std::vector<std::string>& files, Split split) {
    write_stl10(folder, "x");
    for (const std::string& file : files) fs::remove(folder.at("x/" + file));
    return failure(folder.at("x"), split);
  };
  CHECK_CONTAINS(without({"test_y.bin"}, Split::test),
                 "test_X.bin is there but test_y.bin is missing; unpack the archive again");
  CHECK_CONTAINS(without({"test_X.bin", "unlabeled_X.bin"}, Split::test),
                 "x: no test pictures (looked for test_X.bin); unpack the archive again");
  CHECK_FALSE(has_split(parse_spec(folder.at("x")), Split::test));
  CHECK_CONTAINS(without({"train_X.bin", "test_X.bin"}, Split::train),
                 "no train pictures (looked for train_X.bin); unpack the archive again, or give "
                 "stl10:" +
                     folder.at("x/unlabeled_X.bin") + " to train on");
  CHECK_CONTAINS(without({"train_X.bin", "test_X.bin", "unlabeled_X.bin"}, Split::train),
                 "x: no STL-10 files (looked for train_X.bin, test_X.bin and unlabeled_X.bin, here "
                 "and in stl10_binary); give the folder that holds them");
}

}  // namespace nat::data
