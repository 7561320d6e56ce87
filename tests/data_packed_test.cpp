// A packed data set is the one it was made of; a damaged one is noticed.
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/fingerprint.h"
#include "data/manifest.h"
#include "data/open.h"
#include "data/packed.h"
#include "tests/data_support.h"
#include "tests/tar_bytes.h"

namespace nat::data {
namespace {

namespace fs = std::filesystem;

constexpr int kSide = 12;

Painter pattern(int seed) {
  return [seed](int x, int y) {
    return Colour{(13 * x + 7 * y + seed) % 256, (5 * x + 31 * y) % 256, (x * y + 3 * seed) % 256};
  };
}

// What a user has: shapes of every kind, enlarged and shrunk ones, a file that is no picture, one
// whose header alone can be read, and a name that is no text.
void write_pictures(const TemporaryFolder& folder, const std::string& root) {
  for (int i = 0; i < 10; ++i) {
    folder.write(root + "/train/" + (i % 3 == 0 ? "cat" : "dog") + "/" + std::to_string(i) + ".ppm",
                 ppm(5 + 7 * (i % 4), 6 + 5 * (i % 3), pattern(i)));
  }
  folder.write(root + "/train/cat/none.png", "no picture");
  Bytes cut = gray_jpeg({90, 10, 200});
  cut.erase(cut.end() - 4, cut.end());
  folder.write(root + "/train/dog/cut.jpg", cut);
  folder.write(root + "/train/dog/b\xff\n.ppm", ppm(17, 12, pattern(40)));
  for (const char* split : {"/train", "/test"}) {
    fs::create_directories(folder.at(root + split + "/empty"));  // which a remark says
  }
  folder.write(root + "/test/cat/t.ppm", ppm(30, 20, pattern(50)));
  folder.write(root + "/test/dog/u.ppm", ppm(20, 30, pattern(51)));
}

std::unique_ptr<Dataset> open_path(const std::string& path, Split split = Split::train,
                                   OpenOptions options = {}) {
  if (options.picture_size == 0) options.picture_size = kSide;
  options.max_bad_percent = 50;
  return open_dataset(parse_spec(path), split, options);
}

// Packs one split as nat pack does, with the order of writing it relies on.
void pack(const std::string& source, Split split, const std::string& target, int threads = 2) {
  fs::create_directories(target);
  const auto pictures = open_path(source, split, {.keep = Keep::disk});
  const PackedFiles files = packed_files(target, split);
  const auto sink = [](std::ofstream& out) {
    return [&out](const void* bytes, std::size_t count) {
      out.write(static_cast<const char*>(bytes), static_cast<std::streamsize>(count));
    };
  };
  std::ofstream pixels(files.pixels, std::ios::binary), catalog(files.catalog, std::ios::binary);
  std::int64_t last = -1;
  const auto sums = write_packed_pixels(*pictures, threads, sink(pixels),
                                        [&](std::int64_t done) { last = done; });
  CHECK(last == pictures->size());
  write_packed_catalog(*pictures, split, sums, sink(catalog));
  pixels.close();
  CHECK(static_cast<std::int64_t>(fs::file_size(files.pixels)) == packed_bytes(*pictures));
}

using Reasons = std::vector<std::pair<std::int32_t, std::string>>;
Reasons reasons(const Dataset& pictures) {
  Reasons all;
  for (const BadPicture& bad : pictures.bad_pictures()) all.emplace_back(bad.id, bad.reason);
  return all;
}

void check_same_catalog(const Dataset& packed, const Dataset& source) {
  const Catalog &a = packed.catalog(), &b = source.catalog();
  CHECK(a.format == b.format);
  CHECK(a.shape == b.shape);
  CHECK(a.size == b.size);
  CHECK(a.labels == b.labels);
  CHECK(a.flags == b.flags);
  CHECK(a.class_names == b.class_names);
  CHECK(a.paths == b.paths);
  CHECK(a.remarks == b.remarks);
  CHECK(a.content == b.content);
  CHECK(packed.usable_ids() == source.usable_ids());
  CHECK(packed.fingerprint() == source.fingerprint());
}

// Every window of every picture, and the whole of it.
void check_same_pixels(const Dataset& packed, const Dataset& source) {
  const PictureShape& shape = source.shape();
  Bytes a(static_cast<std::size_t>(shape.bytes())), b(a.size());
  for (std::int32_t id = 0; id < source.size(); ++id) {
    const PictureShape whole = source.extent(id);
    REQUIRE(packed.extent(id) == whole);
    for (int top = 0; top + shape.height <= whole.height; ++top) {
      for (int left = 0; left + shape.width <= whole.width; ++left) {
        std::fill(a.begin(), a.end(), std::uint8_t{1});
        std::fill(b.begin(), b.end(), std::uint8_t{2});
        packed.read_window(id, left, top, a.data());
        source.read_window(id, left, top, b.data());
        CHECK(a == b);
      }
    }
    Bytes all(static_cast<std::size_t>(whole.bytes()), 1), expected(all.size(), 2);
    packed.read_whole(id, all.data());
    source.read_whole(id, expected.data());
    CHECK(all == expected);
  }
}

TEST_CASE("a packed folder is the folder: ids, names, labels, bad pictures, pixels, fingerprint") {
  const TemporaryFolder folder;
  write_pictures(folder, "pictures");
  const std::string source = folder.at("pictures"), target = folder.at("packed");
  pack(source, Split::train, target);
  pack(source, Split::test, target);
  CHECK(parse_spec(target).format == Format::packed);
  CHECK(to_string(parse_spec("packed:" + target)) == "packed:" + target);
  for (const Split split : {Split::train, Split::test}) {
    CHECK(has_split(parse_spec(target), split));
    for (const Keep keep : {Keep::disk, Keep::memory}) {
      for (const std::optional<std::int64_t> limit :
           {std::optional<std::int64_t>{}, std::optional<std::int64_t>{2}}) {
        const auto packed = open_path(target, split, {.limit = limit, .keep = keep});
        const auto original = open_path(source, split, {.limit = limit, .keep = keep});
        check_same_catalog(*packed, *original);
        check_same_pixels(*packed, *original);
        CHECK(reasons(*packed) == reasons(*original));
      }
    }
  }
  const auto train = open_path(target, Split::train, {.keep = Keep::disk});
  CHECK(train->size() == 13);
  CHECK(train->usable_ids().size() == 12);
  CHECK(train->bad_count() == 2);
  CHECK(train->shape() == open_path(target, Split::train)->shape());
}

TEST_CASE("one thread packs the same bytes as four, and packing packed pictures changes nothing") {
  const TemporaryFolder folder;
  write_pictures(folder, "pictures");
  pack(folder.at("pictures"), Split::train, folder.at("one"), 1);
  pack(folder.at("pictures"), Split::train, folder.at("four"), 4);
  pack(folder.at("one"), Split::train, folder.at("again"), 2);
  for (const char* file : {"train.pixels", "train.jsonl"}) {
    const auto bytes = [&](const std::string& name) {
      return test::read_file(folder.at(name + "/" + file));
    };
    CHECK(bytes("one") == bytes("four"));
    if (std::string(file) == "train.pixels") CHECK(bytes("one") == bytes("again"));
  }
  check_same_catalog(*open_path(folder.at("again")), *open_path(folder.at("pictures")));
}

TEST_CASE("a manifest of the folder is one of its packed pictures") {
  const TemporaryFolder folder;
  write_pictures(folder, "pictures");
  pack(folder.at("pictures"), Split::train, folder.at("packed"));
  folder.write("manifest.jsonl", manifest_lines(*open_path(folder.at("pictures"))));
  check_same_data(*open_path(folder.at("packed")), folder.at("manifest.jsonl"));
}

TEST_CASE("packed pictures may have several labels, or none") {
  const TemporaryFolder folder;
  for (int i = 0; i < 4; ++i) {
    const std::string name = std::to_string(i);
    folder.write("year/JPEGImages/" + name + ".jpg", ppm(20, 14, pattern(i)));
    folder.write("flat/" + name + ".ppm", ppm(14, 20, pattern(i)));
  }
  folder.write("year/ImageSets/Main/trainval.txt", "0\n1\n2\n3\n");
  folder.write("year/ImageSets/Main/cat_trainval.txt", "0 1\n1 -1\n2 0\n3 1\n");
  folder.write("year/ImageSets/Main/dog_trainval.txt", "0 0\n1 1\n2 -1\n3 -1\n");
  for (const char* name : {"year", "flat"}) {
    pack(folder.at(name), Split::train, folder.at(str("packed-", name)));
    const auto packed = open_path(folder.at(str("packed-", name)), Split::train, {.limit = 3});
    const auto source = open_path(folder.at(name), Split::train, {.limit = 3});
    check_same_catalog(*packed, *source);
    check_same_pixels(*packed, *source);
    CHECK(packed->multi_label() == (std::string(name) == "year"));
    CHECK(!packed->labelled());
    CHECK(!has_split(parse_spec(folder.at(str("packed-", name))), Split::test));
  }
}

// As of ImageNet's test pictures when they are not sorted, and of shards whose labels are numbers.
TEST_CASE("packed test pictures may lack classes where those that were packed may") {
  const TemporaryFolder folder;
  const auto add_sample = [](test::TarWriter& shard, int i) {
    const Bytes picture = ppm(14, 13, pattern(i));
    shard.add(str(i, ".ppm"), {reinterpret_cast<const char*>(picture.data()), picture.size()});
    shard.add(str(i, ".cls"), std::to_string(i % 12));
  };
  test::TarWriter train, val;
  for (int i = 0; i < 12; ++i) add_sample(train, i);
  for (int i = 0; i < 11; ++i) add_sample(val, i);
  folder.write("shards/train.tar", train.ended());
  folder.write("shards/val.tar", val.ended());
  folder.write("flat/train/cat/1.ppm", ppm(14, 20, pattern(1)));
  folder.write("flat/train/dog/2.ppm", ppm(14, 20, pattern(2)));
  folder.write("flat/val/3.ppm", ppm(14, 20, pattern(3)));
  for (const char* name : {"shards", "flat"}) {
    const std::string target = folder.at(str("packed-", name));
    for (const Split split : {Split::train, Split::test}) pack(folder.at(name), split, target);
    check_same_catalog(*open_path(target, Split::test), *open_path(folder.at(name), Split::test));
  }
}

TEST_CASE("pictures that go bad while they are used stay grey in a packed set as in a folder") {
  const TemporaryFolder folder;
  write_pictures(folder, "pictures");
  pack(folder.at("pictures"), Split::train, folder.at("packed"));
  const Quarantined now_bad{1, "went bad", {5, 6, 99, 7}};
  const OpenOptions options{.keep = Keep::disk, .quarantined = {now_bad}};
  const auto packed = open_path(folder.at("packed"), Split::train, options);
  CHECK(packed->bad_count() == 3);
  CHECK(packed->bad_pictures().front().reason == "went bad");
  Bytes pixels(static_cast<std::size_t>(packed->shape().bytes()));
  packed->read(1, pixels.data());
  CHECK(std::all_of(pixels.begin(), pixels.end(), [](std::uint8_t p) { return p == 128; }));
}

TEST_CASE("what was packed after a picture went bad goes on with the run that gave it up") {
  const TemporaryFolder folder;
  write_pictures(folder, "pictures");
  const auto before = open_path(folder.at("pictures"), Split::train, {.keep = Keep::disk});
  const std::string& name = before->catalog().paths[1];
  const OpenOptions options{.keep = Keep::disk,
                            .quarantined = {{1, "went bad", before->catalog().files[1]}}};
  const Bytes none{'n', 'o', 'n', 'e'}, other = ppm(31, 9, pattern(60));
  for (const Bytes& now : {none, other}) {
    folder.write("pictures/train/" + name, now);
    const std::string target = folder.at(str("packed-", now.size()));
    pack(folder.at("pictures"), Split::train, target);
    const auto packed = open_path(target, Split::train, options);
    check_same_catalog(*packed, *before);
    check_same_pixels(*packed, *open_path(folder.at("pictures"), Split::train, options));
    CHECK(packed->bad_pictures().front().reason == "went bad");
  }
}

// ---- what is refused ----------------------------------------------------------------------------

TEST_CASE("another size, a missing split or other classes are refused") {
  const TemporaryFolder folder;
  write_pictures(folder, "pictures");
  pack(folder.at("pictures"), Split::train, folder.at("packed"));
  CHECK_CONTAINS(
      message_of(ErrorKind::usage,
                 [&] { open_path(folder.at("packed"), Split::train, {.picture_size = 16}); }),
      "holds pictures with a short side of 12, not 16; give --stored-size 12");
  CHECK(open_dataset(parse_spec(folder.at("packed")), Split::train, {.max_bad_percent = 50})
            ->shape()
            .height == kSide);
  CHECK_CONTAINS(
      message_of(ErrorKind::data, [&] { open_path("packed:" + folder.at("packed"), Split::test); }),
      "no packed test pictures (looked for");
  fs::rename(folder.at("pictures/test/dog"), folder.at("pictures/test/eel"));
  fs::rename(folder.at("pictures/train/dog"), folder.at("pictures/train/eel"));
  pack(folder.at("pictures"), Split::test, folder.at("packed"));
  CHECK_CONTAINS(message_of(ErrorKind::data, [&] { open_path(folder.at("packed"), Split::test); }),
                 "class 1 is 'dog' of the training pictures and 'eel' of the test pictures");
}

TEST_CASE("a changed byte of the catalog is noticed, wherever it is, and so is a missing end") {
  const TemporaryFolder folder;
  folder.write("pictures/a/1.ppm", ppm(13, 12, pattern(1)));
  folder.write("pictures/b/2.ppm", ppm(12, 15, pattern(2)));
  const std::string target = folder.at("packed");
  pack(folder.at("pictures"), Split::train, target);
  const std::string catalog = target + "/train.jsonl", good = test::read_file(catalog);
  const auto check_refused = [&](const std::string& bytes) {
    folder.write("packed/train.jsonl", bytes);
    const std::string message = message_of(ErrorKind::data, [&] { open_path(target); });
    CHECK_MESSAGE(message.find("train.jsonl") != std::string::npos, message);
  };
  for (std::size_t at = 0; at < good.size(); ++at) {
    for (const int change : {1, 2, 4, 8, 16, 64, 128}) {
      std::string bytes = good;
      bytes[at] = static_cast<char>(bytes[at] ^ change);
      check_refused(bytes);
    }
  }
  for (std::size_t size = 0; size + 1 < good.size(); ++size) check_refused(good.substr(0, size));
  check_refused(good + "{}\n");
  check_refused(good.substr(good.find('\n') + 1));
  folder.write("packed/train.jsonl", good);
  CHECK(open_path(target)->size() == 2);
}

// The catalog with one change of its JSON, and the checksum that belongs to it.
std::string forged(const std::string& good,
                   const std::function<void(std::vector<nlohmann::ordered_json>&)>& change) {
  std::vector<nlohmann::ordered_json> lines;
  std::istringstream in(good);
  for (std::string line; std::getline(in, line);) {
    lines.push_back(nlohmann::ordered_json::parse(line));
  }
  lines[0].erase("checksum");
  change(lines);
  Fingerprint sum;
  for (const auto& line : lines) sum.add(line.dump());
  lines[0]["checksum"] = sum.value();
  std::string bytes;
  for (const auto& line : lines) bytes += line.dump() + "\n";
  return bytes;
}

TEST_CASE("what no data set can be is refused, though the checksum agrees") {
  const TemporaryFolder folder;
  folder.write("pictures/a/1.ppm", ppm(13, 12, pattern(1)));
  folder.write("pictures/b/2.ppm", ppm(12, 15, pattern(2)));
  const std::string target = folder.at("packed");
  pack(folder.at("pictures"), Split::train, target);
  const std::string good = test::read_file(target + "/train.jsonl");
  using Lines = std::vector<nlohmann::ordered_json>;
  folder.write("packed/train.jsonl", forged(good, [](Lines&) {}));
  CHECK(open_path(target)->size() == 2);

  const auto message = [&](const std::function<void(Lines&)>& change) {
    folder.write("packed/train.jsonl", forged(good, change));
    return message_of(ErrorKind::data,
                      [&] { open_dataset(parse_spec("packed:" + target), Split::train); });
  };
  const auto impossible = [&](const char* key, const nlohmann::ordered_json& value) {
    CHECK_CONTAINS(message([&](Lines& lines) { lines[2][key] = value; }),
                   "train.jsonl:3: is not possible for a picture; pack the pictures again");
  };
  impossible("label", 2);
  impossible("label", -1);
  impossible("flags", {1, 0});
  impossible("file", {-1, 15, 20, 0});
  impossible("file", {12, 0, 20, 0});
  impossible("file", {0, 0, 20, 0});  // no picture, but not said to be bad
  impossible("file", {100000, 100000, 20, 0});
  impossible("file", {1, 51, 20, 0});
  impossible("size", {12, 16});
  const auto header = [&](const char* key, const nlohmann::ordered_json& value) {
    return message([&](Lines& lines) { lines[0][key] = value; });
  };
  CHECK_CONTAINS(header("short_side", 0), "2 pictures with a short side of 0 are not possible");
  CHECK_CONTAINS(header("short_side", 5000), "a short side of 5000 are not possible");
  CHECK_CONTAINS(header("pictures", 0), "0 pictures with");
  CHECK_CONTAINS(header("pictures", 3), "the file is cut off");
  CHECK_CONTAINS(header("pictures", 1), "the checksum does not agree");
  CHECK_CONTAINS(header("bytes", 7), "train.jsonl:1: 7 bytes are not the 1008 of its pictures");
  CHECK_CONTAINS(header("format", "other"),
                 "is not the catalog of packed pictures but '\"other\"'");
  CHECK_CONTAINS(header("classes", 5), "train.jsonl:1: is not as nat pack writes it");
  CHECK_CONTAINS(message([](Lines& lines) {
                   lines[1]["path"] = {{"hex", "zz"}};
                 }),
                 "train.jsonl:2: is not as nat pack writes it");
}

TEST_CASE("pixels that changed make their picture a bad one; a file of another length is refused") {
  const TemporaryFolder folder;
  write_pictures(folder, "pictures");
  const std::string target = folder.at("packed");
  pack(folder.at("pictures"), Split::train, target);
  const std::string good = test::read_file(target + "/train.pixels");
  const auto source = open_path(folder.at("pictures"), Split::train, {.keep = Keep::disk});

  std::string bytes = good;
  bytes[5] = static_cast<char>(bytes[5] ^ 32);  // of picture 0
  folder.write("packed/train.pixels", bytes);
  const auto packed = open_path(target, Split::train, {.keep = Keep::disk});
  CHECK(packed->fingerprint() == source->fingerprint());
  Bytes pixels(static_cast<std::size_t>(packed->shape().bytes())), expected(pixels.size());
  packed->read(0, pixels.data());
  CHECK(pixels == Bytes(pixels.size(), 128));
  CHECK(packed->bad_count() == 3);
  CHECK(packed->bad_pictures()[0].reason == "its packed pixels changed");
  packed->read(2, pixels.data());
  source->read(2, expected.data());
  CHECK(pixels == expected);

  fs::resize_file(target + "/train.pixels", 1);  // while it is in use
  packed->read(2, pixels.data());
  CHECK(pixels == Bytes(pixels.size(), 128));
  CHECK(reasons(*packed)[1].first == 2);
  CHECK_CONTAINS(reasons(*packed)[1].second, "train.pixels: became shorter");

  for (const std::string& wrong : {good.substr(1), good + "x", std::string()}) {
    folder.write("packed/train.pixels", wrong);
    CHECK_CONTAINS(message_of(ErrorKind::data, [&] { open_path(target); }),
                   str("train.pixels: has ", wrong.size(), " bytes, not the ", good.size()));
  }
  fs::remove(target + "/train.pixels");
  fs::create_directory(target + "/train.pixels");
  CHECK_CONTAINS(message_of(ErrorKind::data, [&] { open_path("packed:" + target); }),
                 "no packed train pictures");
}

TEST_CASE("the checksum of bytes sees every bit, the order of words and the length") {
  for (const std::size_t size : {0, 1, 7, 8, 31, 32, 33, 70}) {
    Bytes bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::uint8_t>(37 * i + 11);
    const std::uint64_t sum = checksum_of(bytes.data(), size);
    for (std::size_t bit = 0; bit < 8 * size; ++bit) {
      Bytes other = bytes;
      other[bit / 8] = static_cast<std::uint8_t>(other[bit / 8] ^ 1 << bit % 8);
      CHECK(checksum_of(other.data(), size) != sum);
    }
    Bytes longer = bytes;
    longer.push_back(0);
    CHECK(checksum_of(longer.data(), longer.size()) != sum);
    for (std::size_t word = 8; word + 8 <= size; word += 8) {
      Bytes swapped = bytes;
      std::swap_ranges(swapped.begin(), swapped.begin() + 8,
                       swapped.begin() + static_cast<std::ptrdiff_t>(word));
      CHECK(checksum_of(swapped.data(), size) != sum);
    }
  }
}

}  // namespace
}  // namespace nat::data
