#include "data/source_files.h"

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>

#include "data/cifar.h"
#include "data/files.h"
#include "data/idx.h"
#include "data/image_folder.h"

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

bool has_voc_name(const std::string& name) {
  return has_picture_name(name) || name.ends_with(".txt");
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
      return Search(file, has_voc_name).finds_in(spec.path);
  }
  return false;
}

}  // namespace nat::data
