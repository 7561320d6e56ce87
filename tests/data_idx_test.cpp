#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "data/open.h"
#include "tests/data_support.h"

namespace nat::data {
namespace {

const std::string kImages = "train-images-idx3-ubyte";
const std::string kLabels = "train-labels-idx1-ubyte";

// n pictures of 2 x 3 whose bytes count up through the whole file.
Bytes counting_images(std::uint32_t n) {
  Bytes data(n * 6);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::uint8_t>(i);
  return idx_bytes({n, 2, 3}, data);
}

std::unique_ptr<Dataset> open_path(const std::string& path, Split split = Split::train,
                                   const OpenOptions& options = {}) {
  return open_dataset(parse_spec(path), split, options);
}

std::string failure(const TemporaryFolder& folder, const Bytes& images, const Bytes& labels = {}) {
  folder.write(kImages, images);
  if (!labels.empty()) folder.write(kLabels, labels);
  return message_of(ErrorKind::data, [&] { open_path("idx:" + folder.path()); });
}

}  // namespace

TEST_CASE("a folder of plain IDX files gives its bytes, labels and numbered classes") {
  const TemporaryFolder folder;
  folder.write(kImages, counting_images(4));
  folder.write(kLabels, idx_bytes({4}, {3, 0, 1, 3}));
  const auto pictures = open_path(folder.path());
  CHECK(pictures->catalog().format == "idx");
  CHECK(pictures->size() == 4);
  CHECK(pictures->shape() == PictureShape{2, 3, 1});
  CHECK(pictures->classes() == 4);
  CHECK(pictures->catalog().class_names[3] == "3");
  CHECK(pictures->label(0) == 3);
  CHECK(pictures->label(2) == 1);
  CHECK(pictures->name(2) == "record 2");
  Bytes expected(24);
  for (std::size_t i = 0; i < 24; ++i) expected[i] = static_cast<std::uint8_t>(i);
  CHECK(all_pixels(*pictures) == expected);
}

TEST_CASE("gzip-compressed IDX files give the same data set as plain ones") {
  const TemporaryFolder plain_files, packed_files;
  plain_files.write(kImages, counting_images(5));
  plain_files.write(kLabels, idx_bytes({5}, {0, 1, 2, 3, 4}));
  packed_files.write(kImages + ".gz", gzip(counting_images(5)));
  packed_files.write(kLabels + ".gz", gzip(idx_bytes({5}, {0, 1, 2, 3, 4})));
  const auto a = open_path(plain_files.path());
  const auto b = open_path(packed_files.path());
  CHECK(all_pixels(*a) == all_pixels(*b));
  CHECK(a->catalog().labels == b->catalog().labels);
  CHECK(a->fingerprint() == b->fingerprint());
}

TEST_CASE("the test split of an IDX folder is the t10k pair") {
  const TemporaryFolder folder;
  folder.write(kImages, counting_images(4));
  CHECK_FALSE(has_split(parse_spec(folder.path()), Split::test));
  CHECK_CONTAINS(
      message_of(ErrorKind::data, [&] { open_path("idx:" + folder.path(), Split::test); }),
      "no test pictures");
  folder.write("t10k-images.idx3-ubyte", counting_images(2));
  CHECK(has_split(parse_spec(folder.path()), Split::test));
  CHECK(open_path(folder.path(), Split::test)->size() == 2);
  // One of the pair speaks for its folder.
  CHECK(open_path(folder.at(kImages), Split::test)->size() == 2);
}

TEST_CASE("an IDX file with a name of its own is a training set without labels") {
  const TemporaryFolder folder;
  const std::string file = folder.write("mine.idx", counting_images(3));
  const DatasetSpec spec = parse_spec(file);
  CHECK(spec.format == Format::idx);
  CHECK(has_split(spec, Split::train));
  CHECK_FALSE(has_split(spec, Split::test));
  const auto pictures = open_dataset(spec, Split::train);
  CHECK(pictures->size() == 3);
  CHECK_FALSE(pictures->labelled());
  CHECK(pictures->label(0) == -1);
  CHECK(pictures->classes() == 0);
}

TEST_CASE("limit keeps evenly spaced records of every class and numbers them anew") {
  const TemporaryFolder folder;
  folder.write(kImages, counting_images(8));
  // Evenly spaced records without regard to labels would all be of class 0.
  folder.write(kLabels, idx_bytes({8}, {0, 1, 0, 1, 0, 1, 0, 1}));
  const auto pictures = open_path(folder.path(), Split::train, {.limit = 4});
  CHECK(pictures->size() == 4);
  CHECK(pictures->catalog().records == std::vector<std::int64_t>{0, 1, 4, 5});
  CHECK(pictures->catalog().labels == std::vector<std::int32_t>{0, 1, 0, 1});
  Bytes third(6);
  pictures->read(2, third.data());
  CHECK(third[0] == 24);
  CHECK(open_path(folder.path(), Split::train, {.limit = 100})->size() == 8);
  for (const std::int64_t wrong : {0, -3}) {
    CHECK_CONTAINS(message_of(ErrorKind::usage,
                              [&] { open_path(folder.path(), Split::train, {.limit = wrong}); }),
                   "give at least 1");
  }
}

TEST_CASE("the fingerprint of IDX data follows pixels, labels and limit") {
  const TemporaryFolder folder;
  const auto opened = [&](const OpenOptions& options = {}) {
    return open_path(folder.path(), Split::train, options)->fingerprint();
  };
  folder.write(kImages, counting_images(4));
  folder.write(kLabels, idx_bytes({4}, {0, 1, 0, 1}));
  const std::uint64_t original = opened();
  CHECK(opened() == original);
  CHECK(opened({.limit = 2}) != original);
  folder.write(kLabels, idx_bytes({4}, {0, 1, 1, 1}));
  CHECK(opened() != original);
  folder.write(kLabels, idx_bytes({4}, {0, 1, 0, 1}));
  Bytes changed = counting_images(4);
  changed.back() ^= 1;
  folder.write(kImages, changed);
  CHECK(opened() != original);
}

TEST_CASE("damaged IDX files are refused with one clear line") {
  const TemporaryFolder folder;
  const Bytes good = counting_images(4);
  const auto with = [&](std::size_t at, int value) {
    Bytes changed = good;
    changed[at] = static_cast<std::uint8_t>(value);
    return changed;
  };
  CHECK_CONTAINS(failure(folder, with(0, 9)), "not an IDX file");
  CHECK_CONTAINS(failure(folder, {}), "not an IDX file");
  CHECK_CONTAINS(failure(folder, with(2, 0x0D)), "element type 13 is not supported");
  CHECK_CONTAINS(failure(folder, with(3, 1)), "has 1 dimensions where 3 are expected");
  CHECK_CONTAINS(failure(folder, Bytes(good.begin(), good.begin() + 9)), "ends inside its header");
  CHECK_CONTAINS(failure(folder, Bytes(good.begin(), good.end() - 5)),
                 "cut off after 19 of 24 data bytes");
  CHECK_CONTAINS(failure(folder, idx_bytes({4, 2, 3}, Bytes(30))), "more than the 24 data bytes");
  CHECK_CONTAINS(failure(folder, idx_bytes({0, 2, 3}, {})), "holds no records");
  CHECK_CONTAINS(failure(folder, idx_bytes({4, 0, 3}, {})), "claims a picture side of 0");
  CHECK_CONTAINS(failure(folder, idx_bytes({1, 1u << 20, 3}, {})),
                 "claims a picture side of 1048576");
  CHECK_CONTAINS(failure(folder, idx_bytes({0xFFFFFFFFu, 2, 3}, {})), "claims 4294967295 records");
  // A header that claims 2^31 - 1 pictures of 16384 x 16384 asks for no memory that the file cannot
  // fill.
  CHECK_CONTAINS(failure(folder, idx_bytes({0x7FFFFFFFu, 1u << 14, 1u << 14}, {1, 2})),
                 "cut off after 2 of");
  CHECK_CONTAINS(failure(folder, good, idx_bytes({3}, {0, 1, 2})), "holds 3 labels but");
  CHECK_CONTAINS(failure(folder, good, good), "is this the labels file?");
}

TEST_CASE("a gzip file that is cut off or damaged is refused") {
  const TemporaryFolder folder;
  Bytes data(60'000);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::uint8_t>(i * i >> 3);
  const Bytes packed = gzip(idx_bytes({100, 20, 30}, data));
  const auto refused = [&](const Bytes& bytes) {
    folder.write(kImages + ".gz", bytes);
    return message_of(ErrorKind::data, [&] { open_path("idx:" + folder.path()); });
  };
  CHECK_CONTAINS(refused(Bytes(packed.begin(), packed.begin() + 1000)), "unexpected end of file");
  CHECK_CONTAINS(refused(Bytes(packed.begin(), packed.end() - 4)), "unexpected end of file");
  Bytes damaged = packed;
  damaged[packed.size() - 6] ^= 0x55;  // the checksum
  CHECK_CONTAINS(refused(damaged), "damaged or cut off");
}

TEST_CASE("a path that is no data set is refused") {
  const TemporaryFolder folder;
  const auto parse = [](const std::string& text, ErrorKind kind) {
    return message_of(kind, [&] { parse_spec(text); });
  };
  CHECK_CONTAINS(parse(folder.at("nothing"), ErrorKind::data), "no such file or folder");
  CHECK_CONTAINS(parse("idx:" + folder.at("nothing"), ErrorKind::data), "no such file or folder");
  CHECK_CONTAINS(parse("idx:", ErrorKind::usage), "the path is empty");
  CHECK_CONTAINS(parse("", ErrorKind::usage), "the path is empty");
  CHECK_CONTAINS(parse("mnist:" + folder.path(), ErrorKind::usage), "unknown format 'mnist'");
  const std::string text = folder.write("notes.txt", "hello");
  CHECK_CONTAINS(parse(text, ErrorKind::data), "not an IDX pictures file");
  CHECK(to_string(DatasetSpec{Format::idx, "/a/b"}) == "idx:/a/b");
  // A colon inside an existing path is no prefix.
  folder.write("a:b/x.ppm", ppm(1, 1, plain({1, 2, 3})));
  CHECK(parse_spec(folder.at("a:b")).format == Format::folder);
}

TEST_CASE("Fashion-MNIST opens when it is installed") {
  const std::string path = "/usr/share/datasets/fashion-mnist";
  if (!std::filesystem::exists(path)) {
    MESSAGE("skipped: no " << path);
    return;
  }
  const DatasetSpec spec = parse_spec(path);
  CHECK(spec.format == Format::idx);
  const auto train = open_dataset(spec, Split::train);
  const auto test = open_dataset(spec, Split::test);
  CHECK(train->size() == 60'000);
  CHECK(test->size() == 10'000);
  CHECK(train->shape() == PictureShape{28, 28, 1});
  CHECK(train->classes() == 10);
  // 1,000 pictures of every class in the test set.
  std::vector<int> members(10);
  for (const std::int32_t label : test->catalog().labels)
    ++members[static_cast<std::size_t>(label)];
  CHECK(members == std::vector<int>(10, 1000));
  const auto some = open_dataset(spec, Split::train, {.limit = 1000});
  std::vector<int> kept(10);
  for (const std::int32_t label : some->catalog().labels) ++kept[static_cast<std::size_t>(label)];
  CHECK(kept == std::vector<int>(10, 100));
}

}  // namespace nat::data
