// Which data set a path means, and opening it.
//
//   DatasetSpec spec = parse_spec("idx:/usr/share/datasets/fashion-mnist");   // or only the path
//   std::unique_ptr<Dataset> pictures = open_dataset(spec, Split::train, {.limit = 10000});
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace nat::data {

enum class Format { idx, cifar10, cifar100, stl10, folder, tiny_imagenet, voc, tar, packed };
enum class Split { train, test };

const char* name(Format format);  // "idx", "cifar10", ...: as it is written above
const char* name(Split split);    // "train", "test"

// Are its pictures files that are decoded, so that nat pack saves work?
bool is_packable(Format format);

struct DatasetSpec {
  Format format = Format::folder;
  std::string path;
};

// "idx:PATH" and so on for each format, or "PATH" alone: then the files found there tell the
// format. PATH may be a range of archives (tar_shards.h). Error{data} when the path does not exist,
// Error{usage} for an unknown prefix.
DatasetSpec parse_spec(const std::string& text);
std::string to_string(const DatasetSpec& spec);  // "idx:PATH"
std::string spec_form();                         // "[idx:|cifar10:|...]PATH", for messages

// The same data set, prefix or none, by a path that does not depend on the current folder. Errors
// of parse_spec.
std::string absolute_spec(const std::string& text);

// Are they the same pictures, however they are written? False where one of them does not exist.
bool name_the_same(const std::string& a, const std::string& b);

// Where pictures that are files of their own, or in archives, or packed ones, live while training.
//   memory     read once when opened; each picture is the middle square of its resized whole
//   disk       read each time it is wanted; crops may lie anywhere in the resized whole
//   automatic  memory when all pictures fit into OpenOptions::memory_limit
// Those of other formats always live in memory.
enum class Keep { automatic, memory, disk };

struct OpenOptions {
  // Pictures in files of their own: the short side is resized to this. 0 = their median short
  // side, at most 256. Packed ones have been resized, and are refused when it was to another size.
  // Those of other formats keep the size they have.
  int picture_size = 0;
  // Keep this many pictures, evenly spaced within each class, or in all where a picture has no
  // label of its own (see evenly_spaced); ids are 0..limit-1.
  std::optional<std::int64_t> limit = std::nullopt;
  int threads = 0;  // for scanning and decoding; 0 = one a processor
  Keep keep = Keep::automatic;
  std::int64_t memory_limit = std::int64_t{2} << 30;  // bytes
  double max_bad_percent = 5;                         // more unreadable pictures are an error
  // Pictures in files of their own that went bad while the run used them (read_quarantined). They
  // stay grey and count as the files they were, so that the run may go on.
  std::vector<Quarantined> quarantined = {};
};

// Whether the data set has this split. A folder without train and test folders below it, and a
// single IDX or STL-10 file, have only Split::train; VOC calls it trainval, Tiny ImageNet the other
// one val.
bool has_split(const DatasetSpec& spec, Split split);

// Error{data} for whatever is wrong with the files, Error{usage} for a wrong option.
std::unique_ptr<Dataset> open_dataset(const DatasetSpec& spec, Split split,
                                      const OpenOptions& options = {});

}  // namespace nat::data
