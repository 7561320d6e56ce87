#include "data/picture_files.h"

#include <algorithm>
#include <cassert>
#include <iterator>

#include "data/decode.h"
#include "data/files.h"
#include "data/parallel.h"
#include "data/resize.h"
#include "data/scaled_pictures.h"
#include "data/store.h"
#include "kernels/check.h"

namespace nat::data {
namespace {

// ---- places -------------------------------------------------------------------------------------

// Where the bytes of a picture are: in the file root/paths[i], or in an archive.
struct Places {
  std::string root;
  PictureParts in;  // empty where pictures are files of their own

  FilePart of(const std::vector<std::string>& paths, std::size_t i) const {
    if (in.archives.empty()) return {join(root, paths[i])};
    const ArchivePart& part = in.parts[i];
    return {in.archives[static_cast<std::size_t>(part.archive)], part.offset, part.size};
  }

  // Those of the pictures at these positions, ascending.
  void keep(const std::vector<std::int64_t>& kept) {
    if (in.archives.empty()) return;
    std::vector<ArchivePart> parts;
    parts.reserve(kept.size());
    for (const std::int64_t i : kept) parts.push_back(in.parts[static_cast<std::size_t>(i)]);
    in.parts = std::move(parts);
  }
};

// ---- headers ------------------------------------------------------------------------------------

// What the header pass learns of one file.
struct Header {
  PictureFile file;
  std::string failure;  // empty unless the width of the file is 0
};

constexpr std::int64_t kStartBytes = 4096;
constexpr std::int64_t kLongStartBytes = std::int64_t{16} << 20;

PictureSize size_at(const FilePart& place, const FileStart& start) {
  try {
    return read_size(start.bytes);
  } catch (const Error&) {
    if (start.size <= kStartBytes) throw;
    // Long EXIF data or a colour profile in front of the size.
    return read_size(read_start(place, kLongStartBytes).bytes);
  }
}

Header read_header(const FilePart& place) {
  Header header;
  PictureFile& file = header.file;
  try {
    const FileStart start = read_start(place, kStartBytes);
    file.bytes = start.size;
    file.crc = crc32_of(start.bytes.data(), start.bytes.size());
    const PictureSize size = size_at(place, start);
    file.width = size.width;
    file.height = size.height;
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::memory) throw;
    header.failure = error.what();
  }
  return header;
}

std::vector<Header> read_headers(const Places& places, const std::vector<std::string>& paths,
                                 int threads) {
  std::vector<Header> headers(paths.size());
  parallel_for(static_cast<std::int64_t>(paths.size()), threads, [&](std::int64_t i) {
    const auto at = static_cast<std::size_t>(i);
    headers[at] = read_header(places.of(paths, at));
  });
  return headers;
}

// Small pictures are not enlarged to ImageNet's size: take the size that the data have.
int typical_short_side(const std::vector<PictureFile>& files) {
  constexpr int kImageNet = 256;
  std::vector<int> sides;
  for (const PictureFile& file : files) {
    if (file.width > 0) sides.push_back(std::min(file.width, file.height));
  }
  if (sides.empty()) return kImageNet;
  const auto middle = sides.begin() + static_cast<std::ptrdiff_t>(sides.size() / 2);
  std::nth_element(sides.begin(), middle, sides.end());
  return std::min(*middle, kImageNet);
}

// ---- the data set -------------------------------------------------------------------------------

class PictureFiles : public ScaledPictures {
 public:
  PictureFiles(Catalog catalog, Places places, std::vector<BadPicture> bad,
               const PictureFileOptions& options)
      : ScaledPictures(std::move(catalog), std::move(bad), options.quarantined,
                       options.max_bad_percent),
        places_(std::move(places)) {}

 private:
  void load(std::int32_t id, const Window& window, std::uint8_t* out) const override {
    const Picture picture =
        decode(read_all(places_.of(catalog().paths, static_cast<std::size_t>(id))));
    NAT_CHECK(picture.size == file_size(id), ErrorKind::data, "changed while it was in use");
    resize_window(picture.pixels.get(), picture.size, resized_size(picture.size, shape().height),
                  window, out);
  }

  Places places_;
};

std::unique_ptr<Dataset> open_at(Catalog found, Places places, const PictureFileOptions& options) {
  places.keep(keep_limited(found, options.limit));
  std::vector<Header> headers = read_headers(places, found.paths, options.threads);
  for (const Header& header : headers) found.files.push_back(header.file);
  recall(options.quarantined, found.files);
  const int side =
      options.picture_size > 0 ? options.picture_size : typical_short_side(found.files);
  found.shape = {side, side, 3};
  found.size = static_cast<std::int64_t>(found.paths.size());
  for (std::string& class_name : found.class_names) class_name = printable(class_name);

  std::vector<BadPicture> bad;
  for (std::size_t i = 0; i < headers.size(); ++i) {
    if (found.files[i].width == 0)
      bad.push_back({static_cast<std::int32_t>(i), headers[i].failure});
  }
  found.content = content_hash(found);
  return std::make_unique<PictureFiles>(std::move(found), std::move(places), std::move(bad),
                                        options);
}

// Their middle squares, in memory.
std::unique_ptr<Dataset> in_grey(const Dataset& pictures) {
  const auto colours = load_into_memory(pictures, 0);
  Catalog catalog = colours->catalog();
  catalog.shape.channels = 1;
  Bytes grey(static_cast<std::size_t>(catalog.size * catalog.shape.bytes()));
  const std::uint8_t* rgb = colours->pixels();
  for (std::uint8_t& mean : grey) {
    mean = static_cast<std::uint8_t>((rgb[0] + rgb[1] + rgb[2] + 1) / 3);  // to nearest
    rgb += 3;
  }
  return std::make_unique<MemoryDataset>(std::move(catalog), std::move(grey),
                                         colours->bad_pictures());
}

}  // namespace

std::unique_ptr<Dataset> open_picture_files(Catalog found, const std::string& root,
                                            const PictureFileOptions& options) {
  return open_at(std::move(found), {root, {}}, options);
}

std::unique_ptr<Dataset> open_picture_parts(Catalog found, PictureParts where,
                                            const PictureFileOptions& options) {
  assert(!where.archives.empty() && where.parts.size() == found.paths.size());
  return open_at(std::move(found), {"", std::move(where)}, options);
}

std::unique_ptr<Dataset> open_single_files(const std::vector<std::string>& files,
                                           const PictureShape& like) {
  constexpr double kAll = 100;
  Catalog found;
  found.format = "files";
  found.source = files.front();
  found.paths = files;
  auto pictures = open_picture_files(
      std::move(found), "",
      {.picture_size = std::min(like.height, like.width), .max_bad_percent = kAll});
  return like.channels == 1 ? in_grey(*pictures) : std::move(pictures);
}

void require_same_classes(const std::string& source, const std::string& holders,
                          const std::vector<std::string>& train,
                          const std::vector<std::string>& test) {
  std::vector<std::string> different;
  std::set_symmetric_difference(train.begin(), train.end(), test.begin(), test.end(),
                                std::back_inserter(different));
  if (different.empty()) return;
  throw Error(
      ErrorKind::data,
      str(printable(source), ": the ", holders, " of training and test pictures differ (first '",
          printable(different.front()), "', ", different.size(), " in all); make them the same"));
}

}  // namespace nat::data
