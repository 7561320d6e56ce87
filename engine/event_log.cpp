#include "engine/event_log.h"

#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <optional>
#include <string>

#include "engine/protobuf.h"
#include "kernels/check.h"

namespace nat {

namespace {

constexpr std::size_t kLengthBytes = 8, kCrcBytes = 4;
constexpr std::size_t kHeadBytes = kLengthBytes + kCrcBytes;

// The remainder of every byte, for the reflected polynomial.
constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
    table[byte] = crc;
  }
  return table;
}

constexpr std::array<std::uint32_t, 256> kCrcTable = make_crc_table();

// As TFRecords store it: CRCs of data that hold CRCs themselves would be weak.
std::uint32_t masked_crc(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xa282ead8u;
}

std::string little_endian(std::uint64_t value, std::size_t bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes; ++i) text.push_back(static_cast<char>(value >> 8 * i & 0xff));
  return text;
}

std::uint64_t from_little_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) {
    value = value << 8 | static_cast<unsigned char>(bytes[i]);
  }
  return value;
}

std::string record_of(std::string_view payload) {
  const std::string length = little_endian(payload.size(), kLengthBytes);
  std::string record = length + little_endian(masked_crc(length), kCrcBytes);
  record += payload;
  return record + little_endian(masked_crc(payload), kCrcBytes);
}

// The payload of the record that `bytes` begin with, when it is whole and undamaged.
std::optional<std::string_view> first_payload(std::string_view bytes) {
  if (bytes.size() < kHeadBytes + kCrcBytes) return std::nullopt;
  const std::string_view length = bytes.substr(0, kLengthBytes);
  if (from_little_endian(bytes.substr(kLengthBytes, kCrcBytes)) != masked_crc(length)) {
    return std::nullopt;
  }
  const std::uint64_t size = from_little_endian(length);
  if (size > bytes.size() - kHeadBytes - kCrcBytes) return std::nullopt;
  const std::string_view payload = bytes.substr(kHeadBytes, size);
  const std::string_view crc = bytes.substr(kHeadBytes + size, kCrcBytes);
  if (from_little_endian(crc) != masked_crc(payload)) return std::nullopt;
  return payload;
}

ProtobufMessage version() { return ProtobufMessage().put_text(3, "brain.Event:2"); }

ProtobufMessage begin_event() {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  return ProtobufMessage().put_double(1, now.count());
}

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t crc = ~0u;
  for (const char byte : bytes) {
    crc = crc >> 8 ^ kCrcTable[(crc ^ static_cast<unsigned char>(byte)) & 0xff];
  }
  return ~crc;
}

EventLog::EventLog(const std::filesystem::path& path) : file_(path) { adopt(); }

void EventLog::adopt() {
  file_.open();
  const std::string content = file_.content();
  std::string_view rest = content;
  for (auto payload = first_payload(rest); payload; payload = first_payload(rest)) {
    if (ends_.empty() && !payload->ends_with(version().bytes())) break;
    rest.remove_prefix(kHeadBytes + payload->size() + kCrcBytes);
    ends_.push_back(content.size() - rest.size());
  }
  file_.truncate(ends_.empty() ? 0 : ends_.back());
  if (ends_.empty()) append_record(begin_event().bytes() + version().bytes());
}

void EventLog::append(std::int64_t step, const MetricsRow& scalars) {
  ProtobufMessage summary;
  for (const auto& [tag, value] : scalars) {
    if (std::isnan(value)) continue;
    summary.put_message(1,
                        ProtobufMessage().put_text(1, tag).put_float(2, static_cast<float>(value)));
  }
  append_record(begin_event().put_int(2, step).put_message(5, summary).bytes());
}

void EventLog::append_record(std::string_view payload) {
  const std::string record = record_of(payload);
  const std::uint64_t before = ends_.empty() ? 0 : ends_.back();
  try {
    file_.append(record);
  } catch (const Error&) {
    file_.truncate(before);
    throw;
  }
  ends_.push_back(before + record.size());
}

void EventLog::truncate_to_rows(std::uint64_t rows) {
  if (rows >= this->rows()) return;
  ends_.resize(rows + 1);
  file_.truncate(ends_.back());
}

}  // namespace nat
