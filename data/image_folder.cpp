#include "data/image_folder.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <set>

#include "data/files.h"
#include "data/parallel.h"
#include "data/resize.h"
#include "kernels/check.h"

namespace nat::data {
namespace {

// ---- the walk -----------------------------------------------------------------------------------

bool has_picture_name(const std::string& name) {
  static constexpr std::array kEndings{".jpg", ".jpeg", ".png",  ".bmp", ".ppm",
                                       ".pgm", ".tif",  ".tiff", ".webp"};
  const auto dot = name.rfind('.');
  if (dot == std::string::npos) return false;
  std::string ending = name.substr(dot);
  for (char& c : ending) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return std::find(kEndings.begin(), kEndings.end(), ending) != kEndings.end();
}

// What a walk found, in the order of ids.
struct Scan {
  std::vector<std::string> paths;  // relative to the root
  std::vector<std::int32_t> labels;
  std::vector<std::string> class_names;
};

class Walk {
 public:
  explicit Walk(std::string root) : root_(std::move(root)) {}

  // Appends the pictures at and below root/relative. A folder that was met before (a link back up,
  // or a second link to it) is left out.
  void collect(const std::string& relative, std::vector<std::string>& paths) {
    const std::string folder = relative.empty() ? root_ : join(root_, relative);
    if (!visited_.insert(folder_identity(folder)).second) return;
    const Listing listing = list_folder(folder);
    for (const std::string& file : listing.files) {
      if (has_picture_name(file)) paths.push_back(join(relative, file));
    }
    for (const std::string& below : listing.folders) collect(join(relative, below), paths);
  }

 private:
  std::string root_;
  std::set<FolderIdentity> visited_;
};

bool is_flat(const Listing& root) {
  return root.folders.empty() ||
         std::any_of(root.files.begin(), root.files.end(), has_picture_name);
}

Scan scan(const std::string& root) {
  const Listing top = list_folder(root);
  Scan found;
  Walk walk(root);
  if (is_flat(top)) {
    walk.collect("", found.paths);
    return found;
  }
  found.class_names = top.folders;
  for (std::size_t label = 0; label < top.folders.size(); ++label) {
    walk.collect(top.folders[label], found.paths);
    found.labels.resize(found.paths.size(), static_cast<std::int32_t>(label));
  }
  return found;
}

// ---- splits -------------------------------------------------------------------------------------

// The folder below `path` that holds a split; "" when there is none.
std::string split_root(const std::string& path, Split split) {
  const Listing top = list_folder(path);
  const auto has = [&](const char* folder) {
    return std::binary_search(top.folders.begin(), top.folders.end(), folder);
  };
  const char* test = has("test") ? "test" : has("val") ? "val" : nullptr;
  // A class may be called "train" (it is one in VOC): beside other classes it is no split.
  const bool splits = has("train") && (test != nullptr || top.folders.size() == 1);
  if (!splits) return split == Split::train ? path : "";
  if (split == Split::train) return join(path, "train");
  return test != nullptr ? join(path, test) : "";
}

// Labels of the two splits mean the same only when the class folders are the same.
void check_same_classes(const std::string& path, const std::vector<std::string>& test_classes) {
  const Listing train = list_folder(split_root(path, Split::train));
  if (test_classes.empty() || is_flat(train) || train.folders == test_classes) return;
  std::vector<std::string> different;
  std::set_symmetric_difference(train.folders.begin(), train.folders.end(), test_classes.begin(),
                                test_classes.end(), std::back_inserter(different));
  throw Error(
      ErrorKind::data,
      str(printable(path), ": the class folders of training and test pictures differ (first '",
          printable(different.front()), "', ", different.size(), " in all); make them the same"));
}

// ---- headers ------------------------------------------------------------------------------------

// What the header pass learns of one file.
struct Header {
  PictureFile file;
  std::string failure;
};

constexpr std::int64_t kStartBytes = 4096;
constexpr std::int64_t kLongStartBytes = std::int64_t{16} << 20;

PictureSize size_at(const std::string& path, const FileStart& start) {
  try {
    return read_size(start.bytes);
  } catch (const Error&) {
    if (start.size <= kStartBytes) throw;
    // Long EXIF data or a colour profile in front of the size.
    return read_size(read_start(path, kLongStartBytes).bytes);
  }
}

Header read_header(const std::string& path) {
  Header header;
  PictureFile& file = header.file;
  try {
    const FileStart start = read_start(path, kStartBytes);
    file.bytes = start.size;
    file.crc = crc32_of(start.bytes.data(), start.bytes.size());
    const PictureSize size = size_at(path, start);
    file.width = size.width;
    file.height = size.height;
  } catch (const Error& error) {
    header.failure = error.what();
  }
  return header;
}

std::vector<Header> read_headers(const std::string& root, const std::vector<std::string>& paths,
                                 int threads) {
  std::vector<Header> headers(paths.size());
  parallel_for(static_cast<std::int64_t>(paths.size()), threads, [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    headers[at] = read_header(join(root, paths[at]));
  });
  return headers;
}

// A run goes on with the data that it began with: what became of a quarantined file since then is
// no change of them.
void recall(const std::vector<Quarantined>& quarantined, std::vector<Header>& headers) {
  for (const Quarantined& picture : quarantined) {
    const auto at = static_cast<std::size_t>(picture.id);
    if (at < headers.size()) headers[at] = {picture.file, ""};
  }
}

// Small pictures are not enlarged to ImageNet's size: take the size that the data have.
int typical_short_side(const std::vector<Header>& headers) {
  constexpr int kImageNet = 256;
  std::vector<int> sides;
  for (const Header& header : headers) {
    if (header.failure.empty()) sides.push_back(std::min(header.file.width, header.file.height));
  }
  if (sides.empty()) return kImageNet;
  const auto middle = sides.begin() + static_cast<std::ptrdiff_t>(sides.size() / 2);
  std::nth_element(sides.begin(), middle, sides.end());
  return std::min(*middle, kImageNet);
}

// ---- the data set -------------------------------------------------------------------------------

class ImageFolder : public Dataset {
 public:
  ImageFolder(Catalog catalog, std::string root, std::vector<BadPicture> bad,
              const FolderOptions& options)
      : Dataset(std::move(catalog), std::move(bad)),
        root_(std::move(root)),
        max_bad_percent_(options.max_bad_percent) {
    for (const Quarantined& picture : options.quarantined) {
      if (picture.id < size()) quarantine(picture.id, picture.reason);
    }
  }

  PictureShape extent(std::int32_t id) const override {
    const PictureSize native = size_of(id);
    if (native.width == 0) return shape();  // a bad picture
    const PictureSize resized = resized_size(native, shape().height);
    return {resized.height, resized.width, shape().channels};
  }

  void read_window(std::int32_t id, int left, int top, std::uint8_t* out) const override {
    constexpr int kMidGrey = 128;
    std::memset(out, kMidGrey, static_cast<std::size_t>(shape().bytes()));
    if (is_bad(id)) return;
    try {
      const std::string& path = catalog().paths[static_cast<std::size_t>(id)];
      const Picture picture = decode(read_all(join(root_, path)));
      NAT_CHECK(picture.size == size_of(id), ErrorKind::data, "changed while it was in use");
      const int side = shape().height;
      resize_window(picture.pixels.get(), picture.size, resized_size(picture.size, side), left, top,
                    side, out);
      return;
    } catch (const Error& error) {
      quarantine(id, error.what());
    }
    check_bad_share(*this, max_bad_percent_);
  }

 private:
  PictureSize size_of(std::int32_t id) const {  // as stored in the file
    const PictureFile& file = catalog().files[static_cast<std::size_t>(id)];
    return {file.width, file.height};
  }

  std::string root_;
  double max_bad_percent_;
};

// Keeps only the positions of a scan that --limit leaves.
void apply_limit(Scan& found, std::int64_t limit) {
  const auto n = static_cast<std::int64_t>(found.paths.size());
  const std::vector<std::int64_t> kept = evenly_spaced(n, limit, found.labels);
  for (std::size_t i = 0; i < kept.size(); ++i) {
    const auto from = static_cast<std::size_t>(kept[i]);
    if (i == from) continue;
    found.paths[i] = std::move(found.paths[from]);
    if (!found.labels.empty()) found.labels[i] = found.labels[from];
  }
  found.paths.resize(kept.size());
  if (!found.labels.empty()) found.labels.resize(kept.size());
}

std::vector<std::string> remarks_on(const Scan& found) {
  std::vector<std::int64_t> members(found.class_names.size());
  for (const std::int32_t label : found.labels) ++members[static_cast<std::size_t>(label)];
  std::vector<std::string> remarks;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (members[i] > 0) continue;
    remarks.push_back(str("class '", printable(found.class_names[i]), "' has no pictures"));
  }
  return remarks;
}

std::uint64_t content_hash(const Scan& found, const std::vector<Header>& headers) {
  Fingerprint hash;
  for (std::size_t i = 0; i < headers.size(); ++i) {
    hash.add(found.paths[i]);
    hash.add(headers[i].file.bytes);
    hash.add(headers[i].file.crc);
  }
  return hash.value();
}

}  // namespace

bool image_folder_has_split(const std::string& path, Split split) {
  return is_folder(path) && !split_root(path, split).empty();
}

std::unique_ptr<Dataset> open_image_folder(const std::string& path, Split split,
                                           const FolderOptions& options) {
  NAT_CHECK(is_folder(path), ErrorKind::data, printable(path),
            ": is not a folder; give a folder of pictures");
  const std::string root = split_root(path, split);
  NAT_CHECK(!root.empty(), ErrorKind::data, printable(path), ": no test pictures (looked for ",
            printable(join(path, "test")), " and ", printable(join(path, "val")),
            "); give a folder with train and test or val");
  Scan found = scan(root);
  NAT_CHECK(!found.paths.empty(), ErrorKind::data, printable(root),
            ": no pictures (looked for .jpg .jpeg .png .bmp .ppm .pgm); check the path");
  if (split == Split::test) check_same_classes(path, found.class_names);

  Catalog catalog;
  catalog.format = name(Format::folder);
  catalog.source = path;
  catalog.remarks = remarks_on(found);
  apply_limit(found, options.limit);
  std::vector<Header> headers = read_headers(root, found.paths, options.threads);
  recall(options.quarantined, headers);
  const int side = options.picture_size > 0 ? options.picture_size : typical_short_side(headers);
  catalog.shape = {side, side, 3};
  catalog.size = static_cast<std::int64_t>(found.paths.size());
  catalog.content = content_hash(found, headers);
  catalog.labels = std::move(found.labels);
  catalog.paths = std::move(found.paths);
  for (const std::string& class_name : found.class_names) {
    catalog.class_names.push_back(printable(class_name));
  }

  std::vector<BadPicture> bad;
  for (std::size_t i = 0; i < headers.size(); ++i) {
    catalog.files.push_back(headers[i].file);
    if (!headers[i].failure.empty()) {
      bad.push_back({static_cast<std::int32_t>(i), headers[i].failure});
    }
  }
  return std::make_unique<ImageFolder>(std::move(catalog), root, std::move(bad), options);
}

}  // namespace nat::data
