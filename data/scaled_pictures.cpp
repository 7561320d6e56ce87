#include "data/scaled_pictures.h"

#include <cstring>
#include <iterator>

#include "kernels/check.h"

namespace nat::data {
namespace {

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

}  // namespace

ScaledPictures::ScaledPictures(Catalog catalog, std::vector<BadPicture> bad,
                               const std::vector<Quarantined>& quarantined, double max_bad_percent)
    : Dataset(std::move(catalog), std::move(bad)), max_bad_percent_(max_bad_percent) {
  for (const Quarantined& picture : quarantined) {
    if (picture.id < size()) quarantine(picture.id, picture.reason);
  }
}

PictureSize ScaledPictures::file_size(std::int32_t id) const {
  const PictureFile& file = catalog().files[static_cast<std::size_t>(id)];
  return {file.width, file.height};
}

PictureShape ScaledPictures::extent(std::int32_t id) const {
  const PictureSize file = file_size(id);
  if (file.width == 0) return shape();  // a bad picture
  const PictureSize resized = resized_size(file, shape().height);
  return {resized.height, resized.width, shape().channels};
}

void ScaledPictures::read_window(std::int32_t id, int left, int top, std::uint8_t* out) const {
  load_or_quarantine(id, {left, top, shape().width, shape().height}, out);
}

void ScaledPictures::read_whole(std::int32_t id, std::uint8_t* out) const {
  const PictureShape whole = extent(id);
  load_or_quarantine(id, {0, 0, whole.width, whole.height}, out);
}

void ScaledPictures::load_or_quarantine(std::int32_t id, const Window& window,
                                        std::uint8_t* out) const {
  if (!is_bad(id)) {
    try {
      load(id, window, out);
      return;
    } catch (const Error& error) {
      if (error.kind() == ErrorKind::memory) throw;
      quarantine(id, error.what());
    }
    check_bad_share(*this, max_bad_percent_);
  }
  constexpr int kMidGrey = 128;
  std::memset(out, kMidGrey, static_cast<std::size_t>(3) * window.width * window.height);
}

std::vector<std::int64_t> keep_limited(Catalog& catalog, std::int64_t limit) {
  const auto n = static_cast<std::int64_t>(catalog.paths.size());
  std::vector<std::int64_t> kept = evenly_spaced(n, limit, catalog.labels);
  keep_rows(kept, 1, catalog.paths);
  keep_rows(kept, 1, catalog.labels);
  keep_rows(kept, catalog.class_names.size(), catalog.flags);
  keep_rows(kept, 1, catalog.files);
  return kept;
}

void recall(const std::vector<Quarantined>& quarantined, std::vector<PictureFile>& files) {
  for (const Quarantined& picture : quarantined) {
    const auto at = static_cast<std::size_t>(picture.id);
    if (at < files.size()) files[at] = picture.file;
  }
}

std::uint64_t content_hash(const Catalog& catalog) {
  Fingerprint hash;
  for (std::size_t i = 0; i < catalog.files.size(); ++i) {
    hash.add(catalog.paths[i]);
    hash.add(catalog.files[i].bytes);
    hash.add(catalog.files[i].crc);
  }
  return hash.value();
}

}  // namespace nat::data
