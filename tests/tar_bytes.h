// Tar archives that tests write for themselves, header by header.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace nat::test {

constexpr std::size_t kTarBlock = 512;

// The sum of its bytes, with blanks where it stands itself.
inline void seal_tar_header(std::string& archive, std::size_t at) {
  std::string_view header = std::string_view(archive).substr(at, kTarBlock);
  unsigned sum = 8 * ' ';
  for (std::size_t i = 0; i < kTarBlock; ++i) {
    if (i < 148 || i >= 156) sum += static_cast<unsigned char>(header[i]);
  }
  char text[8];
  std::snprintf(text, sizeof text, "%06o", sum);
  archive.replace(at + 148, 8, std::string(text, 7) + ' ');
}

class TarWriter {
 public:
  enum class Magic { none, ustar, gnu };
  explicit TarWriter(Magic magic = Magic::ustar) : magic_(magic) {}

  // The name must fit: 100 bytes.
  TarWriter& add(const std::string& name, std::string_view data, char type = '0') {
    header(name, octal(data.size()), type);
    bytes_ += data;
    return pad();
  }
  TarWriter& folder(const std::string& name) { return add(name + "/", "", '5'); }
  TarWriter& link(const std::string& name, const std::string& target, char type) {
    header(name, octal(0), type);
    bytes_.replace(bytes_.size() - kTarBlock + 157, target.size(), target);
    seal_tar_header(bytes_, bytes_.size() - kTarBlock);
    return *this;
  }
  // What stands in front of a header: GNU's long names (types L and K), records of pax.
  TarWriter& long_name(const std::string& name, char type = 'L') {
    return add("././@LongLink", name + '\0', type);
  }
  TarWriter& pax(const std::string& key, const std::string& value, char type = 'x') {
    return add("PaxHeaders/x", pax_record(key, value), type);
  }
  TarWriter& header(const std::string& name, const std::string& size_field, char type = '0',
                    const std::string& prefix = "") {
    const std::size_t at = bytes_.size();
    bytes_.resize(at + kTarBlock);
    bytes_.replace(at, name.size(), name);
    bytes_.replace(at + 100, 8, std::string("0000644\0", 8));
    bytes_.replace(at + 124, 12, size_field);
    bytes_[at + 156] = type;
    if (magic_ == Magic::ustar) bytes_.replace(at + 257, 8, std::string("ustar\00000", 8));
    if (magic_ == Magic::gnu) bytes_.replace(at + 257, 8, std::string("ustar  \0", 8));
    bytes_.replace(at + 345, prefix.size(), prefix);
    seal_tar_header(bytes_, at);
    return *this;
  }
  TarWriter& raw(const std::string& bytes) {
    bytes_ += bytes;
    return *this;
  }
  TarWriter& pad() {
    bytes_.resize((bytes_.size() + kTarBlock - 1) / kTarBlock * kTarBlock);
    return *this;
  }

  const std::string& unended() const { return bytes_; }
  std::string ended() const { return bytes_ + std::string(2 * kTarBlock, '\0'); }

  static std::string octal(std::uint64_t size) {
    char text[13];
    std::snprintf(text, sizeof text, "%011llo", static_cast<unsigned long long>(size));
    return std::string(text, 12);
  }
  static std::string base_256(std::uint64_t size) {
    std::string field(12, '\0');
    field[0] = '\x80';
    for (std::size_t i = 11; size > 0; --i, size >>= 8) field[i] = static_cast<char>(size);
    return field;
  }
  // "length key=value\n"; the length counts itself.
  static std::string pax_record(const std::string& key, const std::string& value) {
    const std::string rest = " " + key + "=" + value + "\n";
    std::size_t length = rest.size() + 1;
    while (std::to_string(length).size() + rest.size() != length) ++length;
    return std::to_string(length) + rest;
  }

 private:
  Magic magic_;
  std::string bytes_;
};

}  // namespace nat::test
