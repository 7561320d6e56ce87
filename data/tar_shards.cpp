#include "data/tar_shards.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <string_view>

#include "data/class_folders.h"
#include "data/files.h"
#include "data/parallel.h"
#include "data/tar_archive.h"
#include "data/tar_files.h"
#include "kernels/check.h"

namespace nat::data {
namespace {

// ---- what is in the archives --------------------------------------------------------------------

struct Item {
  std::int32_t archive = 0;
  std::string_view path;  // below the root of the split, a part of member->name
  const TarMember* member = nullptr;
};

struct Contents {
  std::vector<std::shared_ptr<const TarIndex>> archives;
  std::vector<Item> items;           // in the order of the archives
  std::vector<std::string> folders;  // directly below the root, sorted
  std::vector<std::string> remarks;
  std::string first_picture;  // directly in the root
  std::int64_t pictures = 0;  // directly in the root

  // Finds out what lies at the root.
  void look() {
    std::set<std::string, std::less<>> names;
    first_picture.clear();
    pictures = 0;
    for (const Item& item : items) {
      const std::string_view top = item.path.substr(0, item.path.find('/'));
      if (top.empty()) continue;
      if (top.size() < item.path.size() || item.member->is_folder) {
        if (!names.contains(top)) names.emplace(top);
      } else if (std::string name(top); has_picture_name(name)) {
        if (pictures++ == 0) first_picture = std::move(name);
      }
    }
    folders.assign(names.begin(), names.end());
  }

  // Is it so below a folder at the root that its folders are classes?
  bool has_classes_in(const std::string& folder) const {
    Contents below = *this;
    below.descend(folder);
    return below.has_classes();
  }
  bool has_classes() const { return !without_classes(folders, pictures > 0); }

  // Makes a folder at the root the root.
  void descend(std::string folder) {
    folder += '/';
    std::erase_if(items, [&](const Item& item) { return !item.path.starts_with(folder); });
    for (Item& item : items) item.path.remove_prefix(folder.size());
    look();
  }
};

Contents read_contents(const TarFiles& shards, int threads) {
  Contents contents;
  contents.archives.resize(shards.names.size());
  parallel_for(std::ssize(shards.names), threads, [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    contents.archives[at] = tar_index(shards.path(at));
  });
  bool has_root = false;
  for (std::size_t i = 0; i < contents.archives.size(); ++i) {
    for (const TarMember& member : contents.archives[i]->members) {
      has_root = has_root || member.name.empty();
      contents.items.push_back({static_cast<std::int32_t>(i), member.name, &member});
    }
  }
  contents.look();
  while (!has_root && contents.folders.size() == 1 && contents.pictures == 0) {
    contents.descend(contents.folders.front());
  }
  return contents;
}

// Nothing when there is no such split.
std::optional<Contents> read_split(const TarFiles& shards, Split split, int threads) {
  Contents contents = read_contents(shards, threads);
  if (!shards.hold_all_splits) return contents;
  const auto is_labelled = [&](const std::string& folder) {
    return contents.has_classes_in(folder);
  };
  const std::optional<std::string> folder = split_folder(contents.folders, split, is_labelled);
  if (!folder) return {};
  if (split == Split::test) note_passed_over(contents.folders, *folder, contents.remarks);
  if (!folder->empty()) contents.descend(*folder);
  return contents;
}

// ---- class folders ------------------------------------------------------------------------------

// The order in which image_folder.h walks: the files of a folder, then what its folders hold.
bool is_met_before(std::string_view a, std::string_view b) {
  const auto [end_a, end_b] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  const std::string_view common = a.substr(0, static_cast<std::size_t>(end_a - a.begin()));
  const std::size_t begin = common.rfind('/') + 1;  // 0 where there is none
  a.remove_prefix(begin);
  b.remove_prefix(begin);
  const std::size_t slash_a = a.find('/'), slash_b = b.find('/');
  const bool in_folder_a = slash_a != std::string_view::npos;
  const bool in_folder_b = slash_b != std::string_view::npos;
  if (in_folder_a != in_folder_b) return in_folder_b;
  return a.substr(0, slash_a) < b.substr(0, slash_b);
}

// What is found, in the order of ids.
struct Pictures {
  std::vector<Item> items;
  std::vector<std::int32_t> labels;
  std::vector<std::string> class_names;
  std::vector<std::string> remarks;
};

Pictures in_class_folders(const Contents& contents) {
  Pictures found;
  for (const Item& item : contents.items) {
    const bool is_picture = !item.member->is_folder && has_picture_name(std::string(item.path));
    if (is_picture) found.items.push_back(item);
  }
  std::sort(found.items.begin(), found.items.end(), [](const Item& a, const Item& b) {
    return a.archive != b.archive ? a.archive < b.archive : is_met_before(a.path, b.path);
  });
  if (!contents.has_classes()) {
    note_pictures_beside(contents.folders.size(), contents.first_picture, contents.pictures,
                         found.remarks);
    return found;
  }
  found.class_names = contents.folders;
  note_split_names(found.class_names, found.remarks);
  for (const Item& item : found.items) {
    const std::string_view name = item.path.substr(0, item.path.find('/'));
    const auto at = std::lower_bound(found.class_names.begin(), found.class_names.end(), name);
    found.labels.push_back(static_cast<std::int32_t>(at - found.class_names.begin()));
  }
  note_empty_classes(found.labels, found.class_names, found.remarks);
  return found;
}

// ---- samples of WebDataset ----------------------------------------------------------------------

struct KeyAndKind {
  std::string_view key;  // a/b of a/b.seg.png
  std::string kind;      // seg.png, in small letters
};

KeyAndKind split_name(std::string_view path) {
  const std::size_t base = path.rfind('/') + 1;  // 0 where there is none
  const std::size_t dot = path.find('.', base);
  if (dot == std::string_view::npos) return {path, ""};
  return {path.substr(0, dot), in_small_letters(std::string(path.substr(dot + 1)))};
}

bool is_label(const Item& item) {
  return !item.member->is_folder && split_name(item.path).kind == "cls";
}

bool is_meta(std::string_view path) {
  return path.starts_with("__") || path.substr(path.rfind('/') + 1).starts_with("__");
}

struct Sample {
  std::string_view key;
  std::int32_t archive = -1;
  const Item* picture = nullptr;
  const Item* label = nullptr;
  int pictures = 0;
};

std::vector<Sample> collect_samples(const Contents& contents) {
  std::vector<Sample> samples;
  for (const Item& item : contents.items) {
    if (item.member->is_folder || is_meta(item.path)) continue;
    const auto [key, kind] = split_name(item.path);
    if (kind.empty()) continue;
    if (samples.empty() || samples.back().key != key || samples.back().archive != item.archive) {
      samples.push_back({key, item.archive});
    }
    Sample& sample = samples.back();
    if (kind == "cls") sample.label = &item;
    if (kind.find('.') != std::string::npos || !has_picture_name("." + kind)) continue;
    if (sample.pictures++ == 0) sample.picture = &item;
  }
  return samples;
}

// Reads labels in the order of the archives.
class LabelReader {
 public:
  explicit LabelReader(const TarFiles& shards) : shards_(shards) {}

  std::int32_t read(const Item& item) {
    const std::string text = text_of(item);
    constexpr const char* kBlanks = " \t\r\n";
    std::string_view word = text;
    word.remove_prefix(std::min(word.find_first_not_of(kBlanks), word.size()));
    word = word.substr(0, word.find_last_not_of(kBlanks) + 1);
    constexpr std::int32_t kMostClasses = 1'000'000;
    std::int32_t label = -1;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), label);
    const bool is_number = error == std::errc() && end == word.data() + word.size();
    if (!is_number || label < 0 || label >= kMostClasses || item.member->size > kMostBytes) {
      fail(item, str("is '", printable(word), "', not a number from 0 to ", kMostClasses - 1));
    }
    return label;
  }

 private:
  static constexpr std::int64_t kMostBytes = 32;

  [[noreturn]] void fail(const Item& item, const std::string& reason) const {
    throw Error(
        ErrorKind::data,
        str(printable(shards_.path(static_cast<std::size_t>(item.archive))), ": label '",
            printable(item.member->name), "' ", reason, "; correct it and pack the archive again"));
  }

  // The start of the member.
  std::string text_of(const Item& item) {
    std::string text(static_cast<std::size_t>(std::min(kMostBytes, item.member->size)), '\0');
    try {
      if (archive_ != item.archive) {
        file_.emplace(shards_.path(static_cast<std::size_t>(item.archive)));
        archive_ = item.archive;
      }
      file_->read(item.member->offset, reinterpret_cast<std::uint8_t*>(text.data()), text.size());
    } catch (const Error& error) {
      fail(item, error.what());
    }
    return text;
  }

  const TarFiles& shards_;
  std::int32_t archive_ = -1;
  std::optional<OpenFile> file_;
};

Pictures in_samples(const Contents& contents, const TarFiles& shards) {
  Pictures found;
  LabelReader reader(shards);
  std::int64_t without_picture = 0, with_several = 0;
  for (const Sample& sample : collect_samples(contents)) {
    if (sample.picture == nullptr) {
      if (sample.label != nullptr) ++without_picture;
      continue;
    }
    NAT_CHECK(sample.label != nullptr, ErrorKind::data,
              printable(shards.path(static_cast<std::size_t>(sample.archive))), ": sample '",
              printable(sample.key), "' has no .cls beside its picture, as others have; pack all ",
              "labels or none");
    if (sample.pictures > 1) ++with_several;
    found.items.push_back(*sample.picture);
    found.labels.push_back(reader.read(*sample.label));
  }
  if (without_picture > 0) {
    found.remarks.push_back(str(without_picture, " samples have a label and no picture"));
  }
  if (with_several > 0) {
    found.remarks.push_back(
        str(with_several, " samples have several pictures, of which the first one is taken"));
  }
  if (found.labels.empty()) return found;
  found.class_names =
      numbered_classes(1 + *std::max_element(found.labels.begin(), found.labels.end()));
  const std::set<std::int32_t> shown(found.labels.begin(), found.labels.end());
  if (shown.size() < found.class_names.size()) {
    found.remarks.push_back(str(found.class_names.size() - shown.size(), " of the classes 0 to ",
                                found.class_names.size() - 1, " have no pictures"));
  }
  return found;
}

// ---- a split ------------------------------------------------------------------------------------

void refuse_voc(const std::string& path, const Contents& contents) {
  const auto has = [&](const char* folder) {
    return std::binary_search(contents.folders.begin(), contents.folders.end(), folder);
  };
  NAT_CHECK(!has("JPEGImages") || !has("ImageSets"), ErrorKind::data, printable(path),
            ": holds Pascal VOC's layout, whose labels are in files beside the pictures; unpack it "
            "and give voc:FOLDER");
}

bool holds_labels(const Contents& contents) {
  return std::any_of(contents.items.begin(), contents.items.end(), is_label);
}

void check_same_classes(const std::string& path, const Contents& test, int threads) {
  const std::optional<TarFiles> shards = find_tar_files(path, Split::train);
  const std::optional<Contents> train = read_split(*shards, Split::train, threads);
  if (!test.has_classes() || !train->has_classes() || holds_labels(*train)) return;
  require_same_classes(path, "class folders", train->folders, test.folders);
}

Catalog make_catalog(const std::string& path, const TarFiles& shards, const Contents& contents,
                     Pictures found) {
  Catalog catalog;
  catalog.format = name(Format::tar);
  catalog.source = path;
  catalog.remarks = shards.remarks;
  for (const auto& archive : contents.archives) {
    catalog.remarks.insert(catalog.remarks.end(), archive->remarks.begin(), archive->remarks.end());
  }
  catalog.remarks.insert(catalog.remarks.end(), contents.remarks.begin(), contents.remarks.end());
  catalog.remarks.insert(catalog.remarks.end(), found.remarks.begin(), found.remarks.end());
  catalog.labels = std::move(found.labels);
  catalog.class_names = std::move(found.class_names);
  for (const Item& item : found.items) {
    // The name of a single archive is no part of the data: it may be renamed.
    const std::string& archive = shards.names[static_cast<std::size_t>(item.archive)];
    catalog.paths.push_back(join(shards.names.size() == 1 ? "" : archive, std::string(item.path)));
  }
  return catalog;
}

PictureParts parts_of(const TarFiles& shards, const std::vector<Item>& items) {
  PictureParts parts;
  for (std::size_t i = 0; i < shards.names.size(); ++i) parts.archives.push_back(shards.path(i));
  for (const Item& item : items) {
    parts.parts.push_back({item.archive, item.member->offset, item.member->size});
  }
  return parts;
}

}  // namespace

bool tar_shards_have_split(const std::string& path, Split split) {
  const std::optional<TarFiles> shards = find_tar_files(path, split);
  if (!shards) return false;
  return !shards->hold_all_splits || read_split(*shards, split, 0).has_value();
}

std::unique_ptr<Dataset> open_tar_shards(const std::string& path, Split split,
                                         const PictureFileOptions& options) {
  const std::string none =
      str(printable(path), ": no ", name(split),
          " pictures (looked for train and test, val, valid or validation in the names of ",
          "archives and folders); give archives that have both");
  const std::optional<TarFiles> shards = find_tar_files(path, split);
  NAT_CHECK(shards, ErrorKind::data, none);
  const std::optional<Contents> contents = read_split(*shards, split, options.threads);
  NAT_CHECK(contents, ErrorKind::data, none);
  refuse_voc(path, *contents);

  const bool samples = holds_labels(*contents);
  Pictures found = samples ? in_samples(*contents, *shards) : in_class_folders(*contents);
  PictureParts parts = parts_of(*shards, found.items);
  Catalog catalog = make_catalog(path, *shards, *contents, std::move(found));
  NAT_CHECK(!catalog.paths.empty(), ErrorKind::data, printable(path),
            ": no pictures (looked for .jpg .jpeg .png .bmp .ppm .pgm)",
            catalog.remarks.empty() ? "; check the path" : "; " + catalog.remarks.front());
  if (split == Split::test && !samples) check_same_classes(path, *contents, options.threads);
  return open_picture_parts(std::move(catalog), std::move(parts), options);
}

}  // namespace nat::data
