// Crops that copy size x size stored pixels as they are: rows of neighbouring bytes, read many at a
// time. What a picture's pixel becomes does not depend on whether it was read here or sampled.
#pragma once

#include <cmath>

#include "kernels/crop_box.h"
#include "kernels/cuda/pack.cuh"

namespace nat::gpu {

// All stored pictures: (images, height, width, channels) bytes.
struct Pictures {
  const std::uint8_t* pixels;
  std::int64_t images, height, width;
};

// The pixels at `first` and after it, a row every `pitch` bytes.
template <int kChannels>
struct CopiedCrop {
  const std::uint8_t* first = nullptr;  // none: the crop is no copy
  int pitch = 0, size = 0;
  bool flip = false;
  bool at_edge = false;  // of all pictures: what lies around the crop must not be read

  // Column 0 is the left one of the picture, flipped or not.
  __device__ const std::uint8_t* pixel(int row, int column) const {
    return first + (row * pitch + column * kChannels);
  }
  __device__ int row_bytes() const { return size * kChannels; }
};

template <int kChannels>
__device__ CopiedCrop<kChannels> copied_crop(const Pictures& from, std::int64_t size,
                                             std::int64_t image, const CropBox& box) {
  const auto lies_within = [&](float start, float length, std::int64_t available) {
    return length == static_cast<float>(size) && start >= 0 && start == std::floor(start) &&
           start < static_cast<float>(available) &&
           static_cast<std::int64_t>(start) + size <= available;
  };
  if (!lies_within(box.x, box.width, from.width)) return {};
  if (!lies_within(box.y, box.height, from.height)) return {};
  const std::int64_t pitch = from.width * kChannels;
  const std::int64_t row = image * from.height + static_cast<std::int64_t>(box.y);
  const std::int64_t begin = row * pitch + static_cast<std::int64_t>(box.x) * kChannels;
  const std::int64_t behind =
      from.images * from.height * pitch - (begin + (size - 1) * pitch + size * kChannels);
  // Sixteen bytes are read at once, and of those four pixels that the crop has one of.
  constexpr std::int64_t kAround = 16;
  const std::uint8_t* first = from.pixels + begin;
  const auto past = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(first) % 16);
  const std::int64_t last_past = (past + (size - 1) * pitch + size * kChannels) % 16;
  if (begin < past || behind < (16 - last_past) % 16) return {};
  return {first, static_cast<int>(pitch), static_cast<int>(size), box.flip != 0,
          begin < kAround || behind < kAround};
}

// Sums of bytes and of their squares.
struct ByteSums {
  std::uint64_t sum = 0, squares = 0;
};

// Sixteen neighbouring bytes of a row, from an address that is a multiple of 16.
struct RowChunk {
  Pack<unsigned, 4> words{};
  int from = 0, to = 0;  // its bytes that belong to the crop; they may lie outside of 0..16

  __device__ bool is_empty() const { return from >= 16 || to <= 0; }
  __device__ unsigned kept(int word) const {
    return words.value[word] & bytes_below(to - 4 * word) & ~bytes_below(from - 4 * word);
  }

 private:
  __device__ static unsigned bytes_below(int count) {
    const int bits = 8 * max(0, min(count, 4));
    return static_cast<unsigned>((std::uint64_t{1} << bits) - 1);
  }
};

template <int kChannels>
__device__ RowChunk load_chunk(const CopiedCrop<kChannels>& crop, int row, int number) {
  RowChunk chunk;
  if (row >= crop.size) return chunk;
  const std::uint8_t* begin = crop.pixel(row, 0);
  const int into = static_cast<int>(reinterpret_cast<std::uintptr_t>(begin) % 16);
  const int offset = 16 * number - into;
  chunk.from = -offset;
  chunk.to = crop.row_bytes() - offset;
  if (!chunk.is_empty()) {
    chunk.words = load_pack<4>(reinterpret_cast<const unsigned*>(begin + offset));
  }
  return chunk;
}

// What one of `threads` threads adds of the crop. A thread keeps its place in the row, as far as
// rows allow; the chunks of kAtOnce rows are under way together.
template <int kChannels>
__device__ ByteSums add_bytes(const CopiedCrop<kChannels>& crop, int thread, int threads) {
  constexpr int kAtOnce = 4;
  const int chunks = (crop.row_bytes() + 15 + 15) / 16;  // that a row can touch
  const int across = min(chunks, threads), lanes = threads / across;
  const int lane = thread / across;
  ByteSums sums;
  if (lane >= lanes) return sums;
  for (int number = thread % across; number < chunks; number += across) {
    for (int first = lane; first < crop.size; first += kAtOnce * lanes) {
      RowChunk chunk[kAtOnce];
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        chunk[k] = load_chunk(crop, first + k * lanes, number);
      }
      unsigned sum = 0, squares = 0;
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
#pragma unroll
        for (int word = 0; word < 4; ++word) {
          const unsigned bytes = chunk[k].kept(word);
          sum = __dp4a(bytes, 0x01010101u, sum);
          squares = __dp4a(bytes, bytes, squares);
        }
      }
      sums.sum += sum;
      sums.squares += squares;
    }
  }
  return sums;
}

// Four neighbouring pixels of a row, which may begin at any byte.
template <int kChannels>
class PixelQuad {
 public:
  __device__ void load(const std::uint8_t* from) {
    into_ = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(from) % 4);
    const auto* aligned = reinterpret_cast<const unsigned*>(from - into_);
#pragma unroll
    for (int i = 0; i <= kChannels; ++i) word_[i] = aligned[i];
  }
  // The same where words without a byte from `first` to `last` must not be read: others take their
  // place.
  __device__ void load(const std::uint8_t* from, const std::uint8_t* first,
                       const std::uint8_t* last) {
    into_ = static_cast<unsigned>(reinterpret_cast<std::uintptr_t>(from) % 4);
    const auto address = reinterpret_cast<std::uintptr_t>(from - into_);
    const auto lowest = reinterpret_cast<std::uintptr_t>(first) / 4 * 4;
    const auto highest = reinterpret_cast<std::uintptr_t>(last) / 4 * 4;
#pragma unroll
    for (int i = 0; i <= kChannels; ++i) {
      const std::uintptr_t at = address + 4 * static_cast<unsigned>(i);
      const std::uintptr_t within = at < lowest ? lowest : at > highest ? highest : at;
      word_[i] = *reinterpret_cast<const unsigned*>(within);
    }
  }
  // To be called before value(), and not before other loads are under way.
  __device__ void align() {
#pragma unroll
    for (int i = 0; i < kChannels; ++i) {
      const std::uint64_t both = std::uint64_t{word_[i + 1]} << 32 | word_[i];
      word_[i] = static_cast<unsigned>(both >> (8 * into_));
    }
  }
  template <class C>
  __device__ C value(int pixel, int channel) const {
    const int byte = pixel * kChannels + channel;
    if constexpr (std::is_same_v<C, float>) {  // two quick instructions instead of a slow one
      const auto picked = static_cast<unsigned>(0x7440 + byte % 4);
      return __uint_as_float(__byte_perm(word_[byte / 4], 0x4b000000u, picked)) - 0x1p23f;
    } else {
      return static_cast<C>(word_[byte / 4] >> (8 * (byte % 4)) & 0xffu);
    }
  }
  // Of the channels of a pixel.
  __device__ unsigned sum(int pixel) const {
    const int first = pixel * kChannels;
    unsigned sum = 0;
#pragma unroll
    for (int word = 0; word < kChannels; ++word) {
      const unsigned ones =
          ones_below(first + kChannels - 4 * word) & ~ones_below(first - 4 * word);
      if (ones != 0) sum = __dp4a(word_[word], ones, sum);
    }
    return sum;
  }

 private:
  __device__ static constexpr unsigned ones_below(int byte) {
    return byte <= 0 ? 0 : 0x01010101u >> (byte < 4 ? 32 - 8 * byte : 0);
  }

  unsigned word_[kChannels + 1], into_;
};

}  // namespace nat::gpu
