// Packed data sets: pictures of a folder, decoded and resized once, so that training reads bytes
// where it would decode a JPEG file a picture and epoch.
//
//   FOLDER/train.pixels   the resized pictures in the order of ids, (height, width, 3) bytes each;
//                         of one that was bad from the beginning nothing
//   FOLDER/train.jsonl    a header line, then one line a picture; docs/file-formats.md has the keys
//   FOLDER/test.pixels, test.jsonl   the same of the test pictures, where there are any
//
// A packed data set *is* the one that it was made of: ids, names, labels, bad pictures, extents,
// pixels and the fingerprint are equal, so that a run which began on the one goes on with the
// other, and ends with the same bytes as without the change. `--limit` leaves the same pictures.
//
// Every picture has a checksum, which is compared each time that it is read: one whose bytes
// changed is quarantined like a damaged file. The .jsonl has one of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/open.h"
#include "data/picture_files.h"

namespace nat::data {

// ---- reading ------------------------------------------------------------------------------------

bool looks_like_packed(const std::string& path);
bool packed_has_split(const std::string& path, Split split);

// Error{data} when the files are damaged or do not belong together, Error{usage} when
// options.picture_size is neither 0 nor the short side that was packed.
std::unique_ptr<Dataset> open_packed(const std::string& path, Split split,
                                     const PictureFileOptions& options);

// ---- writing ------------------------------------------------------------------------------------

struct PackedFiles {
  std::string catalog, pixels;
};
PackedFiles packed_files(const std::string& folder, Split split);

// Takes bytes in the order of the file.
using ByteSink = std::function<void(const void*, std::size_t)>;

// Of the .pixels file. `pictures` must be a set of picture files that was opened with Keep::disk.
std::int64_t packed_bytes(const Dataset& pictures);

// The .pixels file; returns the checksum of every picture. `at(done)` is called now and then, and
// may throw to stop. A file that cannot be decoded is packed as grey and as what it is: a picture
// that went bad when it was read.
std::vector<std::uint64_t> write_packed_pixels(const Dataset& pictures, int threads,
                                               const ByteSink& write,
                                               const std::function<void(std::int64_t)>& at);

// The .jsonl file, after the pixels.
void write_packed_catalog(const Dataset& pictures, Split split,
                          const std::vector<std::uint64_t>& checksums, const ByteSink& write);

}  // namespace nat::data
