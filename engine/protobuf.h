// ProtobufMessage: a message in the wire format of Protocol Buffers [1], written field by field.
// TensorBoard's event files and ONNX models are such messages; their schemas are not needed to
// write them, only the number and the type of each field.
//
//   ProtobufMessage value;
//   value.put_text(1, "loss").put_float(2, 1.5f);     // Summary.Value { tag, simple_value }
//   ProtobufMessage summary;
//   summary.put_message(1, value);                    // Summary { repeated value }
//
// A field may be put several times where the schema says `repeated`. Zeros are written too.
//
// [1] https://protobuf.dev/programming-guides/encoding/
#pragma once

#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace nat {

class ProtobufMessage {
 public:
  ProtobufMessage& put_int(std::uint32_t field, std::int64_t value) {
    put_tag(field, WireType::varint);
    return put_varint(static_cast<std::uint64_t>(value));
  }
  ProtobufMessage& put_float(std::uint32_t field, float value) {
    put_tag(field, WireType::four_bytes);
    return put_little_endian(std::bit_cast<std::uint32_t>(value));
  }
  ProtobufMessage& put_double(std::uint32_t field, double value) {
    put_tag(field, WireType::eight_bytes);
    return put_little_endian(std::bit_cast<std::uint64_t>(value));
  }
  // Of `string` and `bytes` fields.
  ProtobufMessage& put_text(std::uint32_t field, std::string_view text) {
    put_tag(field, WireType::length_and_bytes);
    put_varint(text.size());
    bytes_.append(text);
    return *this;
  }
  ProtobufMessage& put_message(std::uint32_t field, const ProtobufMessage& message) {
    return put_text(field, message.bytes_);
  }

  // All fields of another message, behind those of this one.
  ProtobufMessage& append(const ProtobufMessage& fields) {
    bytes_ += fields.bytes_;
    return *this;
  }

  const std::string& bytes() const& { return bytes_; }
  std::string bytes() && { return std::move(bytes_); }

 private:
  enum class WireType : std::uint32_t {
    varint = 0,
    eight_bytes = 1,
    length_and_bytes = 2,
    four_bytes = 5
  };

  void put_tag(std::uint32_t field, WireType type) {
    put_varint(field << 3 | static_cast<std::uint32_t>(type));
  }
  // Seven bits a byte, the lowest first; the eighth says that more follow.
  ProtobufMessage& put_varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_.push_back(static_cast<char>(value | 0x80));
    bytes_.push_back(static_cast<char>(value));
    return *this;
  }
  template <class Word>
  ProtobufMessage& put_little_endian(Word word) {
    for (std::size_t i = 0; i < sizeof word; ++i, word = static_cast<Word>(word >> 8)) {
      bytes_.push_back(static_cast<char>(word & 0xff));
    }
    return *this;
  }

  std::string bytes_;
};

}  // namespace nat
