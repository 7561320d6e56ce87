// One header of a tar archive, a block of 512 bytes, and what extends it.
//
//   name 0..99, size 124..135 (octal, or base 256 with the top bit set), checksum 148..155, type
//   156, target of a link 157..256, magic 257..262; with the magic "ustar\0" front of the name
//   345..499
//
// Source: POSIX.1-2001, pax; the manual of GNU tar, "Basic Tar Format".
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nat::data {

constexpr std::int64_t kTarBlock = 512;

// A view of the block.
class TarHeader {
 public:
  explicit TarHeader(const std::uint8_t* block)
      : text_(reinterpret_cast<const char*>(block), kTarBlock) {}

  bool is_zero() const { return text_.find_first_not_of('\0') == std::string_view::npos; }
  bool is_sound() const;  // whether the checksum is right
  char type() const { return text_[156]; }
  std::optional<std::int64_t> size() const;  // empty when it is no number below 2^63
  std::string name() const;
  std::string target() const;
  // Of a sparse file of GNU's format: does its map go on in the block behind the header?
  bool has_more_map() const { return text_[482] != 0; }

 private:
  std::string_view text(std::size_t offset, std::size_t size) const;

  std::string_view text_;
};

// What headers in front of a member say of it: types L and K (GNU), x and g (pax).
struct TarExtra {
  std::optional<std::string> name, target;
  std::optional<std::int64_t> size;
  bool is_sparse = false;
};

// What holds where `below` holds for all members and `above` for this one.
TarExtra overlaid(TarExtra below, const TarExtra& above);

// Takes records "length key=value\n". False when they are damaged.
bool take_pax_records(std::string_view records, TarExtra& extra);

}  // namespace nat::data
