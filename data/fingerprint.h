// A 64-bit running hash (FNV-1a, Fowler, Noll and Vo) of what a data set consists of.
#pragma once

#include <cstddef>
#include <cstdint>
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

}  // namespace nat::data
