#include "data/open.h"

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "data/cifar.h"
#include "data/files.h"
#include "data/idx.h"
#include "data/image_folder.h"
#include "data/packed.h"
#include "data/stl10.h"
#include "data/store.h"
#include "data/tar_files.h"
#include "data/tar_shards.h"
#include "data/tiny_imagenet.h"
#include "data/voc.h"
#include "kernels/check.h"

namespace nat::data {
namespace {

// ---- one row a format ---------------------------------------------------------------------------

struct Reader {
  Format format;
  const char* name;
  bool packable;
  bool (*has_split)(const std::string& path, Split split);
  std::unique_ptr<Dataset> (*open)(const std::string& path, Split split,
                                   const OpenOptions& options);
};

std::int64_t limit_of(const OpenOptions& options) { return options.limit.value_or(-1); }

template <Format format>
bool cifar_split(const std::string& path, Split split) {
  return cifar_has_split(path, format, split);
}

template <Format format>
std::unique_ptr<Dataset> open_cifar_records(const std::string& path, Split split,
                                            const OpenOptions& options) {
  return open_cifar(path, format, split, limit_of(options));
}

std::unique_ptr<Dataset> open_idx_records(const std::string& path, Split split,
                                          const OpenOptions& options) {
  return open_idx(path, split, limit_of(options));
}

std::unique_ptr<Dataset> open_stl10_records(const std::string& path, Split split,
                                            const OpenOptions& options) {
  return open_stl10(path, split, limit_of(options), options.threads);
}

// ImageNet-like trees of big pictures stay on disk; what fits is decoded once.
bool fits_memory(const Dataset& pictures, const OpenOptions& options) {
  if (options.keep != Keep::automatic) return options.keep == Keep::memory;
  return pictures.size() * pictures.shape().bytes() <= options.memory_limit;
}

// Pictures that are files of their own, or were before they were packed.
template <auto open>
std::unique_ptr<Dataset> open_files(const std::string& path, Split split,
                                    const OpenOptions& options) {
  std::unique_ptr<Dataset> pictures = open(path, split,
                                           {.picture_size = options.picture_size,
                                            .limit = limit_of(options),
                                            .threads = options.threads,
                                            .max_bad_percent = options.max_bad_percent,
                                            .quarantined = options.quarantined});
  check_bad_share(*pictures, options.max_bad_percent);
  if (!fits_memory(*pictures, options)) return pictures;
  std::unique_ptr<Dataset> stored = load_into_memory(*pictures, options.threads);
  check_bad_share(*stored, options.max_bad_percent);
  return stored;
}

constexpr Reader kReaders[] = {
    {Format::idx, "idx", false, idx_has_split, open_idx_records},
    {Format::cifar10, "cifar10", false, cifar_split<Format::cifar10>,
     open_cifar_records<Format::cifar10>},
    {Format::cifar100, "cifar100", false, cifar_split<Format::cifar100>,
     open_cifar_records<Format::cifar100>},
    {Format::stl10, "stl10", false, stl10_has_split, open_stl10_records},
    {Format::folder, "folder", true, image_folder_has_split, open_files<open_image_folder>},
    {Format::tiny_imagenet, "tiny_imagenet", true, tiny_imagenet_has_split,
     open_files<open_tiny_imagenet>},
    {Format::voc, "voc", true, voc_has_split, open_files<open_voc>},
    {Format::tar, "tar", true, tar_shards_have_split, open_files<open_tar_shards>},
    {Format::packed, "packed", false, packed_has_split, open_files<open_packed>},
};

const Reader& reader_of(Format format) {
  return *std::find_if(std::begin(kReaders), std::end(kReaders),
                       [&](const Reader& reader) { return reader.format == format; });
}

// ---- which format -------------------------------------------------------------------------------

// "mnist:PATH" is a mistyped format, "a/b:c" and "C" are not.
std::string unknown_prefix(const std::string& text) {
  const auto colon = text.find(':');
  if (colon == std::string::npos || exists(text)) return "";
  const std::string prefix = text.substr(0, colon);
  return prefix.find('/') == std::string::npos ? prefix : "";
}

Format detect(const std::string& path) {
  if (is_file(path)) {
    if (looks_like_stl10(path)) return Format::stl10;
    if (looks_like_tar_files(path)) return Format::tar;
    NAT_CHECK(
        looks_like_idx(path), ErrorKind::data, printable(path),
        ": is a file but not an IDX pictures file or a tar archive; give a folder of pictures");
    return Format::idx;
  }
  NAT_CHECK(is_folder(path), ErrorKind::data, printable(path),
            ": is neither a file nor a folder; give a data set");
  if (looks_like_idx(path)) return Format::idx;
  for (const Format format : {Format::cifar10, Format::cifar100}) {
    if (looks_like_cifar(path, format)) return format;
  }
  // open_cifar has the right message for the pickled version.
  if (looks_like_pickled_cifar(path)) return Format::cifar10;
  if (looks_like_stl10(path)) return Format::stl10;
  if (looks_like_packed(path)) return Format::packed;
  if (looks_like_tiny_imagenet(path)) return Format::tiny_imagenet;
  if (looks_like_voc(path)) return Format::voc;
  return looks_like_tar_files(path) ? Format::tar : Format::folder;
}

}  // namespace

const char* name(Format format) { return reader_of(format).name; }

bool is_packable(Format format) { return reader_of(format).packable; }

const char* name(Split split) { return split == Split::train ? "train" : "test"; }

std::string spec_form() {
  std::string prefixes;
  for (const Reader& reader : kReaders)
    prefixes += str(prefixes.empty() ? "" : "|", reader.name, ":");
  return str("[", prefixes, "]PATH");
}

std::string to_string(const DatasetSpec& spec) { return str(name(spec.format), ":", spec.path); }

DatasetSpec parse_spec(const std::string& text) {
  const auto require = [](const std::string& path) {
    NAT_CHECK(!path.empty(), ErrorKind::usage,
              "data set: the path is empty; give a folder or file");
    NAT_CHECK(exists(path) || is_tar_range(path), ErrorKind::data, printable(path),
              ": no such file or folder; check the path of the data set");
  };
  for (const Reader& reader : kReaders) {
    const std::string prefix = str(reader.name, ":");
    if (!text.starts_with(prefix)) continue;
    const std::string path = text.substr(prefix.size());
    require(path);
    return {reader.format, path};
  }
  const std::string prefix = unknown_prefix(text);
  NAT_CHECK(prefix.empty(), ErrorKind::usage, "data set: unknown format '", printable(prefix),
            "' in '", printable(text), "'; give ", spec_form());
  require(text);
  if (is_tar_range(text)) return {Format::tar, text};
  return {detect(text), text};
}

std::string absolute_spec(const std::string& text) {
  const std::string path = parse_spec(text).path;
  const std::filesystem::path whole = std::filesystem::absolute(path);
  const std::filesystem::path normal = whole.lexically_normal();
  std::error_code error;  // "link/.." may be another folder than the name says
  const bool is_same = std::filesystem::equivalent(whole, normal, error) && !error;
  return text.substr(0, text.size() - path.size()) + (is_same ? normal : whole).string();
}

bool name_the_same(const std::string& a, const std::string& b) {
  const auto place = [](const DatasetSpec& spec) {
    std::error_code ignored;  // archives of a range are no file together
    return std::filesystem::weakly_canonical(spec.path, ignored);
  };
  try {
    const DatasetSpec one = parse_spec(a), other = parse_spec(b);
    return a == b || (one.format == other.format && place(one) == place(other));
  } catch (const Error&) {
    return false;  // who opens them says what is wrong
  }
}

bool has_split(const DatasetSpec& spec, Split split) {
  return reader_of(spec.format).has_split(spec.path, split);
}

std::unique_ptr<Dataset> open_dataset(const DatasetSpec& spec, Split split,
                                      const OpenOptions& options) {
  NAT_CHECK(!options.limit || *options.limit >= 1, ErrorKind::usage, "limit: ", limit_of(options),
            " pictures is not possible; give at least 1");
  NAT_CHECK(options.picture_size >= 0 && options.picture_size <= kMaxPictureSize, ErrorKind::usage,
            "picture size: ", options.picture_size, " is out of range; give 1 to ", kMaxPictureSize,
            ", or 0 to choose from the pictures");
  return reader_of(spec.format).open(spec.path, split, options);
}

}  // namespace nat::data
