#include "data/store.h"

#include <cassert>
#include <cstring>

#include "data/parallel.h"

namespace nat::data {

MemoryDataset::MemoryDataset(Catalog catalog, Bytes pixels, std::vector<BadPicture> bad)
    : Dataset(std::move(catalog), std::move(bad)), pixels_(std::move(pixels)) {
  assert(static_cast<std::int64_t>(pixels_.size()) == size() * shape().bytes());
}

void MemoryDataset::read_window(std::int32_t id, [[maybe_unused]] int left,
                                [[maybe_unused]] int top, std::uint8_t* out) const {
  assert(id >= 0 && id < size() && left == 0 && top == 0);
  const std::int64_t bytes = shape().bytes();
  std::memcpy(out, pixels_.data() + id * bytes, static_cast<std::size_t>(bytes));
}

std::unique_ptr<MemoryDataset> load_into_memory(const Dataset& source, int threads) {
  const std::int64_t bytes = source.shape().bytes();
  Bytes pixels(static_cast<std::size_t>(source.size() * bytes));
  parallel_for(source.size(), threads, [&](std::int64_t id) {
    source.read(static_cast<std::int32_t>(id), pixels.data() + id * bytes);
  });
  return std::make_unique<MemoryDataset>(source.catalog(), std::move(pixels),
                                         source.bad_pictures());
}

}  // namespace nat::data
