#include "data/image_folder.h"

#include <algorithm>
#include <set>

#include "data/class_folders.h"
#include "data/files.h"
#include "kernels/check.h"

namespace nat::data {
namespace {

// What a walk found, in the order of ids.
struct Scan {
  std::vector<std::string> paths;  // relative to the root
  std::vector<std::int32_t> labels;
  std::vector<std::string> class_names;
  std::vector<std::string> left_out;  // folders, relative to the root
  std::vector<std::string> remarks;
};

// Does `path` lie in `folder` or is it that folder? Both without links.
bool lies_in(const std::string& path, const std::string& folder) {
  return join(path, "").starts_with(join(folder, ""));
}

class Walk {
 public:
  explicit Walk(std::string root) : root_(std::move(root)), real_root_(real_folder(root_)) {}

  // Appends the pictures at and below root/relative. A folder that belongs elsewhere is left out: a
  // link back up, into another class, or to what another link leads to.
  void collect(const std::string& relative, Scan& found) {
    const std::string folder = relative.empty() ? root_ : join(root_, relative);
    if (is_met_by_itself(folder) || !visited_.insert(folder_identity(folder)).second) {
      found.left_out.push_back(relative);
      return;
    }
    const Listing listing = list_folder(folder);
    for (const std::string& file : listing.files) {
      if (has_picture_name(file)) found.paths.push_back(join(relative, file));
    }
    for (const std::string& below : listing.folders) collect(join(relative, below), found);
  }

 private:
  // Does a link lead to a folder that the walk comes to anyway, or to one that holds the root?
  bool is_met_by_itself(const std::string& folder) const {
    if (!is_link(folder) || folder == root_) return false;
    const std::string real = real_folder(folder);
    if (lies_in(real_root_, real)) return true;
    const bool hidden = real.find("/.", real_root_.size()) != std::string::npos;
    return lies_in(real, real_root_) && !hidden;
  }

  std::string root_, real_root_;
  std::set<FolderIdentity> visited_;
};

bool is_flat(const Listing& root) {
  return without_classes(root.folders,
                         std::any_of(root.files.begin(), root.files.end(), has_picture_name));
}

void note_flat(const Listing& root, std::vector<std::string>& remarks) {
  const auto first = std::find_if(root.files.begin(), root.files.end(), has_picture_name);
  if (first == root.files.end()) return;
  note_pictures_beside(root.folders.size(), *first,
                       std::count_if(first, root.files.end(), has_picture_name), remarks);
}

Scan scan(const std::string& root) {
  const Listing top = list_folder(root);
  Scan found;
  Walk walk(root);
  if (is_flat(top)) {
    note_flat(top, found.remarks);
    walk.collect("", found);
    return found;
  }
  found.class_names = top.folders;
  note_split_names(found.class_names, found.remarks);
  for (std::size_t label = 0; label < top.folders.size(); ++label) {
    walk.collect(top.folders[label], found);
    found.labels.resize(found.paths.size(), static_cast<std::int32_t>(label));
  }
  return found;
}

// ---- splits -------------------------------------------------------------------------------------

std::optional<std::string> folder_of(const std::string& path, Split split, const Listing& listing) {
  return split_folder(listing.folders, split, [&](const std::string& folder) {
    return !is_flat(list_folder(join(path, folder)));
  });
}

// The folder below `path` that holds a split; "" when there is none.
std::string split_root(const std::string& path, Split split) {
  const std::optional<std::string> folder = folder_of(path, split, list_folder(path));
  if (!folder) return "";
  return folder->empty() ? path : join(path, *folder);
}

// Labels of the two splits mean the same only when the class folders are the same.
void check_same_classes(const std::string& path, const std::vector<std::string>& test_classes) {
  const Listing train = list_folder(split_root(path, Split::train));
  if (test_classes.empty() || is_flat(train)) return;
  require_same_classes(path, "class folders", train.folders, test_classes);
}

// ---- remarks ------------------------------------------------------------------------------------

std::vector<std::string> remarks_on(const Scan& found) {
  std::vector<std::string> remarks = found.remarks;
  if (const std::size_t count = found.left_out.size(); count > 0) {
    remarks.push_back(str("'", printable(found.left_out.front()),
                          "' is left out: its pictures are in the data set already",
                          count == 1 ? "" : str(" (one of ", count, " such folders)")));
  }
  note_empty_classes(found.labels, found.class_names, remarks);
  return remarks;
}

}  // namespace

bool image_folder_has_split(const std::string& path, Split split) {
  return is_folder(path) && !split_root(path, split).empty();
}

std::unique_ptr<Dataset> open_image_folder(const std::string& path, Split split,
                                           const PictureFileOptions& options) {
  NAT_CHECK(is_folder(path), ErrorKind::data, printable(path),
            ": is not a folder; give a folder of pictures");
  const std::string root = split_root(path, split);
  NAT_CHECK(!root.empty(), ErrorKind::data, printable(path), ": no test pictures (looked for ",
            printable(join(path, "test")),
            ", val, valid and validation); give a folder with train ", "and one of them");
  Scan found = scan(root);
  if (split == Split::test) {
    const Listing listing = list_folder(path);
    note_passed_over(listing.folders, *folder_of(path, split, listing), found.remarks);
  }
  NAT_CHECK(!found.paths.empty(), ErrorKind::data, printable(root),
            ": no pictures (looked for .jpg .jpeg .png .bmp .ppm .pgm); check the path");
  if (split == Split::test) check_same_classes(path, found.class_names);

  Catalog catalog;
  catalog.format = name(Format::folder);
  catalog.source = path;
  catalog.remarks = remarks_on(found);
  catalog.labels = std::move(found.labels);
  catalog.paths = std::move(found.paths);
  catalog.class_names = std::move(found.class_names);
  return open_picture_files(std::move(catalog), root, options);
}

}  // namespace nat::data
