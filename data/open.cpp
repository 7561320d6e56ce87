#include "data/open.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "data/cifar.h"
#include "data/files.h"
#include "data/idx.h"
#include "data/image_folder.h"
#include "data/store.h"
#include "data/tar_files.h"
#include "data/tar_shards.h"
#include "data/voc.h"
#include "kernels/check.h"

namespace nat::data {
namespace {

constexpr std::array kFormats{Format::idx,    Format::cifar10, Format::cifar100,
                              Format::folder, Format::voc,     Format::tar};

// "mnist:PATH" is a mistyped format, "a/b:c" and "C" are not.
std::string unknown_prefix(const std::string& text) {
  const auto colon = text.find(':');
  if (colon == std::string::npos || exists(text)) return "";
  const std::string prefix = text.substr(0, colon);
  return prefix.find('/') == std::string::npos ? prefix : "";
}

Format detect(const std::string& path) {
  if (is_file(path)) {
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
  if (looks_like_voc(path)) return Format::voc;
  return looks_like_tar_files(path) ? Format::tar : Format::folder;
}

// ImageNet-like trees of big pictures stay on disk; what fits is decoded once.
bool fits_memory(const Dataset& pictures, const OpenOptions& options) {
  if (options.keep != Keep::automatic) return options.keep == Keep::memory;
  return pictures.size() * pictures.shape().bytes() <= options.memory_limit;
}

// Of the formats folder, voc and tar.
std::unique_ptr<Dataset> open_files(const DatasetSpec& spec, Split split, std::int64_t limit,
                                    const OpenOptions& options) {
  const auto open = spec.format == Format::voc   ? open_voc
                    : spec.format == Format::tar ? open_tar_shards
                                                 : open_image_folder;
  std::unique_ptr<Dataset> pictures = open(spec.path, split,
                                           {.picture_size = options.picture_size,
                                            .limit = limit,
                                            .threads = options.threads,
                                            .max_bad_percent = options.max_bad_percent,
                                            .quarantined = options.quarantined});
  check_bad_share(*pictures, options.max_bad_percent);
  if (!fits_memory(*pictures, options)) return pictures;
  std::unique_ptr<Dataset> stored = load_into_memory(*pictures, options.threads);
  check_bad_share(*stored, options.max_bad_percent);
  return stored;
}

}  // namespace

const char* name(Format format) {
  switch (format) {
    case Format::idx:
      return "idx";
    case Format::cifar10:
      return "cifar10";
    case Format::cifar100:
      return "cifar100";
    case Format::folder:
      return "folder";
    case Format::voc:
      return "voc";
    case Format::tar:
      return "tar";
  }
  return "";
}

const char* name(Split split) { return split == Split::train ? "train" : "test"; }

std::string to_string(const DatasetSpec& spec) { return str(name(spec.format), ":", spec.path); }

DatasetSpec parse_spec(const std::string& text) {
  const auto require = [](const std::string& path) {
    NAT_CHECK(!path.empty(), ErrorKind::usage,
              "data set: the path is empty; give a folder or file");
    NAT_CHECK(exists(path) || is_tar_range(path), ErrorKind::data, printable(path),
              ": no such file or folder; check the path of the data set");
  };
  for (const Format format : kFormats) {
    const std::string prefix = str(name(format), ":");
    if (!text.starts_with(prefix)) continue;
    const std::string path = text.substr(prefix.size());
    require(path);
    return {format, path};
  }
  const std::string prefix = unknown_prefix(text);
  NAT_CHECK(prefix.empty(), ErrorKind::usage, "data set: unknown format '", printable(prefix),
            "' in '", printable(text), "'; use idx:, cifar10:, cifar100:, folder:, voc: or tar:");
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

bool has_split(const DatasetSpec& spec, Split split) {
  switch (spec.format) {
    case Format::idx:
      return idx_has_split(spec.path, split);
    case Format::cifar10:
    case Format::cifar100:
      return cifar_has_split(spec.path, spec.format, split);
    case Format::folder:
      return image_folder_has_split(spec.path, split);
    case Format::voc:
      return voc_has_split(spec.path, split);
    case Format::tar:
      return tar_shards_have_split(spec.path, split);
  }
  return false;
}

std::unique_ptr<Dataset> open_dataset(const DatasetSpec& spec, Split split,
                                      const OpenOptions& options) {
  const std::int64_t limit = options.limit.value_or(-1);
  NAT_CHECK(!options.limit || limit >= 1, ErrorKind::usage, "limit: ", limit,
            " pictures is not possible; give at least 1");
  NAT_CHECK(options.picture_size >= 0 && options.picture_size <= kMaxPictureSize, ErrorKind::usage,
            "picture size: ", options.picture_size, " is out of range; give 1 to ", kMaxPictureSize,
            ", or 0 to choose from the pictures");
  switch (spec.format) {
    case Format::idx:
      return open_idx(spec.path, split, limit);
    case Format::cifar10:
    case Format::cifar100:
      return open_cifar(spec.path, spec.format, split, limit);
    case Format::folder:
    case Format::voc:
    case Format::tar:
      break;
  }
  return open_files(spec, split, limit, options);
}

}  // namespace nat::data
