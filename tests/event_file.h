// Reads TensorBoard's event files, apart from the code that writes them (engine/event_log.h says
// how they are built). Checksums are computed bit by bit; what is not as it must be fails the test.
#pragma once

#include <doctest/doctest.h>

#include <bit>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/temporary_folder.h"

namespace nat::test {

inline std::uint32_t slow_crc32c(const std::string& bytes) {
  std::uint32_t crc = 0xffffffff;
  for (const char byte : bytes) {
    for (int bit = 0; bit < 8; ++bit) {
      const bool differs = ((crc ^ static_cast<unsigned char>(byte) >> bit) & 1) != 0;
      crc = differs ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    }
  }
  return crc ^ 0xffffffff;
}

// A text that is taken apart from its beginning.
class Bytes {
 public:
  explicit Bytes(std::string bytes) : bytes_(std::move(bytes)) {}

  bool empty() const { return at_ == bytes_.size(); }
  std::string take(std::uint64_t count) {
    REQUIRE(count <= bytes_.size() - at_);
    at_ += count;
    return bytes_.substr(at_ - count, count);
  }
  std::uint64_t number(int bytes) {
    std::uint64_t value = 0;
    for (int i = 0; i < bytes; ++i) value += std::uint64_t{byte()} << (8 * i);
    return value;
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const std::uint64_t next = byte();
      value |= (next & 127) << shift;
      if (next < 128) return value;
    }
    FAIL("a varint of more than ten bytes");
    return 0;
  }

 private:
  unsigned char byte() { return static_cast<unsigned char>(take(1).front()); }

  std::string bytes_;
  std::size_t at_ = 0;
};

// One field: numbers as they lie in the file, texts and messages as bytes.
struct WireField {
  std::uint64_t number = 0, type = 0, value = 0;
  std::string bytes;
};

inline std::vector<WireField> fields_of(const std::string& message) {
  std::vector<WireField> fields;
  for (Bytes rest(message); !rest.empty();) {
    const std::uint64_t tag = rest.varint();
    WireField& field = fields.emplace_back(WireField{tag >> 3, tag & 7, 0, ""});
    REQUIRE((field.type == 0 || field.type == 1 || field.type == 2 || field.type == 5));
    if (field.type == 0) field.value = rest.varint();
    if (field.type == 1) field.value = rest.number(8);
    if (field.type == 2) field.bytes = rest.take(rest.varint());
    if (field.type == 5) field.value = rest.number(4);
  }
  return fields;
}

struct Event {
  double wall_time = 0;
  std::int64_t step = 0;
  std::string version;
  std::map<std::string, float> scalars;
};

inline void read_scalar(const std::string& message, Event& event) {
  std::string tag;
  for (const WireField& field : fields_of(message)) {
    if (field.number == 1 && field.type == 2) tag = field.bytes;
    if (field.number == 2 && field.type == 5) {
      CHECK_MESSAGE(event.scalars.count(tag) == 0, tag);
      event.scalars[tag] = std::bit_cast<float>(static_cast<std::uint32_t>(field.value));
    }
  }
}

inline Event event_of(const std::string& payload) {
  Event event;
  for (const WireField& field : fields_of(payload)) {
    if (field.number == 1 && field.type == 1) event.wall_time = std::bit_cast<double>(field.value);
    if (field.number == 2 && field.type == 0) event.step = static_cast<std::int64_t>(field.value);
    if (field.number == 3 && field.type == 2) event.version = field.bytes;
    if (field.number != 5 || field.type != 2) continue;
    for (const WireField& value : fields_of(field.bytes)) {
      REQUIRE(value.number == 1);
      read_scalar(value.bytes, event);
    }
  }
  return event;
}

// All events behind the first, which must be the version. Every record must be whole.
inline std::vector<Event> read_events(const std::string& path) {
  std::vector<Event> events;
  const auto check_crc = [](const std::string& bytes, std::uint64_t masked) {
    const std::uint32_t crc = slow_crc32c(bytes);
    CHECK(masked == static_cast<std::uint32_t>((crc >> 15 | crc << 17) + 0xa282ead8));
  };
  for (Bytes rest(read_file(path)); !rest.empty();) {
    const std::string length = rest.take(8);
    check_crc(length, rest.number(4));
    const std::string payload = rest.take(Bytes(length).number(8));
    check_crc(payload, rest.number(4));
    events.push_back(event_of(payload));
  }
  REQUIRE(!events.empty());
  CHECK(events.front().version == "brain.Event:2");
  CHECK(events.front().scalars.empty());
  events.erase(events.begin());
  return events;
}

}  // namespace nat::test
