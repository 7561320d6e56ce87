#include "data/stl10.h"

#include <filesystem>
#include <limits>

#include "data/files.h"
#include "data/parallel.h"
#include "data/store.h"
#include "kernels/check.h"

namespace nat::data {
namespace {

// ---- files --------------------------------------------------------------------------------------

constexpr const char* kFolder = "stl10_binary";
constexpr const char* kUnlabelled = "unlabeled_X.bin";
constexpr const char* kClassNames = "class_names.txt";

std::string pictures_name(Split split) { return str(name(split), "_X.bin"); }
std::string labels_name(Split split) { return str(name(split), "_y.bin"); }

bool is_labelled_name(const std::string& name) {
  return name == pictures_name(Split::train) || name == pictures_name(Split::test);
}

std::string name_of(const std::string& path) {
  return std::filesystem::path(path).filename().string();
}

std::string folder_of(const std::string& file) {
  const std::string parent = std::filesystem::path(file).parent_path().string();
  return parent.empty() ? "." : parent;
}

// A picture file that has no labels beside it; one of the labelled files speaks for its folder.
bool is_single_file(const std::string& path) {
  return is_file(path) && !is_labelled_name(name_of(path));
}

// The folder that holds the files; "" for none.
std::string find_folder(const std::string& path) {
  if (is_file(path)) return folder_of(path);
  for (const std::string& folder : {path, join(path, kFolder)}) {
    for (const std::string& file :
         {pictures_name(Split::train), pictures_name(Split::test), std::string(kUnlabelled)}) {
      if (is_file(join(folder, file))) return folder;
    }
  }
  return "";
}

struct SplitFiles {
  std::string pictures, labels;  // labels: "" where there are none
};

SplitFiles split_files(const std::string& path, Split split) {
  const std::string folder = find_folder(path);
  if (is_single_file(path)) {
    NAT_CHECK(split == Split::train, ErrorKind::data, printable(path),
              ": one file of pictures without labels has no test pictures; judge features by the "
              "labelled ones, stl10:",
              printable(folder));
    return {path, ""};
  }
  NAT_CHECK(!folder.empty(), ErrorKind::data, printable(path), ": no STL-10 files (looked for ",
            pictures_name(Split::train), ", ", pictures_name(Split::test), " and ", kUnlabelled,
            ", here and in ", kFolder, "); give the folder that holds them");
  const std::string pictures = join(folder, pictures_name(split));
  const std::string labels = join(folder, labels_name(split));
  const std::string unlabelled = join(folder, kUnlabelled);
  NAT_CHECK(
      is_file(pictures), ErrorKind::data, printable(folder), ": no ", name(split),
      " pictures (looked for ", pictures_name(split), "); unpack the archive again",
      is_file(unlabelled) ? str(", or give stl10:", printable(unlabelled), " to train on") : "");
  NAT_CHECK(is_file(labels), ErrorKind::data, printable(folder), ": ", pictures_name(split),
            " is there but ", labels_name(split), " is missing; unpack the archive again");
  return {pictures, labels};
}

// ---- contents -----------------------------------------------------------------------------------

constexpr int kSide = 96;
constexpr int kPlane = kSide * kSide;
constexpr int kPictureBytes = 3 * kPlane;
constexpr int kClasses = 10;

std::int64_t count_pictures(const NamedFile& file, const std::string& path) {
  const std::int64_t n = file.size() / kPictureBytes, left_over = file.size() % kPictureBytes;
  NAT_CHECK(file.size() > 0, ErrorKind::data, printable(path),
            ": is empty; download the data set again");
  NAT_CHECK(left_over == 0, ErrorKind::data, printable(path), ": ", left_over,
            " bytes left over after ", n, " pictures of ", kPictureBytes,
            " bytes; the file is cut off or of another format, download it again");
  NAT_CHECK(n <= std::numeric_limits<std::int32_t>::max(), ErrorKind::data, printable(path),
            ": holds ", n, " pictures, more than 2^31 - 1; it is no file of STL-10");
  return n;
}

std::vector<std::int32_t> read_labels(const SplitFiles& files, std::int64_t pictures) {
  const NamedFile file(files.labels);
  NAT_CHECK(file.size() == pictures, ErrorKind::data, printable(files.labels), ": holds ",
            file.size(), " labels but ", printable(files.pictures), " holds ", pictures,
            " pictures; use two files of the same set");
  Bytes bytes(static_cast<std::size_t>(pictures));
  file.read(0, bytes.data(), bytes.size());
  std::vector<std::int32_t> labels;
  for (const std::uint8_t label : bytes) {
    NAT_CHECK(label >= 1 && label <= kClasses, ErrorKind::data, printable(files.labels), ": label ",
              labels.size(), " is ", int{label}, ", not one of 1 to ", kClasses,
              "; the file is damaged or not STL-10, download it again");
    labels.push_back(label - 1);
  }
  return labels;
}

// Three planes, column by column, to rows of interleaved colours.
void interleave(const std::uint8_t* planes, std::uint8_t* pixels) {
  for (int y = 0; y < kSide; ++y) {
    for (int x = 0; x < kSide; ++x) {
      for (int c = 0; c < 3; ++c) *pixels++ = planes[c * kPlane + x * kSide + y];
    }
  }
}

// The pictures at these positions, one after the other. No other is read, and none is held twice.
Bytes read_pictures(const NamedFile& file, const std::vector<std::int64_t>& records, int threads) {
  Bytes pixels(records.size() * kPictureBytes);
  parallel_for(std::ssize(records), threads, [&](std::int64_t i) {
    std::uint8_t planes[kPictureBytes];
    file.read(records[static_cast<std::size_t>(i)] * kPictureBytes, planes, kPictureBytes);
    interleave(planes, pixels.data() + i * kPictureBytes);
  });
  return pixels;
}

}  // namespace

bool looks_like_stl10(const std::string& path) {
  if (!is_file(path)) return !find_folder(path).empty();
  return is_labelled_name(name_of(path)) || name_of(path) == kUnlabelled;
}

bool stl10_has_split(const std::string& path, Split split) {
  if (is_single_file(path)) return split == Split::train;
  const std::string folder = find_folder(path);
  return !folder.empty() && is_file(join(folder, pictures_name(split)));
}

std::vector<std::string> stl10_files(const std::string& path) {
  if (is_single_file(path)) return {path};
  const std::string folder = find_folder(path);
  std::vector<std::string> files{join(folder, kUnlabelled), join(folder, kClassNames)};
  for (const Split split : {Split::train, Split::test}) {
    files.push_back(join(folder, pictures_name(split)));
    files.push_back(join(folder, labels_name(split)));
  }
  return files;
}

std::unique_ptr<Dataset> open_stl10(const std::string& path, Split split, std::int64_t limit,
                                    int threads) {
  const SplitFiles files = split_files(path, split);
  const NamedFile file(files.pictures);
  const std::int64_t n = count_pictures(file, files.pictures);

  Catalog catalog;
  catalog.format = name(Format::stl10);
  catalog.source = path;
  catalog.shape = {kSide, kSide, 3};
  std::vector<std::int32_t> labels;
  if (!files.labels.empty()) {
    labels = read_labels(files, n);
    catalog.class_names = listed_classes(join(folder_of(files.labels), kClassNames), kClasses);
  }
  catalog.records = evenly_spaced(n, limit, labels);
  catalog.size = std::ssize(catalog.records);
  if (!labels.empty()) {
    for (const std::int64_t record : catalog.records) {
      catalog.labels.push_back(labels[static_cast<std::size_t>(record)]);
    }
  }
  Bytes pixels = read_pictures(file, catalog.records, threads);
  catalog.content = crc32_of(pixels.data(), pixels.size());
  return std::make_unique<MemoryDataset>(std::move(catalog), std::move(pixels));
}

}  // namespace nat::data
