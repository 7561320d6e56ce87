#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "data/open.h"
#include "tests/data_support.h"
#include "tests/tar_bytes.h"

namespace nat::data {
namespace {

namespace fs = std::filesystem;
using test::TarWriter;
using Names = std::vector<std::string>;
using Labels = std::vector<std::int32_t>;

std::unique_ptr<Dataset> open_tar(const std::string& path, Split split = Split::train,
                                  const OpenOptions& options = {}) {
  return open_dataset(parse_spec("tar:" + path), split, options);
}

std::string failure(const std::string& path, Split split = Split::train,
                    const OpenOptions& options = {}) {
  return message_of(ErrorKind::data, [&] { open_tar(path, split, options); });
}

std::string text(const Bytes& bytes) { return {bytes.begin(), bytes.end()}; }

// 4 x 4 pixels of one colour.
std::string dot(int red) { return text(ppm(4, 4, plain({red, 0, 0}))); }

// The red of every picture in the order of ids.
std::vector<int> reds(const Dataset& pictures) {
  const Bytes pixels = all_pixels(pictures);
  std::vector<int> found;
  for (std::size_t i = 0; i < pixels.size(); i += 48) found.push_back(pixels[i]);
  return found;
}

// A tree with all that image_folder.h has a rule for.
enum class LongNames { yes, no };
void write_tree(const TemporaryFolder& folder, const std::string& root,
                LongNames long_names = LongNames::yes) {
  int red = 0;
  for (const char* name :
       {"train/b/two.PPM", "train/b/images/one.ppm", "train/b/z.ppm", "train/b/images.ppm",
        "train/10/x.ppm", "train/9/x.ppm", "train/B/x y.ppm", "train/B/\xc3\xa9t\xc3\xa9.ppm",
        "train/B/new\nline.ppm", "train/b.c/x.ppm", "train/b/a/b/c.ppm", "val/9/v.ppm",
        "val/b/v.ppm", "val/10/v.ppm"}) {
    folder.write(root + "/" + name, dot(++red));
  }
  if (long_names == LongNames::yes) {
    folder.write(root + "/train/B/" + std::string(150, 'n') + ".ppm", dot(++red));
    folder.write(root + "/train/b/" + std::string(120, 'd') + "/" + std::string(200, 'n') + ".png",
                 text(png(4, 6, plain({++red, 1, 2}))));
  }
  folder.write(root + "/train/9/bad.png", "no picture");
  folder.write(root + "/train/9/words.txt", "none either");
  folder.write(root + "/train/9/.hidden.ppm", dot(250));
  folder.write(root + "/train/.cache/x.ppm", dot(251));
  folder.write(root + "/readme.txt", "what it is");
  for (const char* split : {"/train/", "/val/"}) {
    for (const char* name : {"empty", "B", "b.c"}) {
      fs::create_directories(folder.at(root + split + name));
    }
  }
}

void check_same(const Dataset& packed, const Dataset& unpacked) {
  CHECK(packed.catalog().paths == unpacked.catalog().paths);
  CHECK(packed.catalog().labels == unpacked.catalog().labels);
  CHECK(packed.catalog().class_names == unpacked.catalog().class_names);
  CHECK(packed.catalog().remarks == unpacked.catalog().remarks);
  CHECK(packed.catalog().content == unpacked.catalog().content);
  CHECK(packed.usable_ids() == unpacked.usable_ids());
  CHECK(packed.shape() == unpacked.shape());
  CHECK(all_pixels(packed) == all_pixels(unpacked));
}

const OpenOptions kAnyBad{.max_bad_percent = 50};

void check_same_splits(const std::string& archive, const std::string& folder) {
  for (const Split split : {Split::train, Split::test}) {
    const auto unpacked = open_dataset(parse_spec("folder:" + folder), split, kAnyBad);
    check_same(*open_tar(archive, split, kAnyBad), *unpacked);
  }
}

// A process of its own, so that what it limits is its own.
template <class Work>
int exit_code_of(const Work& work) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    int code = 1;
    try {
      code = work();
    } catch (...) {
    }
    _exit(code);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

// ---- a folder of pictures in an archive ---------------------------------------------------------

TEST_CASE("a folder in an archive has the pictures, labels and ids of the folder") {
  const TemporaryFolder folder;
  write_tree(folder, "set");
  // Members in an order that is not that of ids: files behind folders, names backwards.
  std::vector<fs::path> paths;
  for (const auto& entry : fs::recursive_directory_iterator(folder.at("set"))) {
    paths.push_back(entry.path());
  }
  std::sort(paths.rbegin(), paths.rend());
  TarWriter tar;
  tar.folder("./");
  for (const fs::path& path : paths) {
    const std::string name = "./" + fs::relative(path, folder.at("set")).string();
    tar.long_name(name);
    if (fs::is_directory(path)) {
      tar.long_name(name + "/").folder("cut");
    } else {
      tar.add("cut", test::read_file(path));
    }
  }
  check_same_splits(folder.write("set.tar", tar.ended()), folder.at("set"));
}

TEST_CASE("what the system's tar packs is the same in every format") {
  if (std::system("tar --version > /dev/null 2>&1") != 0) {
    MESSAGE("skipped: no tar");
    return;
  }
  const TemporaryFolder folder;
  write_tree(folder, "long/set");
  write_tree(folder, "short/set", LongNames::no);  // all that v7 and ustar have room for
  const std::string tar = "cd " + folder.path() + " && tar --sort=name -c";
  for (const auto& [format, tree] : {std::pair{"gnu", "long"},
                                     {"oldgnu", "long"},
                                     {"pax", "long"},
                                     {"ustar", "short"},
                                     {"v7", "short"}}) {
    const std::string name = std::string(format) + ".tar", root = std::string(" -C ") + tree;
    CAPTURE(name);
    for (const char* what : {"/set .", " set", " ./set"}) {
      REQUIRE(std::system((tar + "f " + name + " --format=" + format + root + what).c_str()) == 0);
      check_same_splits(folder.at(name), folder.at(tree) + "/set");
    }
  }
  REQUIRE(std::system((tar + " long/set | gzip > set.tar.gz").c_str()) == 0);
  CHECK(parse_spec(folder.at("set.tar.gz")).format == Format::tar);
  CHECK_CONTAINS(failure(folder.at("set.tar.gz")), "unpack it with gunzip");
}

TEST_CASE("folders that all members share are passed") {
  const TemporaryFolder folder;
  const auto labels_of = [&](const TarWriter& tar) {
    return open_tar(folder.write("x.tar", tar.ended()))->catalog().labels;
  };
  const auto packed = [](const std::string& top) {
    return TarWriter()
        .add(top + "readme", "")
        .add(top + "b/1.ppm", dot(1))
        .add(top + "a/1.ppm", dot(2));
  };
  CHECK(labels_of(packed("")) == Labels{0, 1});
  CHECK(labels_of(packed("data/set/")) == Labels{0, 1});
  CHECK(labels_of(packed("data/set/train/")) == Labels{0, 1});
  CHECK(labels_of(TarWriter().add("set/2.ppm", dot(2)).add("set/1.ppm", dot(1))).empty());
  // Where the root is a member it is what was packed: one class.
  CHECK(labels_of(TarWriter().folder("./").add("./set/1.ppm", dot(1))) == Labels{0});
  CHECK(labels_of(TarWriter().folder("set/none").add("set/a/1.ppm", dot(1))) == Labels{0});
}

TEST_CASE("the distributed form of ImageNet, an archive a class, has the ids of its folders") {
  const TemporaryFolder folder;
  TarWriter outer;
  int red = 0;
  for (const char* wnid : {"n02", "n01", "n10"}) {
    TarWriter inner;
    for (const char* number : {"9", "10"}) {
      const std::string name = std::string(wnid) + "_" + number + ".JPEG";
      folder.write("train/" + std::string(wnid) + "/" + name, dot(++red));
      inner.add(name, dot(red));
    }
    outer.add(std::string(wnid) + ".tar", inner.ended());
  }
  const std::string archive = folder.write("ILSVRC2012_img_train.tar", outer.ended());
  const auto packed = open_tar(archive);
  check_same(*packed, *open_dataset(parse_spec("folder:" + folder.at("train")), Split::train));
  CHECK(packed->catalog().labels == Labels{0, 0, 1, 1, 2, 2});
  CHECK_FALSE(has_split(parse_spec(archive), Split::test));
  CHECK_CONTAINS(failure(archive, Split::test), "no test pictures (looked for train and test");
}

TEST_CASE("pictures of several archives follow each other; classes are those of all") {
  const TemporaryFolder folder;
  folder.write("b.tar", TarWriter().add("x/a/1.ppm", dot(1)).add("x/c/1.ppm", dot(2)).ended());
  folder.write("a.tar", TarWriter().add("x/b/2.ppm", dot(4)).add("x/b/1.ppm", dot(3)).ended());
  const auto pictures = open_tar(folder.path());
  CHECK(pictures->catalog().paths ==
        Names{"a.tar/b/1.ppm", "a.tar/b/2.ppm", "b.tar/a/1.ppm", "b.tar/c/1.ppm"});
  CHECK(pictures->catalog().labels == Labels{1, 1, 0, 2});
  CHECK(reds(*pictures) == std::vector<int>{3, 4, 1, 2});
}

TEST_CASE("Pascal VOC's layout and an archive without pictures are refused") {
  const TemporaryFolder folder;
  const std::string devkit = folder.write("voc.tar", TarWriter()
                                                         .add("V/07/JPEGImages/1.jpg", dot(1))
                                                         .add("V/07/ImageSets/Main/test.txt", "1\n")
                                                         .ended());
  CHECK_CONTAINS(failure(devkit), "unpack it and give voc:");
  CHECK_CONTAINS(failure(folder.write("texts.tar", TarWriter().add("a.txt", "").ended())),
                 "texts.tar: no pictures (looked for .jpg");
  CHECK_CONTAINS(
      failure(folder.write("links.tar", TarWriter().link("a.jpg", "/b.jpg", '2').ended())),
      "'tar -h' packs what they lead to");
  CHECK_CONTAINS(failure(folder.write("picture.tar", dot(1) + std::string(600, 'x'))),
                 "picture.tar: is not a tar archive");
}

// ---- shards of WebDataset -----------------------------------------------------------------------

TEST_CASE("samples of shards keep their order and take their labels from .cls") {
  const TemporaryFolder folder;
  folder.write("s-0.tar", TarWriter()
                              .add("__index__.json", "{}")
                              .folder("d")
                              .add("d/__preview__.png", "of the folder")
                              .add("d/b.cls", "3\n")
                              .add("d/b.txt", "a caption")
                              .add("d/b.seg.png", "a mask")
                              .add("d/b.JPG", dot(1))
                              .add("d/a.1.cls", "of another kind")
                              .add("d/a.ppm", dot(2))
                              .add("d/a.cls", " 0")
                              .ended());
  folder.write("s-1.tar", TarWriter()
                              .add("d/a.ppm", dot(3))
                              .add("d/a.CLS", "1")
                              .add("e.v2/a.b.json", "{}")
                              .add("no ending", "")
                              .add("e.v2/a.cls", "0")
                              .add("e.v2/a.ppm", dot(4))
                              .ended());
  const auto pictures = open_tar(folder.path());
  CHECK(pictures->catalog().paths ==
        Names{"s-0.tar/d/b.JPG", "s-0.tar/d/a.ppm", "s-1.tar/d/a.ppm", "s-1.tar/e.v2/a.ppm"});
  CHECK(pictures->catalog().labels == Labels{3, 0, 1, 0});
  CHECK(pictures->catalog().class_names == Names{"0", "1", "2", "3"});
  CHECK(pictures->catalog().remarks == Names{"1 of the classes 0 to 3 have no pictures"});
  CHECK(reds(*pictures) == std::vector<int>{1, 2, 3, 4});
  CHECK(pictures->catalog().format == "tar");
}

TEST_CASE("samples that lack or double something are told of or refused") {
  const TemporaryFolder folder;
  const auto write = [&](const TarWriter& tar) { return folder.write("x.tar", tar.ended()); };
  const auto odd = open_tar(write(TarWriter()
                                      .add("a.cls", "0")
                                      .add("b.cls", "1")
                                      .add("b.ppm", dot(1))
                                      .add("b.png", "another")
                                      .add("c.json", "{}")));
  CHECK(odd->catalog().paths == Names{"b.ppm"});
  CHECK(odd->catalog().remarks == Names{"1 samples have a label and no picture",
                                        "1 samples have several pictures, of which the first one "
                                        "is taken",
                                        "1 of the classes 0 to 1 have no pictures"});
  CHECK_CONTAINS(
      failure(write(TarWriter().add("a.cls", "0").add("a.ppm", dot(1)).add("b.ppm", dot(2)))),
      "x.tar: sample 'b' has no .cls");
  // Members of a sample follow each other.
  CHECK_CONTAINS(
      failure(write(TarWriter().add("a.ppm", dot(1)).add("b.ppm", dot(2)).add("a.cls", "0"))),
      "x.tar: sample 'a' has no .cls");
  for (const char* label : {"", "cat", "-1", "1.5", "1 2", "1000000", "99999999999",
                            "00000000000000000000000000000000000001"}) {
    CAPTURE(label);
    CHECK_CONTAINS(failure(write(TarWriter().add("a\n.cls", label).add("a\n.ppm", dot(1)))),
                   "x.tar: label 'a\\x0a.cls' is '");
  }
}

TEST_CASE("a member that was packed again replaces the first one") {
  const TemporaryFolder folder;
  const std::string path = folder.write("x.tar", TarWriter()
                                                     .add("a.ppm", dot(1))
                                                     .add("a.cls", "1")
                                                     .add("b.ppm", dot(2))
                                                     .add("b.cls", "0")
                                                     .add("a.ppm", dot(9))
                                                     .ended());
  const auto pictures = open_tar(path);
  CHECK(reds(*pictures) == std::vector<int>{9, 2});
  CHECK(pictures->catalog().labels == Labels{1, 0});
  CHECK(pictures->catalog().remarks.size() == 1);
}

// ---- splits and detection -----------------------------------------------------------------------

TEST_CASE("names of archives, their folders and folders in them tell the splits") {
  const TemporaryFolder folder;
  const auto shard = [&](const std::string& name, const std::string& within, int red) {
    folder.write(name, TarWriter()
                           .add(within + "a/1.ppm", dot(red))
                           .add(within + "b/2.ppm", dot(red + 1))
                           .ended());
  };
  shard("names/img_train-00.tar", "", 1);
  shard("names/img_train-01.tar", "", 3);
  const DatasetSpec spec = parse_spec("tar:" + folder.at("names"));
  CHECK_FALSE(has_split(spec, Split::test));
  CHECK(open_dataset(spec, Split::train)->size() == 4);
  shard("names/img_validation.tar", "", 5);
  shard("names/trained.tar", "", 90);
  const auto train = open_dataset(spec, Split::train);
  CHECK(reds(*train) == std::vector<int>{1, 2, 3, 4});
  CHECK(train->catalog().remarks ==
        Names{"archives are left out that have none of the words train, "
              "test, val, valid and validation in their names"});
  CHECK(has_split(spec, Split::test));
  CHECK(reds(*open_dataset(spec, Split::test)) == std::vector<int>{5, 6});
  shard("names/test0.tar", "", 7);
  CHECK(reds(*open_dataset(spec, Split::test)) == std::vector<int>{7, 8});

  shard("folders/train/0.tar", "x/", 1);
  CHECK_FALSE(has_split(parse_spec("tar:" + folder.at("folders")), Split::test));
  shard("folders/val/0.tar", "y/", 3);
  CHECK(reds(*open_tar(folder.at("folders"))) == std::vector<int>{1, 2});
  CHECK(reds(*open_tar(folder.at("folders"), Split::test)) == std::vector<int>{3, 4});
  CHECK(parse_spec(folder.at("folders")).format == Format::tar);

  shard("within/0.tar", "set/train/", 1);
  shard("within/1.tar", "set/test/", 3);
  const auto inner = open_tar(folder.at("within"));
  CHECK(inner->catalog().paths == Names{"0.tar/a/1.ppm", "0.tar/b/2.ppm"});
  CHECK(reds(*open_tar(folder.at("within"), Split::test)) == std::vector<int>{3, 4});
  CHECK(reds(*open_tar(folder.at("within/1.tar"))) == std::vector<int>{3, 4});
  CHECK_FALSE(has_split(parse_spec(folder.at("within/1.tar")), Split::test));
}

TEST_CASE("of several test folders in an archive the one with classes is taken, and strays told") {
  const TemporaryFolder folder;
  const std::string path = folder.write("all.tar", TarWriter()
                                                       .add("Train/a/1.ppm", dot(1))
                                                       .add("Train/b/1.ppm", dot(2))
                                                       .add("test/1.ppm", dot(3))
                                                       .add("valid/a/1.ppm", dot(4))
                                                       .add("valid/b/1.ppm", dot(5))
                                                       .ended());
  CHECK(open_tar(path)->catalog().labels == Labels{0, 1});
  const auto test = open_tar(path, Split::test);
  CHECK(reds(*test) == std::vector<int>{4, 5});
  CHECK(test->catalog().remarks ==
        Names{"the test pictures are those of 'valid': 'test' has no class folders"});
  const std::string stray = folder.write(
      "stray.tar",
      TarWriter().add("a/1.ppm", dot(1)).add("val/1.ppm", dot(2)).add("x.ppm", dot(3)).ended());
  CHECK(open_tar(stray)->catalog().remarks ==
        Names{"no labels: 'x.ppm' lies beside 2 folders, which would be classes without it"});
}

TEST_CASE("test pictures have the classes of the training pictures") {
  const TemporaryFolder folder;
  folder.write("train.tar", TarWriter().add("a/1.ppm", dot(1)).add("b/1.ppm", dot(1)).ended());
  folder.write("val.tar", TarWriter().add("a/1.ppm", dot(1)).add("c/1.ppm", dot(1)).ended());
  CHECK_CONTAINS(failure(folder.path(), Split::test), "differ (first 'b', 2 in all)");
}

TEST_CASE("a range of archives is read in the order of its numbers") {
  const TemporaryFolder folder;
  for (int i = 8; i <= 11; ++i) {
    const std::string number = std::to_string(i);
    const std::string archive = TarWriter().add(number + ".ppm", dot(i)).ended();
    folder.write("s{2}/t-" + std::string(3 - number.size(), '0') + number + ".tar", archive);
    folder.write("plain/" + number, archive);
    folder.write("two/" + std::string(2 - number.size(), '0') + number, archive);
  }
  const std::string range = folder.at("s{2}/t-{008..011}.tar");
  CHECK(reds(*open_tar(range)) == std::vector<int>{8, 9, 10, 11});
  CHECK(reds(*open_tar(folder.at("plain/{8..10}"))) == std::vector<int>{8, 9, 10});
  // As in a shell: where one has zeros in front, all are as wide as the wider one.
  CHECK(reds(*open_tar(folder.at("two/{08..10}"))) == std::vector<int>{8, 9, 10});
  CHECK(reds(*open_tar(folder.at("s{2}/t-{08..010}.tar"))) == std::vector<int>{8, 9, 10});
  CHECK(reds(*open_tar(folder.at("s{2}/t-{8..010}.tar"))) == std::vector<int>{8, 9, 10});
  CHECK(parse_spec(range).format == Format::tar);
  CHECK(absolute_spec("tar:" + range) == "tar:" + range);
  CHECK(open_tar(range)->catalog().paths.front() == "t-008.tar/8.ppm");
  CHECK_CONTAINS(failure(folder.at("plain/{8..12}")), "plain/12: no such file; complete");
  CHECK_CONTAINS(failure(folder.at("plain/{08..10}")), "plain/08: no such file");
  for (const char* odd : {"plain/{8..}", "plain/{a..b}", "plain/8..9", "plain/{8...10}"}) {
    CHECK_CONTAINS(failure(folder.at(odd)), "no such file or folder");
  }
  CHECK_CONTAINS(message_of(ErrorKind::usage, [&] { open_tar(folder.at("plain/{10..8}")); }),
                 "from 10 to 8 is no range");
}

TEST_CASE("archives are recognised, folders of other things are not") {
  const TemporaryFolder folder;
  const std::string archive = TarWriter().add("a.ppm", dot(1)).ended();
  CHECK(parse_spec(folder.write("set/any name", archive)).format == Format::tar);
  CHECK(parse_spec(folder.write("v7", TarWriter(TarWriter::Magic::none).add("a", "").ended()))
            .format == Format::tar);
  folder.write("shards/0.tar", archive);
  folder.write("shards/readme.txt", "what it is");
  CHECK(parse_spec(folder.at("shards")).format == Format::tar);
  folder.write("shards/a/1.ppm", dot(1));
  CHECK(parse_spec(folder.at("shards")).format == Format::folder);
  folder.write("flat/0.tar", archive);
  folder.write("flat/1.ppm", dot(1));
  CHECK(parse_spec(folder.at("flat")).format == Format::folder);
  folder.write("packed/0.tar.gz", text(gzip(Bytes(archive.begin(), archive.end()))));
  CHECK(parse_spec(folder.at("packed")).format == Format::tar);
  CHECK_CONTAINS(failure(folder.at("packed")), "unpack them first, such as '0.tar.gz' with gunzip");
  folder.write("texts/a.txt", "");
  CHECK_CONTAINS(failure(folder.at("texts")), "texts: holds no .tar files");
  CHECK(to_string(parse_spec("tar:" + folder.at("flat"))) == "tar:" + folder.at("flat"));
}

// ---- what all picture files have ----------------------------------------------------------------

TEST_CASE("a bad picture in an archive keeps its id, found early or late") {
  const TemporaryFolder folder;
  std::string late = text(png(4, 4, plain({20, 0, 0})));
  late.resize(45);  // the header is whole
  const std::string path =
      folder.write("x.tar", TarWriter()
                                .add("0.png", text(png(4, 4, plain({5, 0, 0}))))
                                .add("1.png", "no picture")
                                .add("2.png", late)
                                .add("3.ppm", dot(30))
                                .ended());
  for (const Keep keep : {Keep::memory, Keep::disk}) {
    const auto pictures = open_tar(path, Split::train, {.keep = keep, .max_bad_percent = 50});
    CHECK(reds(*pictures) == std::vector<int>{5, 128, 128, 30});
    const std::vector<BadPicture> bad = pictures->bad_pictures();
    REQUIRE(bad.size() == 2);
    CHECK_CONTAINS(bad[0].reason, "not a known picture");
    CHECK_CONTAINS(bad[1].reason, "damaged");
    CHECK(pictures->usable_ids() == (keep == Keep::memory ? std::vector<std::int32_t>{0, 3}
                                                          : std::vector<std::int32_t>{0, 2, 3}));
  }
  CHECK_CONTAINS(failure(path),
                 "1 of 4 pictures cannot be read, more than the limit of 5 % (first: 1.png");
}

TEST_CASE("an archive that shrinks while it is in use spoils what was cut off") {
  const TemporaryFolder folder;
  const std::string path =
      folder.write("x.tar", TarWriter().add("0.ppm", dot(1)).add("1.ppm", dot(2)).ended());
  const auto pictures = open_tar(path, Split::train, {.keep = Keep::disk, .max_bad_percent = 60});
  fs::resize_file(path, 1024 + 512 + 20);
  CHECK(reds(*pictures) == std::vector<int>{1, 128});
  CHECK_CONTAINS(pictures->bad_pictures().front().reason, "lies behind the end of");
  fs::remove(path);
  CHECK_CONTAINS(message_of(ErrorKind::data, [&] { reds(*pictures); }), "cannot be opened");
}

TEST_CASE("archives open to the same data with one thread and with four, from disk and memory") {
  const TemporaryFolder folder;
  for (int shard = 0; shard < 5; ++shard) {
    TarWriter tar;
    for (int i = 0; i < 12; ++i) {
      const std::string key = std::to_string(100 * shard + i);
      tar.add(key + ".png", text(png(5 + i % 5, 6, [&](int x, int y) {
                return Colour{20 * x, 30 * y, 10 * shard + i};
              })));
      tar.add(key + ".cls", std::to_string(i % 3));
    }
    folder.write("s" + std::to_string(shard) + ".tar", tar.ended());
  }
  const auto one = open_tar(folder.path(), Split::train, {.threads = 1});
  const auto four = open_tar(folder.path(), Split::train, {.threads = 4, .keep = Keep::disk});
  CHECK(all_pixels(*one) == all_pixels(*four));
  CHECK(one->fingerprint() == four->fingerprint());
  const auto some = open_tar(folder.path(), Split::train, {.limit = 6});
  CHECK(some->catalog().labels == Labels{0, 1, 2, 0, 1, 2});
  CHECK(some->catalog().paths.back() == "s2.tar/208.png");
  Bytes pixels(static_cast<std::size_t>(some->shape().bytes()));
  some->read(5, pixels.data());
  CHECK(pixels[2] == 28);
}

TEST_CASE("more archives than a process may open at once are read") {
  const TemporaryFolder folder;
  for (int i = 10; i < 60; ++i) {
    folder.write(std::to_string(i) + ".tar", TarWriter().add("x.ppm", dot(i)).ended());
  }
  CHECK(exit_code_of([&] {
          const rlimit few{12, 12};
          if (setrlimit(RLIMIT_NOFILE, &few) != 0) return 2;
          const auto pictures =
              open_tar(folder.path(), Split::train, {.threads = 4, .keep = Keep::disk});
          const std::vector<int> found = reds(*pictures);
          return found.size() == 50 && found.front() == 10 && found.back() == 59 ? 0 : 3;
        }) == 0);
}

TEST_CASE("the fingerprint of archives follows names, bytes and labels, not their place") {
  const TemporaryFolder folder;
  const auto write = [&](const std::string& path, const std::string& label, int red,
                         const std::string& name = "a") {
    folder.write(path, TarWriter()
                           .add(name + ".ppm", dot(red))
                           .add(name + ".cls", label)
                           .add("b.ppm", dot(7))
                           .add("b.cls", "1")
                           .ended());
    return open_tar(folder.at(path))->fingerprint();
  };
  const std::uint64_t original = write("1.tar", "0", 1);
  CHECK(write("sub/2.tar", "0", 1) == original);
  CHECK(write("3.tar", "1", 1) != original);
  CHECK(write("4.tar", "0", 2) != original);
  CHECK(write("5.tar", "0", 1, "c") != original);
}

}  // namespace nat::data
