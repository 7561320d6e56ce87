#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "data/decode.h"
#include "data/open.h"
#include "data/picture_files.h"
#include "tests/data_support.h"
#include "tests/process_state.h"

namespace nat::data {
namespace {

namespace fs = std::filesystem;

std::unique_ptr<Dataset> open_path(const std::string& path, Split split = Split::train,
                                   const OpenOptions& options = {}) {
  return open_dataset(parse_spec("folder:" + path), split, options);
}

std::string failure(const std::string& path, Split split = Split::train,
                    const OpenOptions& options = {}) {
  return message_of(ErrorKind::data, [&] { open_path(path, split, options); });
}

// A JPEG with so many bytes of a comment in front of its size, as cameras put a preview there.
Bytes jpeg_behind(int comment, const std::vector<int>& levels) {
  const Bytes jpeg = gray_jpeg(levels);
  Bytes file(jpeg.begin(), jpeg.begin() + 2);
  append(file, {0xFF, 0xFE, (comment + 2) >> 8, (comment + 2) & 255});
  file.resize(file.size() + static_cast<std::size_t>(comment), 0x55);
  file.insert(file.end(), jpeg.begin() + 2, jpeg.end());
  return file;
}

}  // namespace

TEST_CASE("single files are looked at in the size and the colours of other pictures") {
  const TemporaryFolder folder;
  const Painter paint = [](int x, int) { return x < 2 ? Colour{1, 1, 0} : Colour{1, 0, 0}; };
  const std::string picture = folder.write("a.ppm", ppm(4, 4, paint));
  const std::string none = folder.write("b.ppm", "no picture");
  const auto in_grey = open_single_files({picture, none}, {4, 4, 1});
  CHECK(in_grey->shape() == PictureShape{4, 4, 1});
  // The mean of the colours, to the nearest: 2/3 is 1 and 1/3 is 0.
  const Bytes grey = all_pixels(*in_grey);
  CHECK(Bytes(grey.begin(), grey.begin() + 4) == Bytes{1, 1, 0, 0});
  CHECK(in_grey->usable_ids() == std::vector<std::int32_t>{0});
  const auto small = open_single_files({picture, picture}, {2, 3, 3});
  CHECK(small->shape() == PictureShape{2, 2, 3});
  CHECK(small->size() == 2);
}

// ---- folders ------------------------------------------------------------------------------------

TEST_CASE("class folders are sorted by bytes and descended into") {
  const TemporaryFolder folder;
  folder.write("b/two.PPM", ppm(4, 4, plain({20, 0, 0})));
  folder.write("b/images/one.ppm", ppm(4, 4, plain({30, 0, 0})));
  folder.write("10/x.ppm", ppm(4, 4, plain({40, 0, 0})));
  folder.write("9/x.ppm", ppm(4, 4, plain({50, 0, 0})));
  folder.write("B/x.ppm", ppm(4, 4, plain({60, 0, 0})));
  folder.write("B/words.txt", "not a picture");
  folder.write("B/.hidden.ppm", ppm(4, 4, plain({1, 0, 0})));
  folder.write(".cache/x.ppm", ppm(4, 4, plain({2, 0, 0})));
  fs::create_directory(folder.at("empty"));
  const auto pictures = open_path(folder.path());
  CHECK(pictures->catalog().class_names == std::vector<std::string>{"10", "9", "B", "b", "empty"});
  CHECK(pictures->catalog().paths == std::vector<std::string>{"10/x.ppm", "9/x.ppm", "B/x.ppm",
                                                              "b/two.PPM", "b/images/one.ppm"});
  CHECK(pictures->catalog().labels == std::vector<std::int32_t>{0, 1, 2, 3, 3});
  CHECK(pictures->catalog().remarks == std::vector<std::string>{"class 'empty' has no pictures"});
  CHECK(pictures->shape() == PictureShape{4, 4, 3});
  Bytes pixels(48);
  pictures->read(4, pixels.data());
  CHECK(pixels[0] == 30);
}

TEST_CASE("a folder with pictures directly in it is one set without labels") {
  const TemporaryFolder folder;
  folder.write("z.ppm", ppm(4, 4, plain({1, 0, 0})));
  folder.write("a/y.ppm", ppm(4, 4, plain({2, 0, 0})));
  const auto pictures = open_path(folder.path());
  CHECK(pictures->catalog().paths == std::vector<std::string>{"z.ppm", "a/y.ppm"});
  CHECK_FALSE(pictures->labelled());
  CHECK(pictures->name(1) == "a/y.ppm");
}

TEST_CASE("train and test or val below a path are its splits") {
  const TemporaryFolder folder;
  folder.write("train/cat/1.ppm", ppm(4, 4, plain({1, 0, 0})));
  folder.write("train/dog/1.ppm", ppm(4, 4, plain({2, 0, 0})));
  CHECK_FALSE(has_split(parse_spec(folder.path()), Split::test));
  CHECK(open_path(folder.path())->size() == 2);
  CHECK_CONTAINS(failure(folder.path(), Split::test), "no test pictures");
  folder.write("val/cat/9.ppm", ppm(4, 4, plain({3, 0, 0})));
  CHECK_CONTAINS(failure(folder.path(), Split::test), "differ (first 'dog', 1 in all)");
  fs::create_directory(folder.at("val/dog"));
  CHECK(open_path(folder.path(), Split::test)->catalog().paths ==
        std::vector<std::string>{"cat/9.ppm"});
  folder.write("test/cat/1.ppm", ppm(4, 4, plain({4, 0, 0})));
  folder.write("test/dog/1.ppm", ppm(4, 4, plain({5, 0, 0})));
  CHECK(open_path(folder.path(), Split::test)->size() == 2);
}

TEST_CASE("splits may be called valid or validation, in any case") {
  for (const char* test : {"Test", "VAL", "valid", "validation"}) {
    CAPTURE(test);
    const TemporaryFolder folder;
    for (const std::string& split : {std::string("Train"), std::string(test)}) {
      folder.write(split + "/cat/1.ppm", ppm(4, 4, plain({1, 0, 0})));
      folder.write(split + "/dog/1.ppm", ppm(4, 4, plain({2, 0, 0})));
    }
    CHECK(open_path(folder.path())->catalog().class_names ==
          std::vector<std::string>{"cat", "dog"});
    REQUIRE(has_split(parse_spec(folder.path()), Split::test));
    CHECK(open_path(folder.path(), Split::test)->labelled());
    folder.write("train/dog/1.ppm", ppm(4, 4, plain({3, 0, 0})));
    CHECK(open_path(folder.path())->size() == 1);  // that in small letters
  }
}

TEST_CASE("the test pictures are those with labels, where there are some beside others") {
  const TemporaryFolder folder;
  for (const char* split : {"train", "val"}) {
    for (const char* name : {"/cat/1.ppm", "/dog/1.ppm"}) {
      folder.write(std::string(split) + name, ppm(4, 4, plain({1, 0, 0})));
    }
  }
  folder.write("test/1.ppm", ppm(4, 4, plain({1, 0, 0})));
  const auto test = open_path(folder.path(), Split::test);
  CHECK(test->labelled());
  CHECK(test->catalog().remarks ==
        std::vector<std::string>{
            "the test pictures are those of 'val': 'test' has no class folders"});
  CHECK(open_path(folder.path())->catalog().remarks.empty());
}

TEST_CASE("pictures that take the labels of folders, and classes called like splits, are told of") {
  const TemporaryFolder folder;
  for (const char* name : {"cat/1.ppm", "dog/1.ppm", "Val/1.ppm"}) {
    folder.write(name, ppm(4, 4, plain({1, 0, 0})));
  }
  const auto remarks = [&] { return open_path(folder.path())->catalog().remarks; };
  CHECK(remarks() == std::vector<std::string>{
                         "class 'Val' has the name of a split; splits are a folder train beside "
                         "test, val, valid or validation"});
  folder.write("stray.ppm", ppm(4, 4, plain({1, 0, 0})));
  CHECK(remarks() == std::vector<std::string>{"no labels: 'stray.ppm' lies beside 3 folders, which "
                                              "would be classes without it"});
  folder.write("more.ppm", ppm(4, 4, plain({1, 0, 0})));
  CHECK(remarks() == std::vector<std::string>{"no labels: 'more.ppm' and 1 more lie beside 3 "
                                              "folders, which would be classes without them"});
}

TEST_CASE("a class called train is not a split") {
  const TemporaryFolder folder;
  folder.write("sheep/1.ppm", ppm(4, 4, plain({1, 0, 0})));
  folder.write("train/1.ppm", ppm(4, 4, plain({2, 0, 0})));
  CHECK(open_path(folder.path())->catalog().class_names ==
        std::vector<std::string>{"sheep", "train"});
}

TEST_CASE("links are followed once; pipes, dead links and link loops do no harm") {
  const TemporaryFolder folder;
  folder.write("a/1.ppm", ppm(4, 4, plain({1, 0, 0})));
  fs::create_directory_symlink("..", folder.at("a/up"));
  fs::create_directory_symlink("a", folder.at("b"));
  fs::create_symlink("1.ppm", folder.at("a/2.ppm"));
  fs::create_symlink("nowhere", folder.at("a/3.ppm"));
  REQUIRE(mkfifo(folder.at("a/pipe.jpg").c_str(), 0600) == 0);
  // a/up leads back to the root and from there to a again, which counts only once.
  const auto pictures = open_path(folder.path());
  CHECK(pictures->catalog().paths == std::vector<std::string>{"a/1.ppm", "a/2.ppm"});
}

TEST_CASE("a link inside a class folder takes no pictures from other classes") {
  const TemporaryFolder folder;
  folder.write("elsewhere/sub/e.ppm", ppm(4, 4, plain({9, 0, 0})));
  const std::string root = folder.at("set/train");
  for (const char* name : {"a/1.ppm", "b/2.ppm", "b/deep/3.ppm", "c/4.ppm"}) {
    folder.write(std::string("set/train/") + name, ppm(4, 4, plain({1, 0, 0})));
  }
  folder.write("set/test/a/5.ppm", ppm(4, 4, plain({2, 0, 0})));
  const std::vector<std::string> remarks = open_path(root)->catalog().remarks;
  CHECK(remarks.empty());

  const auto after_linking = [&](const std::string& target, const std::string& name) {
    fs::create_directory_symlink(target, root + "/" + name);
    const auto pictures = open_path(root);
    fs::remove(root + "/" + name);
    CHECK(pictures->catalog().paths ==
          std::vector<std::string>{"a/1.ppm", "b/2.ppm", "b/deep/3.ppm", "c/4.ppm"});
    CHECK(pictures->catalog().labels == std::vector<std::int32_t>{0, 1, 1, 2});
    REQUIRE(pictures->catalog().remarks.size() == 1);
    return pictures->catalog().remarks.front();
  };
  CHECK(after_linking("../b", "a/more") ==
        "'a/more' is left out: its pictures are in the data set already");
  for (const char* target : {".", "..", "../..", "/", "../b/deep", "../c"}) {
    after_linking(target, "a/more");
  }
  after_linking("../a", "b/more");

  // A class that is a link to another one stays empty, also where it comes first.
  fs::create_directory_symlink("b", root + "/0");
  const auto renamed = open_path(root);
  CHECK(renamed->catalog().labels == std::vector<std::int32_t>{1, 2, 2, 3});
  CHECK(renamed->catalog().remarks ==
        std::vector<std::string>{"'0' is left out: its pictures are in the data set already",
                                 "class '0' has no pictures"});
  fs::remove(root + "/0");

  // What belongs to no class is taken, once; hidden folders are looked at for a link alone.
  fs::create_directory_symlink("../../../elsewhere", root + "/a/more");
  folder.write("set/train/.store/6.ppm", ppm(4, 4, plain({3, 0, 0})));
  fs::create_directory_symlink("../.store", root + "/c/store");
  const auto more = open_path(root);
  CHECK(more->catalog().paths == std::vector<std::string>{"a/1.ppm", "a/more/sub/e.ppm", "b/2.ppm",
                                                          "b/deep/3.ppm", "c/4.ppm",
                                                          "c/store/6.ppm"});
  CHECK(more->catalog().labels == std::vector<std::int32_t>{0, 0, 1, 1, 2, 2});
  CHECK(more->catalog().remarks.empty());
  fs::create_directory_symlink("../../../elsewhere", root + "/c/more");
  fs::create_directory_symlink("../a", root + "/c/next");
  CHECK(open_path(root)->catalog().remarks ==
        std::vector<std::string>{"'c/more' is left out: its pictures are in the data set already "
                                 "(one of 2 such folders)"});
}

TEST_CASE("a picture may have its size far behind its start") {
  const TemporaryFolder folder;
  for (const int comment : {10, 4000, 4090, 5000, 65'000}) {
    folder.write(std::to_string(100'000 + comment) + ".jpg", jpeg_behind(comment, {200, 31}));
  }
  const auto pictures = open_path(folder.path());
  CHECK(pictures->size() == 5);
  CHECK(pictures->bad_count() == 0);
  CHECK(pictures->shape() == PictureShape{8, 8, 3});
  const Bytes pixels = all_pixels(*pictures);
  for (std::size_t i = 0; i < pixels.size(); i += 192) CHECK(pixels[i] == 200);
}

TEST_CASE("a picture that has another size when it is read is a bad one") {
  const TemporaryFolder folder;
  for (int i = 0; i < 4; ++i) folder.write(std::to_string(i) + ".png", png(4, 6, pattern));
  const auto pictures =
      open_path(folder.path(), Split::train, {.keep = Keep::disk, .max_bad_percent = 50});
  folder.write("2.png", png(6, 4, pattern));
  Bytes pixels(48);
  pictures->read(2, pixels.data());
  CHECK(pixels == Bytes(48, 128));
  REQUIRE(pictures->bad_count() == 1);
  CHECK_CONTAINS(pictures->bad_pictures()[0].reason, "changed while it was in use");
}

// An address sanitizer has reserved more than any limit.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
rlim_t memory_now() {
  std::ifstream in("/proc/self/statm");
  rlim_t pages = 0;
  REQUIRE((in >> pages));
  return pages * static_cast<rlim_t>(getpagesize());
}

TEST_CASE("a picture for which there is no memory is no bad picture") {
  const int side = 8000, row = side / 8;
  const Bytes rows(static_cast<std::size_t>(side) * (1 + row));
  const TemporaryFolder folder;
  folder.write("0.png",
               png({.width = side, .height = side, .bits = 1, .colour_type = 0, .rows = rows}));
  const auto pictures =
      open_path(folder.path(), Split::train, {.picture_size = 4, .keep = Keep::disk});
  Bytes pixels(48);
  {
    // Its pixels are 64 MB.
    const nat::test::ScopedLimit scarce(RLIMIT_AS, memory_now() + (rlim_t{16} << 20));
    CHECK_CONTAINS(message_of(ErrorKind::memory, [&] { pictures->read(0, pixels.data()); }),
                   "no memory to decode a picture");
  }
  CHECK(pictures->bad_count() == 0);
  pictures->read(0, pixels.data());
  CHECK(pixels == Bytes(48, 0));
}
#endif

TEST_CASE("a picture for which there is no file descriptor is no bad picture") {
  const TemporaryFolder folder;
  for (const char* name : {"0.pgm", "1.pgm"}) folder.write(name, "P5 1 1 255\n@");
  const auto pictures =
      open_path(folder.path(), Split::train, {.picture_size = 4, .keep = Keep::disk});
  Bytes pixels(4 * 4 * 3);
  const std::string reading = message_of(ErrorKind::memory, [&] {
    const nat::test::ScopedLimit none(RLIMIT_NOFILE, 0);
    pictures->read(1, pixels.data());
  });
  CHECK_CONTAINS(reading, "1.pgm: cannot be opened (Too many open files)");
  CHECK_CONTAINS(reading, "ulimit -n");
  CHECK(pictures->bad_count() == 0);
  pictures->read(1, pixels.data());
  CHECK(pixels == Bytes(48, '@'));
}

TEST_CASE("a bad picture keeps its id and is listed with its reason") {
  const TemporaryFolder folder;
  for (int i = 0; i < 4; ++i) {
    folder.write("c/" + std::to_string(i) + ".png", png(4, 4, plain({10 * i, 0, 0})));
  }
  folder.write("c/1.png", "not a picture");  // seen in the header
  Bytes late = png(4, 4, pattern);
  late.resize(45);                // the header is whole
  folder.write("c/2.png", late);  // seen when decoded
  for (const Keep keep : {Keep::memory, Keep::disk}) {
    const auto pictures =
        open_path(folder.path(), Split::train, {.keep = keep, .max_bad_percent = 50});
    Bytes pixels(48);
    pictures->read(3, pixels.data());
    CHECK(pixels[0] == 30);
    pictures->read(2, pixels.data());
    CHECK(pixels == Bytes(48, 128));
    CHECK(pictures->size() == 4);
    // From disk the second one is found only when it is read; the ids of the run do not change
    // then.
    CHECK(pictures->usable_ids() == (keep == Keep::memory ? std::vector<std::int32_t>{0, 3}
                                                          : std::vector<std::int32_t>{0, 2, 3}));
    const std::vector<BadPicture> bad = pictures->bad_pictures();
    REQUIRE(bad.size() == 2);
    CHECK(bad[0].id == 1);
    CHECK_CONTAINS(bad[0].reason, "not a known picture");
    CHECK(bad[1].id == 2);
    CHECK_CONTAINS(bad[1].reason, "damaged");
  }
}

TEST_CASE("too many bad pictures are an error, found when opening or when reading") {
  const TemporaryFolder folder;
  for (int i = 0; i < 8; ++i) folder.write(std::to_string(i) + ".png", png(4, 4, pattern));
  folder.write("3.png", "no");
  CHECK_CONTAINS(failure(folder.path()),
                 "1 of 8 pictures cannot be read, more than the limit of 5 %");
  CHECK_CONTAINS(failure(folder.path()), "first: 3.png: not a known picture");
  const auto pictures =
      open_path(folder.path(), Split::train, {.keep = Keep::disk, .max_bad_percent = 20});
  folder.write("4.png", "replaced while in use");
  Bytes pixels(48);
  CHECK_CONTAINS(message_of(ErrorKind::data, [&] { pictures->read(4, pixels.data()); }),
                 "2 of 8 pictures cannot be read");
}

TEST_CASE("a folder without a readable picture is an error") {
  const TemporaryFolder folder;
  CHECK_CONTAINS(failure(folder.path()), "no pictures (looked for");
  fs::create_directory(folder.at("class"));
  CHECK_CONTAINS(failure(folder.path()), "no pictures (looked for");
  folder.write("class/a.webp", "RIFFxxxxWEBP");
  CHECK_CONTAINS(failure(folder.path()),
                 "none of the 1 pictures can be read (first: class/a.webp: a WebP");
  const std::string file = folder.write("file.ppm", ppm(2, 2, pattern));
  CHECK_CONTAINS(failure(file), "is not a folder");
}

TEST_CASE("odd names stay on one line of a message") {
  const TemporaryFolder folder;
  folder.write("new\nline\x1b[31m\xff.png", "no");
  CHECK_CONTAINS(failure(folder.path()), "new\\x0aline\\x1b[31m\\xff.png");
}

TEST_CASE("the stored size is asked for or found from the pictures") {
  const TemporaryFolder folder;
  folder.write("a.ppm", ppm(10, 6, pattern));
  folder.write("b.ppm", ppm(8, 9, pattern));
  folder.write("c.ppm", ppm(40, 30, pattern));
  CHECK(open_path(folder.path())->shape() == PictureShape{8, 8, 3});
  const auto pictures = open_path(folder.path(), Split::train, {.picture_size = 3});
  CHECK(pictures->shape() == PictureShape{3, 3, 3});
  // The middle of the picture resized to 5 x 3 (10 x 6 halved).
  const std::vector<double> whole = reference_resize(painted(10, 6, pattern), {10, 6}, {5, 3});
  Bytes pixels(27);
  pictures->read(0, pixels.data());
  for (int y = 0; y < 3; ++y) {
    for (int i = 0; i < 9; ++i) {
      CHECK(std::abs(pixels[static_cast<std::size_t>(9 * y + i)] -
                     whole[static_cast<std::size_t>(15 * y + 3 + i)]) <= 0.5 + 1e-3);
    }
  }
  CHECK_CONTAINS(message_of(ErrorKind::usage,
                            [&] { open_path(folder.path(), Split::train, {.picture_size = -1}); }),
                 "picture size: -1 is out of range");
  // The same of a high one, and no more than ImageNet's size unless it is asked for.
  folder.write("high/a.ppm", ppm(6, 10, pattern));
  const auto high = open_path(folder.at("high"), Split::train, {.picture_size = 3});
  const std::vector<double> all = reference_resize(painted(6, 10, pattern), {6, 10}, {3, 5});
  high->read(0, pixels.data());
  for (std::size_t i = 0; i < 27; ++i) CHECK(std::abs(pixels[i] - all[9 + i]) <= 0.5 + 1e-3);
  folder.write("large/a.ppm", ppm(300, 257, pattern));
  CHECK(open_path(folder.at("large"))->shape() == PictureShape{256, 256, 3});
  CHECK(open_path(folder.at("large"), Split::train, {.picture_size = 257})->shape() ==
        PictureShape{257, 257, 3});
}

TEST_CASE("pictures that do not fit the memory limit are read from disk, with the same pixels") {
  const TemporaryFolder folder;
  for (int i = 0; i < 6; ++i) {
    folder.write(std::to_string(i) + ".bmp", bmp(20 + 3 * i, 16, pattern));
  }
  const auto stored = open_path(folder.path(), Split::train, {.picture_size = 12});
  const auto from_disk = open_path(folder.path(), Split::train,
                                   {.picture_size = 12, .memory_limit = 6 * 12 * 12 * 3 - 1});
  CHECK(stored->extent(5) == PictureShape{12, 12, 3});
  CHECK(from_disk->extent(5) == PictureShape{12, 26, 3});
  CHECK(all_pixels(*stored) == all_pixels(*from_disk));
  CHECK(stored->fingerprint() == from_disk->fingerprint());
}

TEST_CASE("a folder opens to the same data with one thread and with four") {
  const TemporaryFolder folder;
  for (int i = 0; i < 60; ++i) {
    folder.write(std::to_string(i % 7) + "/" + std::to_string(i) + ".png",
                 png(5 + i % 5, 6, [i](int x, int y) { return pattern(x + i, y); }));
  }
  folder.write("3/bad.png", "no");
  const auto one = open_path(folder.path(), Split::train, {.threads = 1});
  const auto four = open_path(folder.path(), Split::train, {.threads = 4});
  CHECK(all_pixels(*one) == all_pixels(*four));
  CHECK(one->fingerprint() == four->fingerprint());
  CHECK(one->usable_ids() == four->usable_ids());
  CHECK(one->usable_ids().size() == 60);
}

TEST_CASE("limit takes its share of every class folder") {
  const TemporaryFolder folder;
  for (int i = 0; i < 30; ++i) {
    folder.write(std::to_string(i / 10) + "/" + std::to_string(i) + ".ppm", ppm(2, 2, pattern));
  }
  const auto some = open_path(folder.path(), Split::train, {.limit = 6});
  CHECK(some->catalog().labels == std::vector<std::int32_t>{0, 0, 1, 1, 2, 2});
  CHECK(some->catalog().paths[2] == "1/10.ppm");
}

TEST_CASE("the fingerprint of a folder follows names, bytes and classes, not its place") {
  const TemporaryFolder folder;
  folder.write("a/x/1.ppm", ppm(2, 2, plain({1, 2, 3})));
  folder.write("a/y/1.ppm", ppm(2, 2, plain({4, 5, 6})));
  const std::uint64_t original = open_path(folder.at("a"))->fingerprint();
  fs::rename(folder.at("a"), folder.at("moved"));
  CHECK(open_path(folder.at("moved"))->fingerprint() == original);
  CHECK(open_path(folder.at("moved"), Split::train, {.picture_size = 5})->fingerprint() !=
        original);
  folder.write("moved/y/1.ppm", ppm(2, 2, plain({4, 5, 7})));
  CHECK(open_path(folder.at("moved"))->fingerprint() != original);
  folder.write("moved/y/1.ppm", ppm(2, 2, plain({4, 5, 6})));
  CHECK(open_path(folder.at("moved"))->fingerprint() == original);
  fs::rename(folder.at("moved/y/1.ppm"), folder.at("moved/y/2.ppm"));
  CHECK(open_path(folder.at("moved"))->fingerprint() != original);
}

// Of a large file only the start is looked at when it is opened.
TEST_CASE("the fingerprint of a folder follows the length of large files and what became bad") {
  const TemporaryFolder folder;
  const Bytes large = jpeg_behind(5000, {200, 31});
  folder.write("set/a.ppm", ppm(8, 8, plain({1, 2, 3})));
  const auto fingerprint = [&](const Bytes& file) {
    folder.write("set/b.jpg", file);
    return open_path(folder.at("set"), Split::train, {.max_bad_percent = 50})->fingerprint();
  };
  const std::uint64_t original = fingerprint(large);
  CHECK(fingerprint(large) == original);
  Bytes longer = large;
  longer.push_back(0);
  CHECK(fingerprint(longer) != original);
  Bytes cut(large.begin(), large.end() - 1);
  cut.push_back(0);  // no end marker: the ids that are left are others
  CHECK(fingerprint(cut) != original);
}

}  // namespace nat::data
