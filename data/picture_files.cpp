#include "data/picture_files.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <iterator>

#include "data/decode.h"
#include "data/files.h"
#include "data/parallel.h"
#include "data/resize.h"
#include "kernels/check.h"

namespace nat::data {
namespace {

// ---- places
// --------------------------------------------------------------------------------------

// Where the bytes of a picture are: in the file root/paths[i], or in an archive.
struct Places {
  std::string root;
  PictureParts in;  // empty where pictures are files of their own

  FilePart of(const std::vector<std::string>& paths, std::size_t i) const {
    if (in.archives.empty()) return {join(root, paths[i])};
    const ArchivePart& part = in.parts[i];
    return {in.archives[static_cast<std::size_t>(part.archive)], part.offset, part.size};
  }
};

// ---- headers ------------------------------------------------------------------------------------

// What the header pass learns of one file.
struct Header {
  PictureFile file;
  std::string failure;
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

class PictureFiles : public Dataset {
 public:
  PictureFiles(Catalog catalog, Places places, std::vector<BadPicture> bad,
               const PictureFileOptions& options)
      : Dataset(std::move(catalog), std::move(bad)),
        places_(std::move(places)),
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
      const FilePart place = places_.of(catalog().paths, static_cast<std::size_t>(id));
      const Picture picture = decode(read_all(place));
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

  Places places_;
  double max_bad_percent_;
};

// ---- what --limit leaves ------------------------------------------------------------------------

// Keeps rows of `width` values; `kept` is ascending.
template <class T>
void keep_rows(const std::vector<std::int64_t>& kept, std::size_t width, std::vector<T>& values) {
  if (values.empty()) return;
  auto to = values.begin();
  for (const std::int64_t row : kept) {
    const auto from = values.begin() + row * static_cast<std::ptrdiff_t>(width);
    to = from == to ? to + static_cast<std::ptrdiff_t>(width)
                    : std::move(from, from + static_cast<std::ptrdiff_t>(width), to);
  }
  values.erase(to, values.end());
}

void apply_limit(Catalog& found, Places& places, std::int64_t limit) {
  const auto n = static_cast<std::int64_t>(found.paths.size());
  const std::vector<std::int64_t> kept = evenly_spaced(n, limit, found.labels);
  keep_rows(kept, 1, found.paths);
  keep_rows(kept, 1, places.in.parts);
  keep_rows(kept, 1, found.labels);
  keep_rows(kept, found.class_names.size(), found.flags);
}

std::uint64_t content_hash(const std::vector<std::string>& paths,
                           const std::vector<Header>& headers) {
  Fingerprint hash;
  for (std::size_t i = 0; i < headers.size(); ++i) {
    hash.add(paths[i]);
    hash.add(headers[i].file.bytes);
    hash.add(headers[i].file.crc);
  }
  return hash.value();
}

std::unique_ptr<Dataset> open_at(Catalog found, Places places, const PictureFileOptions& options) {
  apply_limit(found, places, options.limit);
  std::vector<Header> headers = read_headers(places, found.paths, options.threads);
  recall(options.quarantined, headers);
  const int side = options.picture_size > 0 ? options.picture_size : typical_short_side(headers);
  found.shape = {side, side, 3};
  found.size = static_cast<std::int64_t>(found.paths.size());
  found.content = content_hash(found.paths, headers);
  for (std::string& class_name : found.class_names) class_name = printable(class_name);

  std::vector<BadPicture> bad;
  for (std::size_t i = 0; i < headers.size(); ++i) {
    found.files.push_back(headers[i].file);
    if (!headers[i].failure.empty()) {
      bad.push_back({static_cast<std::int32_t>(i), headers[i].failure});
    }
  }
  return std::make_unique<PictureFiles>(std::move(found), std::move(places), std::move(bad),
                                        options);
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
