#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "data/open.h"
#include "tests/data_support.h"

namespace nat::data {
namespace {

Bytes records(const std::vector<Bytes>& parts) {
  Bytes all;
  for (const Bytes& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

const char* const kTenNames =
    "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";

std::string failure(const std::string& path, Split split = Split::train) {
  return message_of(ErrorKind::data, [&] { open_dataset(parse_spec(path), split); });
}

}  // namespace

TEST_CASE("CIFAR-10 batches are joined in order and turned to interleaved colours") {
  const TemporaryFolder folder;
  folder.write("cifar-10-batches-bin/data_batch_1.bin",
               records({cifar_record({3}, {10, 20, 30}), cifar_record({9}, {40, 50, 60})}));
  folder.write("cifar-10-batches-bin/data_batch_2.bin", cifar_record({0}, {70, 80, 90}));
  folder.write("cifar-10-batches-bin/test_batch.bin", cifar_record({5}, {1, 2, 3}));
  folder.write("cifar-10-batches-bin/batches.meta.txt", kTenNames);
  for (const std::string& path : {folder.path(), folder.at("cifar-10-batches-bin")}) {
    const DatasetSpec spec = parse_spec(path);
    CHECK(spec.format == Format::cifar10);
    const auto train = open_dataset(spec, Split::train);
    CHECK(train->size() == 3);
    CHECK(train->shape() == PictureShape{32, 32, 3});
    CHECK(train->catalog().labels == std::vector<std::int32_t>{3, 9, 0});
    CHECK(train->catalog().class_names[9] == "truck");
    Bytes pixels(32 * 32 * 3);
    train->read(1, pixels.data());
    CHECK(Bytes(pixels.begin(), pixels.begin() + 3) == Bytes{40, 50, 60});
    const auto marked = pixels.begin() + 3 * (32 + 2);
    CHECK(Bytes(marked, marked + 3) == Bytes{7, 8, 9});
    const auto test = open_dataset(spec, Split::test);
    CHECK(test->size() == 1);
    CHECK(test->label(0) == 5);
    CHECK(test->fingerprint() != train->fingerprint());
  }
}

TEST_CASE("CIFAR-100 uses the fine labels") {
  const TemporaryFolder folder;
  folder.write("train.bin",
               records({cifar_record({19, 99}, {1, 2, 3}), cifar_record({0, 7}, {4, 5, 6})}));
  const DatasetSpec spec = parse_spec(folder.path());
  CHECK(spec.format == Format::cifar100);
  const auto train = open_dataset(spec, Split::train);
  CHECK(train->catalog().labels == std::vector<std::int32_t>{99, 7});
  CHECK(train->classes() == 100);
  CHECK(train->catalog().class_names[99] == "99");  // no names file
  std::string names;
  for (int i = 0; i < 100; ++i) names += "kind " + std::to_string(i) + "\r\n";
  folder.write("fine_label_names.txt", names);  // as an editor on Windows leaves it
  CHECK(open_dataset(spec, Split::train)->catalog().class_names[99] == "kind 99");
  CHECK_FALSE(has_split(spec, Split::test));
  CHECK_CONTAINS(failure(folder.path(), Split::test), "no test file of cifar100");
}

TEST_CASE("damaged or confused CIFAR files are refused with one clear line") {
  const TemporaryFolder folder;
  const auto with_batch = [&](const Bytes& bytes) {
    folder.write("ten/data_batch_1.bin", bytes);
    return failure("cifar10:" + folder.at("ten"));
  };
  CHECK_CONTAINS(with_batch({}), "data_batch_1.bin: is empty");
  folder.write("ten/data_batch_2.bin", cifar_record({1}, {0, 0, 0}));
  CHECK_CONTAINS(with_batch({}), "data_batch_1.bin: is empty");
  std::filesystem::remove(folder.at("ten/data_batch_2.bin"));
  Bytes left_over = cifar_record({1}, {0, 0, 0});
  append(left_over, {1, 2});
  CHECK_CONTAINS(with_batch(left_over), "2 bytes left over after 1 records of 3073 bytes");
  CHECK_CONTAINS(with_batch(records({cifar_record({1}, {0, 0, 0}), cifar_record({10}, {0, 0, 0})})),
                 "record 1 has label 10, above 9; is this CIFAR-100?");
  folder.write("ten/data_batch_1.bin", cifar_record({1}, {0, 0, 0}));
  folder.write("ten/data_batch_3.bin", cifar_record({1}, {0, 0, 0}));
  CHECK_CONTAINS(failure(folder.at("ten")),
                 "data_batch_3.bin is there but data_batch_2.bin is missing");
  folder.write("hundred/train.bin", cifar_record({1, 100}, {0, 0, 0}));
  CHECK_CONTAINS(failure(folder.at("hundred")), "record 0 has label 100, above 99");
  CHECK_CONTAINS(failure("cifar10:" + folder.at("hundred")), "holds cifar100 files, not cifar10");
  CHECK_CONTAINS(failure("cifar100:" + folder.at("ten")), "holds cifar10 files, not cifar100");
  std::filesystem::create_directory(folder.at("nothing"));
  CHECK_CONTAINS(failure("cifar10:" + folder.at("nothing")), "no cifar10 files");
}

TEST_CASE("the pickled version of CIFAR is recognised and refused") {
  const TemporaryFolder folder;
  folder.write("cifar-10-batches-py/data_batch_1", "pickle");
  for (const std::string& path : {folder.path(), folder.at("cifar-10-batches-py")}) {
    CHECK_CONTAINS(failure(path), "(pickled) cannot be read; download the binary version");
  }
}

TEST_CASE("limit keeps the classes of CIFAR data") {
  const TemporaryFolder folder;
  Bytes all;
  for (int i = 0; i < 40; ++i) {
    const Bytes record = cifar_record({i % 10}, {i, i, i});
    all.insert(all.end(), record.begin(), record.end());
  }
  folder.write("data_batch_1.bin", all);
  const auto some = open_dataset(parse_spec(folder.path()), Split::train, {.limit = 10});
  std::vector<int> members(10);
  for (const std::int32_t label : some->catalog().labels)
    ++members[static_cast<std::size_t>(label)];
  CHECK(members == std::vector<int>(10, 1));
}

TEST_CASE("real CIFAR-10 records open when they are at hand") {
  const std::string path = NAT_SOURCE_DIR "/../shared/data/cifar10-binary-mini";
  if (!std::filesystem::exists(path)) {
    MESSAGE("skipped: no CIFAR-10 records (cifar10-binary-mini) beside the source tree");
    return;
  }
  const DatasetSpec spec = parse_spec(path);
  CHECK(spec.format == Format::cifar10);
  const auto train = open_dataset(spec, Split::train);
  CHECK(train->size() == 1500);
  CHECK(open_dataset(spec, Split::test)->size() == 300);
  CHECK(train->catalog().class_names[0] == "airplane");
  // The known mean colour of CIFAR-10 (0.490 0.480 0.445); 1,500 pictures of standard deviation
  // about 0.16 between pictures put the mean within 5 * 0.16 / sqrt(1500) = 0.021 of it.
  const Bytes pixels = all_pixels(*train);
  const double expected[] = {0.490, 0.480, 0.445};
  for (std::size_t c = 0; c < 3; ++c) {
    double sum = 0;
    for (std::size_t i = c; i < pixels.size(); i += 3) sum += pixels[i];
    CHECK(sum / (255.0 * static_cast<double>(pixels.size() / 3)) ==
          doctest::Approx(expected[c]).scale(0).epsilon(0.021 / expected[c]));
  }
}

}  // namespace nat::data
