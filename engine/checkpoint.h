// Checkpoint: named tensors and text in one safetensors file [1].
//
//   bytes 0-7   length of the header, little-endian
//   header      JSON, keys sorted, padded with spaces to a multiple of 8:
//               {"__metadata__": {"crc32": "89abcdef", "step": "120", ...},
//                "conv1.weight": {"dtype": "F32", "shape": [32,2,5,5], "data_offsets": [0,6400]},
//                ...}
//   payload     the tensors, row-major and little-endian, without gaps, wide elements first
//
// "crc32" covers the file: crc32 (zlib) of the header's JSON without that entry and without the
// padding, continued over the payload. So any damage is found on loading, and Python's safetensors
// package reads the file as it is.
//
// Saving writes a temporary file in the same folder, syncs and renames it (engine/durable_file.h):
// a crash leaves the old file or the new one. Loading trusts nothing: every length is checked
// against the size of the file before memory is taken.
//
// Errors: ErrorKind::io when saving fails; ErrorKind::checkpoint when a file cannot be used.
//
// [1] https://huggingface.co/docs/safetensors#format
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/view.h"

namespace nat {

class Checkpoint {
 public:
  struct Tensor {
    std::string name;
    DType dtype = DType::f32;
    std::vector<std::int64_t> shape;  // at most 4 sizes; none for a single number
    std::vector<std::byte> bytes;     // row-major

    template <class T>
    const T* as() const {
      assert(sizeof(T) == size_of(dtype));
      return reinterpret_cast<const T*>(bytes.data());
    }
    std::int64_t elements() const {
      return static_cast<std::int64_t>(bytes.size() / size_of(dtype));
    }
  };

  // Text beside the tensors; "crc32" is reserved. Values must be UTF-8.
  std::map<std::string, std::string> metadata;

  // Copies a tensor in; its name must be new.
  void put(std::string name, DType dtype, std::vector<std::int64_t> shape, const void* data);

  const Tensor* find(std::string_view name) const;  // null when absent
  const Tensor& get(std::string_view name) const;
  // Copies a tensor out to `data`, which must want just this type and shape.
  void read(std::string_view name, DType dtype, const std::vector<std::int64_t>& shape,
            void* data) const;
  const std::string& metadata_value(const std::string& key) const;
  std::int64_t metadata_number(const std::string& key) const;  // a whole number from 0 on

  // In the order of the file that was loaded, or as they were put.
  const std::vector<Tensor>& tensors() const { return tensors_; }

  void save(const std::filesystem::path& path) const;
  static Checkpoint load(const std::filesystem::path& path);

 private:
  std::vector<Tensor> tensors_;
};

// folder/step-000000120.safetensors
std::filesystem::path checkpoint_path(const std::filesystem::path& folder, std::int64_t step,
                                      std::string_view prefix = "step-");

// The steps of the checkpoints in a folder, ascending, whether they can be read or not. None where
// there is no such folder; Error(io) where it cannot be read.
std::vector<std::int64_t> checkpoint_steps(const std::filesystem::path& folder,
                                           std::string_view prefix = "step-");

// The checkpoint with the highest step that loads. Error(io) as above.
struct NewestCheckpoint {
  std::filesystem::path path;        // empty when there is none
  Checkpoint checkpoint;             // what the file holds
  std::vector<std::string> skipped;  // why newer files were passed over, one line each
};
NewestCheckpoint newest_valid(const std::filesystem::path& folder,
                              std::string_view prefix = "step-");

// Removes all but the `keep` highest steps up to `newest`, and what interrupted saves left. Returns
// how many checkpoints went. Call it after a successful save of `newest`; keep = 0 removes all.
// Higher steps do not count and stay: a run that is at `newest` could not read them.
inline constexpr std::int64_t kEveryStep = std::numeric_limits<std::int64_t>::max();
int prune(const std::filesystem::path& folder, int keep, std::int64_t newest = kEveryStep,
          std::string_view prefix = "step-");

}  // namespace nat
