// The files of a run that say which pictures its ids mean.
//
//   manifest.jsonl    a header line: format, source, pictures, height, width, channels, classes,
//                     fingerprint; then one line a picture: id, path or record, and label or
//                     labels: the position of its class, or the names of all its classes
//   bad_images.jsonl  one line a picture that cannot be read: id, name, reason; and file (width,
//                     height, bytes, crc of its start when the run began) when it went bad later
//
// This room makes their text and reads them back; whoever owns the run folder writes them. Names
// are printable: odd bytes are written \xNN.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace nat::data {

std::string manifest_lines(const Dataset& dataset);
// The lines of these pictures alone, in this order, without a header line.
std::string picture_lines(const Dataset& dataset, const std::vector<std::int32_t>& ids);
std::string bad_picture_lines(const Dataset& dataset);

// The pictures that bad_images.jsonl says went bad after the run began, for
// OpenOptions::quarantined. Error{checkpoint} when the file is missing or damaged.
std::vector<Quarantined> read_quarantined(const std::string& path);

// The fingerprint as 16 hexadecimal digits.
std::string fingerprint_text(std::uint64_t fingerprint);

// What a run remembers of its data, from the first line of its manifest.
struct ManifestHeader {
  std::string format, source;
  std::int64_t pictures = 0;
  int height = 0, width = 0;  // as they are stored; of files, the middle square
  std::string fingerprint;    // as fingerprint_text
};
ManifestHeader read_manifest_header(const std::string& path);

// Error{data} unless the data set is the one the manifest describes: its targets would belong to
// other pictures.
void check_same_data(const Dataset& dataset, const std::string& manifest_path);

}  // namespace nat::data
