#include "data/idx.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <limits>

#include "data/files.h"
#include "data/store.h"
#include "kernels/check.h"

namespace nat::data {
namespace {

constexpr int kUnsignedByte = 0x08;

struct IdxArray {
  std::vector<std::int64_t> sizes;
  Bytes data;
};

std::string split_prefix(Split split) { return split == Split::train ? "train-" : "t10k-"; }

// The file of one of the usual spellings, or "".
std::string find_variant(const std::string& folder, const std::string& stem, int dimensions) {
  for (const char* separator : {"-", "."}) {
    for (const char* ending : {"", ".gz"}) {
      std::string path = join(folder, str(stem, separator, "idx", dimensions, "-ubyte", ending));
      if (is_file(path)) return path;
    }
  }
  return "";
}

bool starts_with_split(const std::string& name) {
  return name.starts_with(split_prefix(Split::train)) ||
         name.starts_with(split_prefix(Split::test));
}

// A pictures file with a name of its own is a training set; one of the usual pair speaks for its
// folder.
bool is_single_file(const std::string& path) {
  return is_file(path) && !starts_with_split(std::filesystem::path(path).filename().string());
}

std::string folder_of(const std::string& path) {
  if (!is_file(path)) return path;
  const std::string parent = std::filesystem::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

std::string images_file(const std::string& path, Split split) {
  if (is_single_file(path)) return split == Split::train ? path : "";
  return find_variant(folder_of(path), split_prefix(split) + "images", 3);
}

// "x-images-idx3-ubyte.gz" -> "x-labels-idx1-ubyte", with or without .gz; "" when there is none.
std::string labels_file(const std::string& images) {
  const std::filesystem::path path(images);
  std::string name = path.filename().string();
  const auto images_at = name.find("images");
  const auto rank_at = name.find("idx3");
  if (images_at == std::string::npos || rank_at == std::string::npos) return "";
  name.replace(rank_at, 4, "idx1").replace(images_at, 6, "labels");
  if (name.ends_with(".gz")) name.resize(name.size() - 3);
  for (const char* ending : {"", ".gz"}) {
    std::string candidate = (path.parent_path() / (name + ending)).string();
    if (is_file(candidate)) return candidate;
  }
  return "";
}

// Sizes of an IDX file; the reader stands at the first data byte afterwards.
std::vector<std::int64_t> read_sizes(GzReader& reader, const std::string& shown, int dimensions) {
  std::array<std::uint8_t, 4> magic{};
  NAT_CHECK(reader.read(magic.data(), 4) == 4 && magic[0] == 0 && magic[1] == 0, ErrorKind::data,
            shown,
            ": not an IDX file (it must begin with two zero bytes); check what was downloaded");
  NAT_CHECK(magic[2] == kUnsignedByte, ErrorKind::data, shown, ": element type ", int{magic[2]},
            " is not supported; only unsigned bytes (8) are");
  NAT_CHECK(magic[3] == dimensions, ErrorKind::data, shown, ": has ", int{magic[3]},
            " dimensions where ", dimensions, " are expected; is this the ",
            dimensions == 3 ? "pictures" : "labels", " file?");
  std::vector<std::int64_t> sizes;
  for (int i = 0; i < dimensions; ++i) {
    std::array<std::uint8_t, 4> b{};
    NAT_CHECK(reader.read(b.data(), 4) == 4, ErrorKind::data, shown,
              ": ends inside its header; download it again");
    sizes.push_back((std::int64_t{b[0]} << 24) | (b[1] << 16) | (b[2] << 8) | b[3]);
  }
  return sizes;
}

IdxArray read_idx(const std::string& path, int dimensions) {
  const std::string shown = printable(path);
  GzReader reader(path);
  IdxArray array;
  array.sizes = read_sizes(reader, shown, dimensions);
  NAT_CHECK(array.sizes[0] > 0, ErrorKind::data, shown, ": holds no records; check the download");
  NAT_CHECK(array.sizes[0] <= std::numeric_limits<std::int32_t>::max(), ErrorKind::data, shown,
            ": claims ", array.sizes[0], " records, more than 2^31 - 1; the header is damaged");
  std::int64_t total = array.sizes[0];
  for (std::size_t i = 1; i < array.sizes.size(); ++i) {
    NAT_CHECK(array.sizes[i] >= 1 && array.sizes[i] <= 1 << 14, ErrorKind::data, shown,
              ": claims a picture side of ", array.sizes[i],
              " (1 to 16384 are accepted); the header is damaged");
    total *= array.sizes[i];
  }

  // In steps: a damaged header must not make us ask for memory that the file cannot fill.
  constexpr std::int64_t kStep = 1 << 24;
  std::int64_t filled = 0;
  while (filled < total) {
    const std::int64_t wanted = std::min(kStep, total - filled);
    array.data.resize(static_cast<std::size_t>(filled + wanted));
    const auto got = static_cast<std::int64_t>(
        reader.read(array.data.data() + filled, static_cast<std::size_t>(wanted)));
    filled += got;
    NAT_CHECK(got == wanted, ErrorKind::data, shown, ": cut off after ", filled, " of ", total,
              " data bytes; download it again");
  }
  std::uint8_t extra = 0;
  NAT_CHECK(reader.read(&extra, 1) == 0, ErrorKind::data, shown, ": has more than the ", total,
            " data bytes its header states; download it again");
  return array;
}

std::vector<std::int32_t> read_labels(const std::string& path, const std::string& images,
                                      std::int64_t pictures) {
  const IdxArray labels = read_idx(path, 1);
  NAT_CHECK(labels.sizes[0] == pictures, ErrorKind::data, printable(path), ": holds ",
            labels.sizes[0], " labels but ", printable(images), " holds ", pictures,
            " pictures; use two files of the same set");
  return {labels.data.begin(), labels.data.end()};
}

}  // namespace

bool looks_like_idx(const std::string& path) {
  if (is_file(path)) {
    Bytes magic(3);
    GzReader reader(path);
    return reader.read(magic.data(), 3) == 3 && magic == Bytes{0, 0, kUnsignedByte};
  }
  return idx_has_split(path, Split::train) || idx_has_split(path, Split::test);
}

bool idx_has_split(const std::string& path, Split split) {
  return !images_file(path, split).empty();
}

std::vector<std::string> idx_files(const std::string& path) {
  std::vector<std::string> files;
  for (const Split split : {Split::train, Split::test}) {
    const std::string images = images_file(path, split);
    if (images.empty()) continue;
    files.push_back(images);
    if (const std::string labels = labels_file(images); !labels.empty()) files.push_back(labels);
  }
  return files;
}

std::unique_ptr<Dataset> open_idx(const std::string& path, Split split, std::int64_t limit) {
  const std::string images = images_file(path, split);
  NAT_CHECK(!images.empty(), ErrorKind::data, printable(path), ": no ", name(split),
            " pictures (looked for ", split_prefix(split),
            "images-idx3-ubyte, with or without .gz); check the path");
  const IdxArray pictures = read_idx(images, 3);
  const std::int64_t n = pictures.sizes[0];
  const std::string labels_path = labels_file(images);
  std::vector<std::int32_t> labels;
  if (!labels_path.empty()) labels = read_labels(labels_path, images, n);

  Catalog catalog;
  catalog.format = "idx";
  catalog.source = path;
  catalog.shape = {static_cast<int>(pictures.sizes[1]), static_cast<int>(pictures.sizes[2]), 1};
  if (!labels.empty()) {
    catalog.class_names = numbered_classes(1 + *std::max_element(labels.begin(), labels.end()));
  }
  catalog.records = evenly_spaced(n, limit, labels);
  catalog.size = static_cast<std::int64_t>(catalog.records.size());

  const std::int64_t bytes = catalog.shape.bytes();
  Bytes pixels;
  pixels.reserve(static_cast<std::size_t>(catalog.size * bytes));
  for (const std::int64_t record : catalog.records) {
    const auto first = pictures.data.begin() + record * bytes;
    pixels.insert(pixels.end(), first, first + bytes);
    if (!labels.empty()) catalog.labels.push_back(labels[static_cast<std::size_t>(record)]);
  }
  catalog.content = crc32_of(pixels.data(), pixels.size());
  return std::make_unique<MemoryDataset>(std::move(catalog), std::move(pixels));
}

}  // namespace nat::data
