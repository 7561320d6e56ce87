#include "data/source_files.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <system_error>

#include "data/cifar.h"
#include "data/class_folders.h"
#include "data/files.h"
#include "data/idx.h"
#include "data/packed.h"
#include "data/stl10.h"
#include "data/tar_files.h"

namespace nat::data {
namespace {

bool is_same(const std::string& a, const std::string& b) {
  std::error_code missing;
  return std::filesystem::equivalent(a, b, missing);
}

bool is_among(const std::vector<std::string>& files, const std::string& file) {
  return std::any_of(files.begin(), files.end(),
                     [&](const std::string& one) { return is_same(one, file); });
}

// Looks through a folder and all below it, each once.
class Search {
 public:
  // `takes` says of which names the data set reads files.
  Search(std::string file, bool (*takes)(const std::string& name))
      : file_(std::move(file)), takes_(takes) {}

  bool finds_in(const std::string& folder) {
    if (!visited_.insert(folder_identity(folder)).second) return false;
    const Listing listing = list_folder(folder);
    const auto is_it = [&](const std::string& name) {
      return takes_(name) && is_same(join(folder, name), file_);
    };
    const auto holds_it = [&](const std::string& name) { return finds_in(join(folder, name)); };
    return std::any_of(listing.files.begin(), listing.files.end(), is_it) ||
           std::any_of(listing.folders.begin(), listing.folders.end(), holds_it);
  }

 private:
  std::string file_;
  bool (*takes_)(const std::string& name);
  std::set<FolderIdentity> visited_;
};

bool has_listed_name(const std::string& name) {
  return has_picture_name(name) || name.ends_with(".txt");
}

// Of both splits.
std::vector<std::string> archives(const std::string& path) {
  std::vector<std::string> files;
  for (const Split split : {Split::train, Split::test}) {
    const std::optional<TarFiles> found = find_tar_files(path, split);
    for (std::size_t i = 0; found && i < found->names.size(); ++i) files.push_back(found->path(i));
  }
  return files;
}

std::vector<std::string> packed_parts(const std::string& path) {
  std::vector<std::string> files;
  for (const Split split : {Split::train, Split::test}) {
    const PackedFiles both = packed_files(path, split);
    files.insert(files.end(), {both.catalog, both.pixels});
  }
  return files;
}

}  // namespace

bool is_source_file(const DatasetSpec& spec, const std::string& file) {
  if (!is_file(file)) return false;
  if (is_file(spec.path) && is_same(spec.path, file)) return true;
  switch (spec.format) {
    case Format::idx:
      return is_among(idx_files(spec.path), file);
    case Format::cifar10:
    case Format::cifar100:
      return is_among(cifar_files(spec.path, spec.format), file);
    case Format::folder:
      return Search(file, has_picture_name).finds_in(spec.path);
    case Format::voc:
    case Format::tiny_imagenet:
      return Search(file, has_listed_name).finds_in(spec.path);
    case Format::stl10:
      return is_among(stl10_files(spec.path), file);
    case Format::tar:
      return is_among(archives(spec.path), file);
    case Format::packed:
      return is_among(packed_parts(spec.path), file);
  }
  return false;
}

}  // namespace nat::data
