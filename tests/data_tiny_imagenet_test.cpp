#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "data/open.h"
#include "data/store.h"
#include "tests/data_support.h"

namespace nat::data {
namespace {

namespace fs = std::filesystem;
using Labels = std::vector<std::int32_t>;
using Names = std::vector<std::string>;

// Boxes as in the real file. The order is neither that of names nor that of classes.
const char* const kAnnotations =
    "val_1.JPEG\tn03\t0\t32\t44\t62\nval_0.JPEG\tn01\t52\t55\t57\t59\n"
    "val_10.JPEG\tn03\t4\t0\t60\t55\n";

std::string training_picture(const std::string& wnid, int number) {
  return "train/" + wnid + "/images/" + wnid + "_" + std::to_string(number) + ".JPEG";
}

// Three classes, of which wnids.txt has another order; class k has k + 1 training pictures of level
// 10 (k + 1) + number.
void write_tiny(const TemporaryFolder& folder, const std::string& below) {
  const Names wnids = {"n01", "n02", "n03"};
  for (int k = 0; k < 3; ++k) {
    const std::string& wnid = wnids[static_cast<std::size_t>(k)];
    for (int i = 0; i <= k; ++i) {
      const int level = 10 * (k + 1) + i;
      folder.write(below + "/" + training_picture(wnid, i), gray_jpeg({level, level}));
    }
    folder.write(below + "/train/" + wnid + "/" + wnid + "_boxes.txt", "not read");
  }
  for (const int i : {0, 1, 10}) {
    folder.write(below + "/val/images/val_" + std::to_string(i) + ".JPEG",
                 gray_jpeg({100 + i, 100 + i}));
  }
  folder.write(below + "/val/val_annotations.txt", kAnnotations);
  folder.write(below + "/test/images/test_0.JPEG", gray_jpeg({200, 200}));
  folder.write(below + "/wnids.txt", "n03\nn01\nn02\n");
  folder.write(below + "/words.txt",
               "n00\tentity\nn01\tgoldfish, Carassius auratus\nn03\tEgyptian cat\r\n");
}

std::unique_ptr<Dataset> open_path(const std::string& path, Split split = Split::train,
                                   const OpenOptions& options = {}) {
  return open_dataset(parse_spec("tiny_imagenet:" + path), split, options);
}

std::string failure(const std::string& path, Split split = Split::train) {
  return message_of(ErrorKind::data, [&] { open_path(path, split); });
}

// The message for other annotations.
std::string annotations_failure(const std::string& text) {
  const TemporaryFolder folder;
  write_tiny(folder, "x");
  folder.write("x/val/val_annotations.txt", text);
  const std::string message = failure(folder.at("x"), Split::test);
  CHECK_CONTAINS(message, folder.at("x/val/val_annotations.txt"));
  CHECK_CONTAINS(message, "; ");  // the fix
  CHECK(open_path(folder.at("x"))->size() == 6);
  return message;
}

// The first byte of every picture: its level.
std::vector<int> levels_of(const Dataset& dataset) {
  const Bytes pixels = all_pixels(dataset);
  std::vector<int> levels;
  const auto bytes = static_cast<std::size_t>(dataset.shape().bytes());
  for (std::size_t i = 0; i < pixels.size(); i += bytes) levels.push_back(pixels[i]);
  return levels;
}

}  // namespace

// ---- what is read -------------------------------------------------------------------------------

TEST_CASE("labels are ranks of sorted wnids in both splits") {
  const TemporaryFolder folder;
  write_tiny(folder, "x/tiny-imagenet-200");
  std::uint64_t fingerprint = 0;
  for (const char* path : {"x", "x/tiny-imagenet-200", "x/tiny-imagenet-200/"}) {
    const DatasetSpec spec = parse_spec(folder.at(path));
    CHECK(spec.format == Format::tiny_imagenet);
    CHECK(to_string(spec) == "tiny_imagenet:" + folder.at(path));
    CHECK(has_split(spec, Split::train));
    CHECK(has_split(spec, Split::test));
    const auto train = open_dataset(spec, Split::train);
    CHECK(train->catalog().format == "tiny_imagenet");
    CHECK(train->catalog().source == folder.at(path));
    CHECK(train->name(1) == "train/n02/images/n02_0.JPEG");
    CHECK(train->catalog().labels == Labels{0, 1, 1, 2, 2, 2});
    CHECK(levels_of(*train) == std::vector<int>{10, 20, 21, 30, 31, 32});
    CHECK(train->shape() == PictureShape{8, 8, 3});
    CHECK(train->catalog().remarks.empty());
    const auto test = open_dataset(spec, Split::test);
    CHECK(test->catalog().paths ==
          Names{"val/images/val_1.JPEG", "val/images/val_0.JPEG", "val/images/val_10.JPEG"});
    CHECK(test->catalog().labels == Labels{2, 0, 2});
    CHECK(levels_of(*test) == std::vector<int>{101, 100, 110});
    CHECK(test->catalog().class_names == train->catalog().class_names);
    if (fingerprint == 0) fingerprint = train->fingerprint();
    CHECK(train->fingerprint() == fingerprint);
    CHECK(test->fingerprint() != fingerprint);
  }
}

TEST_CASE("a class has its first name and its wnid, or the wnid alone") {
  const TemporaryFolder folder;
  write_tiny(folder, "x");
  const auto named = open_path(folder.at("x"));
  CHECK(named->catalog().class_names == Names{"goldfish (n01)", "n02", "Egyptian cat (n03)"});
  folder.write("x/words.txt", "n01\nn02\t\nn03 \t , odd\n");
  CHECK(open_path(folder.at("x"))->catalog().class_names == Names{"n01", "n02", "n03"});
  fs::remove(folder.at("x/words.txt"));
  const auto plain = open_path(folder.at("x"));
  CHECK(plain->catalog().class_names == Names{"n01", "n02", "n03"});
  CHECK(plain->fingerprint() == named->fingerprint());  // names decide nothing
}

TEST_CASE("only .JPEG files of the images folders are pictures, and an empty class is remarked") {
  const TemporaryFolder folder;
  write_tiny(folder, "x");
  for (const char* file :
       {"images/notes.txt", "images/x.jpg", "images/x.JPG", "x.JPEG", "images/more/x.JPEG"}) {
    folder.write(std::string("x/train/n01/") + file, gray_jpeg({90, 90}));
  }
  folder.write("x/train/n02/images/.hidden.JPEG", gray_jpeg({90, 90}));
  fs::remove_all(folder.at("x/train/n03/images"));
  const auto train = open_path(folder.at("x"));
  CHECK(levels_of(*train) == std::vector<int>{10, 20, 21});
  CHECK(train->classes() == 3);
  CHECK(train->catalog().remarks == Names{"class 'n03' has no pictures"});
}

TEST_CASE("without the tell-tale files it is a folder of pictures, unless the prefix says more") {
  const TemporaryFolder folder;
  write_tiny(folder, "x");
  fs::remove(folder.at("x/wnids.txt"));
  CHECK(parse_spec(folder.at("x")).format == Format::folder);
  CHECK(open_path(folder.at("x"), Split::test)->size() == 3);
  write_tiny(folder, "x");
  fs::remove(folder.at("x/val/val_annotations.txt"));
  CHECK(parse_spec(folder.at("x")).format == Format::folder);
  const DatasetSpec spec = parse_spec("tiny_imagenet:" + folder.at("x"));
  CHECK(has_split(spec, Split::train));
  CHECK_FALSE(has_split(spec, Split::test));
  CHECK(open_dataset(spec, Split::train)->size() == 6);
  CHECK_CONTAINS(failure(folder.at("x"), Split::test),
                 "x: no test pictures (looked for val/val_annotations.txt)");
}

// ---- what is refused ----------------------------------------------------------------------------

TEST_CASE("annotations that do not fit the pictures are refused with file and line") {
  const std::string good = kAnnotations;
  CHECK_CONTAINS(annotations_failure(good + "\nval_2.JPEG\tn01\t0\t0\t1\t1\n"),
                 "val_annotations.txt:5: picture 'val_2.JPEG' is not in /");
  CHECK_CONTAINS(annotations_failure("../images/val_1.JPEG\tn01\n"),
                 "val_annotations.txt:1: picture '../images/val_1.JPEG' is not in /");
  CHECK_CONTAINS(annotations_failure("val_1.JPEG\tn04\t0\t32\t44\t62\n"),
                 "val_annotations.txt:1: wnid 'n04' is none of the 3 folders of /");
  CHECK_CONTAINS(annotations_failure(good + "val_0.JPEG\tn01\n"),
                 "val_annotations.txt:4: 'val_0.JPEG' is listed a second time");
  CHECK_CONTAINS(annotations_failure("val_1.JPEG\n"),
                 "val_annotations.txt:1: 'val_1.JPEG' is not a picture and its wnid");
  CHECK_CONTAINS(annotations_failure("val_10.JPEG\tn03\n"), "lacks 2 of the 3 pictures in /");
  CHECK_CONTAINS(annotations_failure("val_10.JPEG\tn03\n"), "(first 'val_0.JPEG')");
  CHECK_CONTAINS(annotations_failure(""), "lacks 3 of the 3 pictures");
  CHECK_CONTAINS(annotations_failure("val_1.JPEG\tno\x1b[31m\n"), "wnid 'no\\x1b[31m' is none");
}

TEST_CASE("Tiny ImageNet without its pictures is refused") {
  const TemporaryFolder folder;
  write_tiny(folder, "x");
  fs::remove_all(folder.at("x/val/images"));
  CHECK_CONTAINS(failure(folder.at("x"), Split::test), "picture 'val_1.JPEG' is not in /");
  folder.write("x/val/val_annotations.txt", "\n");
  CHECK_CONTAINS(failure(folder.at("x"), Split::test), "val_annotations.txt: lists no pictures");
  for (const char* wnid : {"n01", "n02", "n03"}) {
    fs::remove_all(folder.at("x/train/" + std::string(wnid) + "/images"));
  }
  CHECK_CONTAINS(failure(folder.at("x")),
                 "no train pictures (looked for train/<wnid>/images/*.JPEG); unpack the archive "
                 "again, or use folder:PATH");
  fs::remove_all(folder.at("x/train"));
  CHECK_CONTAINS(failure(folder.at("x")), "x: no folder train in it or in tiny-imagenet-200");
}

// ---- bad pictures, limit ------------------------------------------------------------------------

TEST_CASE("a picture of Tiny ImageNet that cannot be decoded keeps its id and label") {
  const TemporaryFolder folder;
  write_tiny(folder, "x");
  folder.write("x/" + training_picture("n02", 0), "no picture");
  Bytes cut = gray_jpeg({90, 90});
  cut.erase(cut.end() - 2, cut.end());
  folder.write("x/" + training_picture("n03", 2), cut);  // its header is whole
  for (const Keep keep : {Keep::memory, Keep::disk}) {
    const auto train =
        open_path(folder.at("x"), Split::train, {.keep = keep, .max_bad_percent = 40});
    CHECK(levels_of(*train) == std::vector<int>{10, 128, 21, 30, 31, 128});
    const auto bad = train->bad_pictures();
    REQUIRE(bad.size() == 2);
    CHECK(bad[0].id == 1);
    CHECK_CONTAINS(bad[0].reason, "not a known picture");
    CHECK(bad[1].id == 5);
    CHECK(train->catalog().labels == Labels{0, 1, 1, 2, 2, 2});
  }
  CHECK_CONTAINS(failure(folder.at("x")), "1 of 6 pictures cannot be read, more than the limit");
}

TEST_CASE("limit keeps pictures of Tiny ImageNet with their labels, in memory and on disk") {
  const TemporaryFolder folder;
  write_tiny(folder, "x");
  for (int i = 1; i < 4; ++i) {
    folder.write("x/" + training_picture("n01", i), gray_jpeg({10 + i, 10 + i}));
  }
  for (const Keep keep : {Keep::memory, Keep::disk}) {
    const auto some = open_path(folder.at("x"), Split::train, {.limit = 3, .keep = keep});
    CHECK(some->catalog().labels == Labels{0, 0, 2});
    CHECK(levels_of(*some) == std::vector<int>{10, 13, 30});
  }
  const auto disk = open_path(folder.at("x"), Split::train, {.keep = Keep::disk});
  const auto memory = load_into_memory(*disk, 2);
  CHECK(memory->fingerprint() == disk->fingerprint());
  CHECK(all_pixels(*memory) == all_pixels(*disk));
}

}  // namespace nat::data
