// Hashes of 64 bits (FNV-1a, Fowler, Noll and Vo): a running one of what a data set consists of,
// and one of many bytes at about the speed of reading them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace nat::data {

class Fingerprint {
 public:
  void add(std::string_view text) {
    add(static_cast<std::int64_t>(text.size()));  // so that "ab","c" differs from "a","bc"
    for (const char c : text) add_byte(static_cast<std::uint8_t>(c));
  }
  void add(std::int64_t number) {
    const auto bits = static_cast<std::uint64_t>(number);
    for (int shift = 0; shift < 64; shift += 8) add_byte(static_cast<std::uint8_t>(bits >> shift));
  }
  std::uint64_t value() const { return hash_; }

 private:
  void add_byte(std::uint8_t byte) { hash_ = (hash_ ^ byte) * 0x100000001B3u; }

  std::uint64_t hash_ = 0xCBF29CE484222325u;
};

// FNV-1a over words of 8 bytes in four lanes, which the processor multiplies side by side, then
// over the lanes. Every step is one to one, so a change within one word always shows.
inline std::uint64_t checksum_of(const std::uint8_t* bytes, std::size_t count) {
  constexpr std::uint64_t kPrime = 0x100000001B3u, kStart = 0xCBF29CE484222325u;
  constexpr std::size_t kLanes = 4, kWord = sizeof(std::uint64_t);
  std::uint64_t lanes[kLanes] = {kStart, kStart + 1, kStart + 2, kStart + 3};
  const auto take = [](std::uint64_t& lane, const std::uint8_t* from, std::size_t length) {
    std::uint64_t word = 0;
    std::memcpy(&word, from, length);
    lane = (lane ^ word) * kPrime;
    lane ^= lane >> 29;  // high bits reach the low ones
  };
  std::size_t at = 0;
  for (; at + kLanes * kWord <= count; at += kLanes * kWord) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      take(lanes[lane], bytes + at + lane * kWord, kWord);
    }
  }
  for (std::size_t lane = 0; at < count; at += kWord, ++lane) {
    take(lanes[lane], bytes + at, count - at < kWord ? count - at : kWord);
  }
  std::uint64_t hash = kStart ^ count;
  for (const std::uint64_t lane : lanes) hash = (hash ^ lane) * kPrime;
  return hash;
}

}  // namespace nat::data
