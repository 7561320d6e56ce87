// Which files a data set is read from, under whatever name.
#include "data/source_files.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "tests/data_support.h"
#include "tests/tar_bytes.h"

namespace nat::data {
namespace {

namespace fs = std::filesystem;

// Of the files of a folder, named from there on, those that the data set `spec` is read from.
void check_source_files(const TemporaryFolder& folder, const std::string& spec,
                        const std::vector<std::string>& read,
                        const std::vector<std::string>& others) {
  const DatasetSpec parsed = parse_spec(spec);
  for (const auto* names : {&read, &others}) {
    for (const std::string& name : *names) {
      CAPTURE(name);
      const std::string file = folder.at(name), link = folder.at("link");
      CHECK(is_source_file(parsed, file) == (names == &read));
      fs::create_symlink(file, link);
      CHECK(is_source_file(parsed, link) == (names == &read));
      fs::remove(link);
      if (!fs::is_regular_file(file)) continue;
      fs::create_hard_link(file, link);
      CHECK(is_source_file(parsed, link) == (names == &read));
      fs::remove(link);
    }
  }
}

}  // namespace

TEST_CASE("an IDX data set is read from the pictures and labels of both splits") {
  const TemporaryFolder folder;
  const Bytes pictures = idx_bytes({1, 1, 1}, {1}), labels = idx_bytes({1}, {0});
  for (const char* name : {"train-images-idx3-ubyte", "t10k-images-idx3-ubyte", "own.idx"}) {
    folder.write(name, pictures);
  }
  folder.write("train-labels-idx1-ubyte", labels);
  folder.write("t10k-labels-idx1-ubyte.gz", gzip(labels));
  folder.write("features.npy", "mine");
  fs::create_directory(folder.at("folder"));
  const std::vector<std::string> pair = {"train-images-idx3-ubyte", "t10k-images-idx3-ubyte",
                                         "train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte.gz"};
  const std::vector<std::string> others = {"own.idx", "features.npy", "folder", "nowhere"};
  check_source_files(folder, folder.path(), pair, others);
  check_source_files(folder, folder.at(pair.front()), pair, others);
  check_source_files(folder, folder.at("own.idx"), {"own.idx"}, pair);
}

TEST_CASE("a CIFAR data set is read from its batches and the names of its classes") {
  const TemporaryFolder folder;
  const std::string below = "cifar-10-batches-bin/";
  const std::vector<std::string> read = {below + "data_batch_1.bin", below + "data_batch_2.bin",
                                         below + "test_batch.bin"};
  for (const std::string& name : read) folder.write(name, cifar_record({3}, {1, 2, 3}));
  folder.write(below + "batches.meta.txt", "airplane\n");
  folder.write(below + "readme.html", "about");
  std::vector<std::string> all = read;
  all.push_back(below + "batches.meta.txt");
  check_source_files(folder, "cifar10:" + folder.path(), all, {below + "readme.html"});

  const TemporaryFolder hundred;
  for (const char* name : {"train.bin", "test.bin"}) {
    hundred.write(name, cifar_record({1, 2}, {1, 2, 3}));
  }
  check_source_files(hundred, hundred.path(), {"train.bin", "test.bin"},
                     {"fine_label_names.txt"});  // is not there
}

TEST_CASE("a folder of pictures is read from every picture below it, wherever links lead") {
  const TemporaryFolder folder;
  folder.write("set/train/cat/a.ppm", ppm(2, 2, plain({1, 2, 3})));
  folder.write("set/train/cat/deep/b.PNG", png(2, 2, plain({1, 2, 3})));
  folder.write("set/test/cat/c.ppm", ppm(2, 2, plain({1, 2, 3})));
  folder.write("elsewhere/d.ppm", ppm(2, 2, plain({4, 5, 6})));
  folder.write("elsewhere/e.ppm", ppm(2, 2, plain({4, 5, 6})));
  folder.write("set/train/cat/features.npy", "mine");
  folder.write("beside.ppm", ppm(2, 2, plain({1, 2, 3})));
  fs::create_symlink("../../../elsewhere/d.ppm", folder.at("set/train/cat/linked.ppm"));
  const std::vector<std::string> read = {"set/train/cat/a.ppm", "set/train/cat/deep/b.PNG",
                                         "set/test/cat/c.ppm", "elsewhere/d.ppm"};
  check_source_files(folder, folder.at("set"), read,
                     {"elsewhere/e.ppm", "set/train/cat/features.npy", "beside.ppm", "set/train"});
  fs::create_directory_symlink("../../elsewhere", folder.at("set/train/dog"));
  fs::create_directory_symlink("..", folder.at("set/train/cat/circle"));
  check_source_files(folder, folder.at("set"), {"elsewhere/e.ppm"}, {"beside.ppm"});
}

TEST_CASE("a VOC data set is read from its pictures and its lists") {
  const TemporaryFolder folder;
  folder.write("year/JPEGImages/000012.jpg", pgm(2, 2, 1));
  folder.write("year/ImageSets/Main/trainval.txt", "000012\n");
  folder.write("year/ImageSets/Main/cat_trainval.txt", "000012  1\n");
  folder.write("year/Annotations/000012.xml", "<annotation/>");
  check_source_files(folder, "voc:" + folder.path(),
                     {"year/JPEGImages/000012.jpg", "year/ImageSets/Main/trainval.txt",
                      "year/ImageSets/Main/cat_trainval.txt"},
                     {"year/Annotations/000012.xml"});
}

TEST_CASE("archives, packed pictures, STL-10 and Tiny ImageNet are read from files of their own") {
  const TemporaryFolder folder;
  const auto archive = [&](const std::string& name) {
    test::TarWriter tar;
    tar.add("a.ppm", test::read_file(folder.write("dot.ppm", ppm(2, 2, plain({1, 2, 3})))));
    folder.write(name, tar.ended());
  };
  for (const char* name : {"shards/train-0.tar", "shards/train-1.tar", "shards/test-0.tar"}) {
    archive(name);
  }
  folder.write("shards/features.npy", "mine");
  check_source_files(folder, folder.at("shards"),
                     {"shards/train-0.tar", "shards/train-1.tar", "shards/test-0.tar"},
                     {"shards/features.npy", "dot.ppm"});
  check_source_files(folder, folder.at("shards/train-{0..0}.tar"), {"shards/train-0.tar"},
                     {"shards/train-1.tar"});

  for (const char* name : {"pack/train.jsonl", "pack/train.pixels", "pack/rows.jsonl"}) {
    folder.write(name, "x");
  }
  check_source_files(folder, "packed:" + folder.at("pack"),
                     {"pack/train.jsonl", "pack/train.pixels"},
                     {"pack/rows.jsonl", "pack/test.jsonl"});

  const std::vector<std::string> stl = {
      "stl/stl10_binary/train_X.bin",     "stl/stl10_binary/train_y.bin",
      "stl/stl10_binary/test_X.bin",      "stl/stl10_binary/test_y.bin",
      "stl/stl10_binary/unlabeled_X.bin", "stl/stl10_binary/class_names.txt"};
  for (const std::string& name : stl) folder.write(name, "x");
  for (const char* name : {"stl/features.npy", "stl/stl10_binary/own.bin"}) folder.write(name, "x");
  // One of the labelled files speaks for its folder.
  for (const char* path : {"stl", "stl/stl10_binary", "stl/stl10_binary/train_X.bin"}) {
    check_source_files(folder, "stl10:" + folder.at(path), stl,
                       {"stl/features.npy", "stl/stl10_binary/own.bin"});
  }
  check_source_files(folder, "stl10:" + folder.at("stl/stl10_binary/own.bin"),
                     {"stl/stl10_binary/own.bin"}, stl);

  for (const char* name : {"tiny/train/n1/images/n1_0.JPEG", "tiny/val/val_annotations.txt",
                           "tiny/wnids.txt", "tiny/features.npy"}) {
    folder.write(name, "x");
  }
  check_source_files(folder, "tiny_imagenet:" + folder.at("tiny"),
                     {"tiny/train/n1/images/n1_0.JPEG", "tiny/val/val_annotations.txt"},
                     {"tiny/features.npy"});
}

}  // namespace nat::data
