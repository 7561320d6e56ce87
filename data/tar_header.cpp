#include "data/tar_header.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "kernels/check.h"

namespace nat::data {
namespace {

// Octal digits between blanks. Empty when it is something else or more than 2^63 - 1.
std::optional<std::int64_t> octal(std::string_view field) {
  field = field.substr(0, field.find('\0'));
  const std::size_t begin = std::min(field.find_first_not_of(' '), field.size());
  field = field.substr(begin, field.find_last_not_of(' ') + 1 - begin);
  std::int64_t value = 0;
  if (field.empty()) return value;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), value, 8);
  if (error != std::errc() || end != field.data() + field.size() || value < 0) return {};
  return value;
}

// GNU's form of large sizes: big-endian bytes behind a first one of 0x80.
std::optional<std::int64_t> base_256(std::string_view field) {
  std::int64_t value = static_cast<unsigned char>(field.front()) & 0x7F;
  for (const char c : field.substr(1)) {
    if (value > std::numeric_limits<std::int64_t>::max() >> 8) return {};
    value = value << 8 | static_cast<unsigned char>(c);
  }
  return value;
}

template <class Number>
bool read_decimal(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

// False when the value makes no sense. An empty one takes back what was said before.
bool take_record(std::string_view key, std::string_view value, TarExtra& extra) {
  const auto text = value.empty() ? std::nullopt : std::optional<std::string>(value);
  if (key == "path") extra.name = text;
  if (key == "linkpath") extra.target = text;
  if (key.starts_with("GNU.sparse.")) extra.is_sparse = true;
  if (key != "size") return true;
  extra.size.reset();
  if (value.empty()) return true;
  return read_decimal(value, extra.size.emplace()) && *extra.size >= 0;
}

}  // namespace

// The sum of all bytes with blanks in place of the sum. Some old programs added signed bytes.
bool TarHeader::is_sound() const {
  std::int64_t plain = 0, with_signs = 0;
  for (std::size_t i = 0; i < text_.size(); ++i) {
    const char c = i >= 148 && i < 156 ? ' ' : text_[i];
    plain += static_cast<unsigned char>(c);
    with_signs += static_cast<signed char>(c);
  }
  const std::optional<std::int64_t> sum = octal(text_.substr(148, 8));
  return sum && (*sum == plain || *sum == with_signs);
}

std::optional<std::int64_t> TarHeader::size() const {
  const std::string_view field = text_.substr(124, 12);
  return (field.front() & 0x80) != 0 ? base_256(field) : octal(field);
}

std::string TarHeader::name() const {
  // GNU's own magic is "ustar  ", and it has times where the front of the name would be.
  const bool is_ustar = text_.substr(257, 6) == std::string_view("ustar\0", 6);
  const std::string_view front = is_ustar ? text(345, 155) : "";
  return front.empty() ? std::string(text(0, 100)) : str(front, "/", text(0, 100));
}

std::string TarHeader::target() const { return std::string(text(157, 100)); }

std::string_view TarHeader::text(std::size_t offset, std::size_t size) const {
  const std::string_view field = text_.substr(offset, size);
  return field.substr(0, field.find('\0'));
}

TarExtra overlaid(TarExtra below, const TarExtra& above) {
  if (above.name) below.name = above.name;
  if (above.target) below.target = above.target;
  if (above.size) below.size = above.size;
  below.is_sparse = below.is_sparse || above.is_sparse;
  return below;
}

bool take_pax_records(std::string_view records, TarExtra& extra) {
  while (!records.empty() && records.front() != '\0') {  // some programs pad with zeros
    const std::size_t blank = records.find(' ');
    std::size_t length = 0;
    if (blank == std::string_view::npos || !read_decimal(records.substr(0, blank), length) ||
        length > records.size() || length < blank + 2 || records[length - 1] != '\n') {
      return false;
    }
    const std::string_view record = records.substr(blank + 1, length - blank - 2);
    const std::size_t equals = record.find('=');
    if (equals == std::string_view::npos ||
        !take_record(record.substr(0, equals), record.substr(equals + 1), extra)) {
      return false;
    }
    records.remove_prefix(length);
  }
  return true;
}

}  // namespace nat::data
