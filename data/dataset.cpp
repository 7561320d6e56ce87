#include "data/dataset.h"

#include <algorithm>
#include <cassert>
#include <fstream>
#include <numeric>

#include "data/files.h"
#include "kernels/check.h"

namespace nat::data {
namespace {

bool comes_before(const BadPicture& picture, std::int32_t id) { return picture.id < id; }

}  // namespace

Dataset::Dataset(Catalog catalog, std::vector<BadPicture> bad)
    : catalog_(std::move(catalog)), bad_(std::move(bad)) {
  assert(!multi_label() || std::ssize(catalog_.flags) == catalog_.size * classes());
  std::sort(bad_.begin(), bad_.end(),
            [](const BadPicture& a, const BadPicture& b) { return a.id < b.id; });
  auto next_bad = bad_.begin();
  for (std::int32_t id = 0; id < catalog_.size; ++id) {
    if (next_bad != bad_.end() && next_bad->id == id) {
      ++next_bad;
    } else {
      usable_ids_.push_back(id);
    }
  }

  Fingerprint hash;
  hash.add(catalog_.format);
  hash.add(catalog_.size);
  hash.add(catalog_.shape.height);
  hash.add(catalog_.shape.width);
  hash.add(catalog_.shape.channels);
  hash.add(static_cast<std::int64_t>(catalog_.content));
  for (const std::int32_t label : catalog_.labels) hash.add(label);
  if (multi_label()) {  // paths hold the class names of folders; here nothing else does
    for (const std::string& class_name : catalog_.class_names) hash.add(class_name);
    for (const std::int8_t flag : catalog_.flags) hash.add(flag);
  }
  for (const BadPicture& picture : bad_) hash.add(picture.id);
  fingerprint_ = hash.value();
}

std::int32_t Dataset::label(std::int32_t id) const {
  return labelled() ? catalog_.labels[static_cast<std::size_t>(id)] : -1;
}

std::span<const std::int8_t> Dataset::flags(std::int32_t id) const {
  if (!multi_label()) return {};
  const auto width = static_cast<std::size_t>(classes());
  return std::span(catalog_.flags).subspan(static_cast<std::size_t>(id) * width, width);
}

std::string Dataset::name(std::int32_t id) const {
  const auto i = static_cast<std::size_t>(id);
  if (!catalog_.paths.empty()) return printable(catalog_.paths[i]);
  return str("record ", catalog_.records[i]);
}

std::vector<BadPicture> Dataset::bad_pictures() const {
  const std::lock_guard lock(bad_mutex_);
  return bad_;
}

std::size_t Dataset::bad_count() const {
  const std::lock_guard lock(bad_mutex_);
  return bad_.size();
}

bool Dataset::is_usable(std::int32_t id) const {
  return std::binary_search(usable_ids_.begin(), usable_ids_.end(), id);
}

PictureShape Dataset::extent(std::int32_t) const { return shape(); }

void Dataset::read_whole(std::int32_t id, std::uint8_t* out) const { read_window(id, 0, 0, out); }

void Dataset::read(std::int32_t id, std::uint8_t* out) const {
  const PictureShape whole = extent(id);
  read_window(id, (whole.width - shape().width) / 2, (whole.height - shape().height) / 2, out);
}

void Dataset::quarantine(std::int32_t id, const std::string& reason) const {
  const std::lock_guard lock(bad_mutex_);
  const auto place = std::lower_bound(bad_.begin(), bad_.end(), id, comes_before);
  if (place == bad_.end() || place->id != id) bad_.insert(place, {id, reason});
}

bool Dataset::is_bad(std::int32_t id) const {
  const std::lock_guard lock(bad_mutex_);
  const auto place = std::lower_bound(bad_.begin(), bad_.end(), id, comes_before);
  return place != bad_.end() && place->id == id;
}

std::vector<std::int64_t> evenly_spaced(std::int64_t n, std::int64_t limit,
                                        const std::vector<std::int32_t>& labels) {
  std::vector<std::int64_t> positions(static_cast<std::size_t>(n));
  std::iota(positions.begin(), positions.end(), 0);
  if (limit < 0 || limit >= n) return positions;
  if (!labels.empty()) {
    std::stable_sort(positions.begin(), positions.end(), [&](std::int64_t a, std::int64_t b) {
      return labels[static_cast<std::size_t>(a)] < labels[static_cast<std::size_t>(b)];
    });
  }
  std::vector<std::int64_t> kept(static_cast<std::size_t>(limit));
  for (std::int64_t i = 0; i < limit; ++i) {
    kept[static_cast<std::size_t>(i)] = positions[static_cast<std::size_t>(i * n / limit)];
  }
  std::sort(kept.begin(), kept.end());
  return kept;
}

std::vector<std::string> numbered_classes(int count) {
  std::vector<std::string> names;
  names.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) names.push_back(std::to_string(i));
  return names;
}

std::vector<std::string> listed_classes(const std::string& path, int count) {
  std::ifstream in(path);
  std::vector<std::string> names;
  for (std::string line; std::getline(in, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) names.push_back(printable(line));
  }
  return static_cast<int>(names.size()) == count ? names : numbered_classes(count);
}

void check_bad_share(const Dataset& dataset, double max_bad_percent) {
  // Called for every picture that goes bad, so that the others are not copied before it is needed.
  const auto count = static_cast<std::int64_t>(dataset.bad_count());
  const double percent = 100.0 * static_cast<double>(count) / static_cast<double>(dataset.size());
  if (count < dataset.size() && percent <= max_bad_percent) return;
  const std::string& source = dataset.catalog().source;
  const BadPicture first = dataset.bad_pictures().front();
  const std::string example = str(dataset.name(first.id), ": ", first.reason);
  // Of pictures that were given one by one the first is the source.
  NAT_CHECK(count < dataset.size() || dataset.name(first.id) != printable(source), ErrorKind::data,
            example, "; give another picture");
  NAT_CHECK(count < dataset.size(), ErrorKind::data, printable(source), ": none of the ", count,
            " pictures can be read (first: ", example, "); check the data set");
  NAT_CHECK(percent <= max_bad_percent, ErrorKind::data, printable(source), ": ", count, " of ",
            dataset.size(), " pictures cannot be read, more than the limit of ", max_bad_percent,
            " % (first: ", example, "); repair or remove them, or raise --max-bad-percent");
}

}  // namespace nat::data
