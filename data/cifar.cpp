#include "data/cifar.h"

#include "data/files.h"
#include "data/store.h"
#include "kernels/check.h"

namespace nat::data {
namespace {

constexpr int kSide = 32;
constexpr int kPlane = kSide * kSide;
constexpr int kPixels = 3 * kPlane;

// What differs between the two sets.
struct Layout {
  const char* folder;
  const char* names_file;
  int label_bytes;  // the last one is the label
  int classes;
  int record_bytes() const { return label_bytes + kPixels; }
};

const Layout& layout_of(Format format) {
  static constexpr Layout kCifar10{"cifar-10-batches-bin", "batches.meta.txt", 1, 10};
  static constexpr Layout kCifar100{"cifar-100-binary", "fine_label_names.txt", 2, 100};
  return format == Format::cifar10 ? kCifar10 : kCifar100;
}

std::string batch_name(int number) { return str("data_batch_", number, ".bin"); }

bool holds_files(const std::string& folder, Format format) {
  if (format == Format::cifar100) {
    return is_file(join(folder, "train.bin")) || is_file(join(folder, "test.bin"));
  }
  for (int i = 1; i <= 5; ++i) {
    if (is_file(join(folder, batch_name(i)))) return true;
  }
  return is_file(join(folder, "test_batch.bin"));
}

// The folder that holds the files: the path itself or the usual folder below it; "" for neither.
std::string find_folder(const std::string& path, Format format) {
  for (const std::string& folder : {path, join(path, layout_of(format).folder)}) {
    if (holds_files(folder, format)) return folder;
  }
  return "";
}

std::vector<std::string> training_batches(const std::string& folder) {
  std::vector<std::string> found;
  for (int i = 1; i <= 5; ++i) {
    if (!is_file(join(folder, batch_name(i)))) continue;
    const auto before = static_cast<int>(found.size());
    NAT_CHECK(before == i - 1, ErrorKind::data, printable(folder), ": ", batch_name(i),
              " is there but ", batch_name(before + 1), " is missing; unpack the archive again");
    found.push_back(batch_name(i));
  }
  return found;
}

std::vector<std::string> split_files(const std::string& folder, Format format, Split split) {
  if (format == Format::cifar10 && split == Split::train) return training_batches(folder);
  const char* file = format == Format::cifar10 ? "test_batch.bin"
                     : split == Split::train   ? "train.bin"
                                               : "test.bin";
  if (!is_file(join(folder, file))) return {};
  return {file};
}

// All records of one split, one after the other, their sizes and labels checked.
Bytes read_records(const std::string& folder, const std::vector<std::string>& files,
                   Format format) {
  const Layout& layout = layout_of(format);
  const int record_bytes = layout.record_bytes();
  Bytes records;
  for (const std::string& file : files) {
    const std::string path = join(folder, file);
    GzReader reader(path);
    Bytes record(static_cast<std::size_t>(record_bytes));
    for (std::int64_t i = 0;; ++i) {
      const std::size_t got = reader.read(record.data(), record.size());
      NAT_CHECK(got > 0 || i > 0, ErrorKind::data, printable(path),
                ": is empty; download the data set again");
      if (got == 0) break;
      NAT_CHECK(got == record.size(), ErrorKind::data, printable(path), ": ", got,
                " bytes left over after ", i, " records of ", record_bytes,
                " bytes; the file is cut off or of another format, download it again");
      const int label = record[static_cast<std::size_t>(layout.label_bytes - 1)];
      NAT_CHECK(label < layout.classes, ErrorKind::data, printable(path), ": record ", i,
                " has label ", label, ", above ", layout.classes - 1,
                format == Format::cifar10 ? "; is this CIFAR-100? Then use cifar100:PATH"
                                          : "; the file is damaged or not CIFAR-100");
      records.insert(records.end(), record.begin(), record.end());
    }
  }
  return records;
}

// Three planes to interleaved colours.
void append_interleaved(const std::uint8_t* planes, Bytes& pixels) {
  for (int i = 0; i < kPlane; ++i) {
    for (int c = 0; c < 3; ++c) pixels.push_back(planes[c * kPlane + i]);
  }
}

// The message for a path that holds no CIFAR files of this format.
std::string missing_files(const std::string& path, Format format) {
  const std::string where = printable(path);
  if (looks_like_pickled_cifar(path)) {
    return str(where, ": the Python version of CIFAR (pickled) cannot be read; download the binary",
               " version (cifar-10-binary.tar.gz or cifar-100-binary.tar.gz)");
  }
  const Format other = format == Format::cifar10 ? Format::cifar100 : Format::cifar10;
  if (looks_like_cifar(path, other)) {
    return str(where, ": holds ", name(other), " files, not ", name(format), "; use ", name(other),
               ":PATH");
  }
  return str(where, ": no ", name(format), " files (looked for ",
             format == Format::cifar10 ? "data_batch_1.bin" : "train.bin",
             "); give the folder that holds them");
}

}  // namespace

bool looks_like_cifar(const std::string& path, Format format) {
  return !find_folder(path, format).empty();
}

bool looks_like_pickled_cifar(const std::string& path) {
  for (const char* tell_tale : {"data_batch_1", "test_batch"}) {
    if (is_file(join(path, tell_tale))) return true;
  }
  if (is_file(join(path, "train")) && is_file(join(path, "meta"))) return true;
  return is_folder(join(path, "cifar-10-batches-py")) || is_folder(join(path, "cifar-100-python"));
}

bool cifar_has_split(const std::string& path, Format format, Split split) {
  const std::string folder = find_folder(path, format);
  return !folder.empty() && !split_files(folder, format, split).empty();
}

std::vector<std::string> cifar_files(const std::string& path, Format format) {
  const std::string folder = find_folder(path, format);
  std::vector<std::string> files{join(folder, layout_of(format).names_file)};
  for (const Split split : {Split::train, Split::test}) {
    for (const std::string& file : split_files(folder, format, split)) {
      files.push_back(join(folder, file));
    }
  }
  return files;
}

std::unique_ptr<Dataset> open_cifar(const std::string& path, Format format, Split split,
                                    std::int64_t limit) {
  const std::string folder = find_folder(path, format);
  NAT_CHECK(!folder.empty(), ErrorKind::data, missing_files(path, format));
  const std::vector<std::string> files = split_files(folder, format, split);
  NAT_CHECK(!files.empty(), ErrorKind::data, printable(folder), ": no ", name(split), " file of ",
            name(format), "; unpack the archive again");
  const Bytes data = read_records(folder, files, format);

  const Layout& layout = layout_of(format);
  const std::int64_t n = static_cast<std::int64_t>(data.size()) / layout.record_bytes();
  const auto record_at = [&](std::int64_t i) { return data.data() + i * layout.record_bytes(); };
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < n; ++i) labels.push_back(record_at(i)[layout.label_bytes - 1]);

  Catalog catalog;
  catalog.format = name(format);
  catalog.source = path;
  catalog.shape = {kSide, kSide, 3};
  catalog.class_names = listed_classes(join(folder, layout.names_file), layout.classes);
  catalog.records = evenly_spaced(n, limit, labels);
  catalog.size = static_cast<std::int64_t>(catalog.records.size());
  Bytes pixels;
  pixels.reserve(static_cast<std::size_t>(catalog.size * kPixels));
  for (const std::int64_t i : catalog.records) {
    append_interleaved(record_at(i) + layout.label_bytes, pixels);
    catalog.labels.push_back(labels[static_cast<std::size_t>(i)]);
  }
  catalog.content = crc32_of(pixels.data(), pixels.size());
  return std::make_unique<MemoryDataset>(std::move(catalog), std::move(pixels));
}

}  // namespace nat::data
