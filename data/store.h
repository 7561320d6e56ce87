// MemoryDataset: every picture of a data set as bytes in memory, (size, height, width, channels).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "data/dataset.h"
#include "data/files.h"

namespace nat::data {

class MemoryDataset : public Dataset {
 public:
  // pixels: catalog.size pictures of catalog.shape, one after the other in order of id.
  MemoryDataset(Catalog catalog, Bytes pixels, std::vector<BadPicture> bad = {});

  const std::uint8_t* pixels() const { return pixels_.data(); }
  void read_window(std::int32_t id, int left, int top, std::uint8_t* out) const override;

 private:
  Bytes pixels_;
};

// Reads the middle window of every picture of `source` once, on `threads` threads (0 = all
// processors).
std::unique_ptr<MemoryDataset> load_into_memory(const Dataset& source, int threads);

}  // namespace nat::data
