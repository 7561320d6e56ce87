// Dataset: an indexed source of pictures.
//
// Ids are 0 .. size()-1, fixed when the data set is opened: each picture owns a target for the
// whole run, so an id never moves. A picture that cannot be read keeps its id, is listed in
// bad_pictures() and missing from usable_ids(); it is never replaced by another. One that goes bad
// later, while it is read, is quarantined: mid-grey from then on, whatever becomes of its file.
#pragma once

#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "data/fingerprint.h"

namespace nat::data {

struct PictureShape {
  int height = 0, width = 0, channels = 0;
  std::int64_t bytes() const { return std::int64_t{height} * width * channels; }
  friend bool operator==(const PictureShape&, const PictureShape&) = default;
};

struct BadPicture {
  std::int32_t id = 0;
  std::string reason;
};

// What opening learns of a picture file; its part of the fingerprint.
struct PictureFile {
  int width = 0, height = 0;  // 0 when the header cannot be read
  std::int64_t bytes = 0;
  std::uint32_t crc = 0;  // of the first bytes
};

// A picture that went bad after a run began, with its file as it was then.
struct Quarantined {
  std::int32_t id = 0;
  std::string reason;
  PictureFile file;
};

// What is known about a data set apart from its pixels.
struct Catalog {
  std::string format;                    // as name(Format) has it
  std::string source;                    // the path that was opened
  PictureShape shape;                    // of every picture that read() delivers
  std::int64_t size = 0;                 // pictures, bad ones included
  std::vector<std::int32_t> labels;      // (size), or empty: no labels
  std::vector<std::int8_t> flags;        // (size, classes), or empty; see Dataset::flags
  std::vector<std::string> class_names;  // class_names[label]
  std::vector<std::string> paths;        // (size) relative to source; empty for record formats
  std::vector<std::int64_t> records;     // (size) position in the files; empty for folders
  std::vector<PictureFile> files;        // (size); empty for record formats
  std::vector<std::string> remarks;      // odd but harmless: one line each, for the user
  std::uint64_t content = 0;             // hash of names and bytes
};

class Dataset {
 public:
  virtual ~Dataset() = default;
  Dataset(const Dataset&) = delete;
  Dataset& operator=(const Dataset&) = delete;

  const Catalog& catalog() const { return catalog_; }
  std::int64_t size() const { return catalog_.size; }
  const PictureShape& shape() const { return catalog_.shape; }
  bool labelled() const { return !catalog_.labels.empty(); }
  // Several labels a picture, 0 included; then labelled() is false.
  bool multi_label() const { return !catalog_.flags.empty(); }
  int classes() const { return static_cast<int>(catalog_.class_names.size()); }
  std::int32_t label(std::int32_t id) const;  // -1 without labels
  // Of every class: 1 = in the picture, -1 = not in it, 0 = neither is claimed, so that the picture
  // does not count for the class. Empty unless multi_label().
  std::span<const std::int8_t> flags(std::int32_t id) const;
  std::string name(std::int32_t id) const;  // printable: a relative path, or "record 17"

  // Changes whenever the pictures, their order, labels or flags, stored size or the ones bad from
  // the beginning change; moving the whole data set to another folder changes nothing. Of a picture
  // file count its name, length, width, height and first 4,096 bytes: pixels that were changed
  // behind them, with the length as it was, are not noticed.
  std::uint64_t fingerprint() const { return fingerprint_; }

  // Ids that were good when the data set was opened, ascending. Fixed from then on.
  const std::vector<std::int32_t>& usable_ids() const { return usable_ids_; }
  bool is_usable(std::int32_t id) const;
  // By id. May grow while pictures are read from disk (a file that turned bad later).
  std::vector<BadPicture> bad_pictures() const;
  std::size_t bad_count() const;

  // Size of the whole picture behind an id, at the stored scale; at least shape() in both
  // directions.
  virtual PictureShape extent(std::int32_t id) const;

  // Copies the window of size shape() whose corner is (left, top) of the whole picture into
  // out (height, width, channels). May be called from several threads. A picture that turns out to
  // be unreadable becomes mid-grey, for good, and is listed in bad_pictures().
  virtual void read_window(std::int32_t id, int left, int top, std::uint8_t* out) const = 0;

  // Copies all of extent(id) into out, the same pixels as windows of it.
  virtual void read_whole(std::int32_t id, std::uint8_t* out) const;

  // The middle window.
  void read(std::int32_t id, std::uint8_t* out) const;

 protected:
  Dataset(Catalog catalog, std::vector<BadPicture> bad);

  // Lists a picture as bad, once.
  void quarantine(std::int32_t id, const std::string& reason) const;
  bool is_bad(std::int32_t id) const;

 private:
  Catalog catalog_;
  std::vector<std::int32_t> usable_ids_;
  std::uint64_t fingerprint_ = 0;
  mutable std::mutex bad_mutex_;
  mutable std::vector<BadPicture> bad_;
};

// The positions that `--limit` keeps of n pictures, ascending: sorted by label (stable), then
// evenly spaced, so that every class keeps its share. All of them when limit >= n or limit < 0.
std::vector<std::int64_t> evenly_spaced(std::int64_t n, std::int64_t limit,
                                        const std::vector<std::int32_t>& labels);

// "0", "1", ... for formats without class names.
std::vector<std::string> numbered_classes(int count);

// The names in a text file, one a line; numbers when it is missing or does not hold `count` of
// them.
std::vector<std::string> listed_classes(const std::string& path, int count);

// Stops when the share of bad pictures is above max_bad_percent, or when nothing usable is left.
void check_bad_share(const Dataset& dataset, double max_bad_percent);

}  // namespace nat::data
