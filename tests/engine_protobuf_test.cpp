#include "engine/protobuf.h"

#include <doctest/doctest.h>

#include <string>

using nat::ProtobufMessage;

namespace {

std::string hex(const ProtobufMessage& message) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string text;
  for (const char byte : message.bytes()) {
    const auto value = static_cast<unsigned char>(byte);
    text += {kDigits[value >> 4], kDigits[value & 15]};
  }
  return text;
}

}  // namespace

TEST_CASE("fields are written as the examples of the encoding guide are") {
  CHECK(hex(ProtobufMessage().put_int(1, 150)) == "089601");
  CHECK(hex(ProtobufMessage().put_text(2, "testing")) == "120774657374696e67");
  CHECK(hex(ProtobufMessage().put_message(3, ProtobufMessage().put_int(1, 150))) == "1a03089601");
}

TEST_CASE("integers take seven bits a byte and negative ones ten bytes") {
  CHECK(hex(ProtobufMessage().put_int(1, 0)) == "0800");
  CHECK(hex(ProtobufMessage().put_int(1, 127)) == "087f");
  CHECK(hex(ProtobufMessage().put_int(1, 128)) == "088001");
  CHECK(hex(ProtobufMessage().put_int(1, -2)) == "08feffffffffffffffff01");
}

TEST_CASE(
    "floats and doubles lie with their lowest byte first, and large fields have longer tags") {
  CHECK(hex(ProtobufMessage().put_float(2, 1.5f)) == "150000c03f");
  CHECK(hex(ProtobufMessage().put_double(1, -2)) == "0900000000000000c0");
  CHECK(hex(ProtobufMessage().put_int(16, 1)) == "800101");
}

TEST_CASE("a message keeps its fields in the order in which they were put") {
  const ProtobufMessage message = ProtobufMessage().put_int(2, 1).put_text(1, "").put_int(2, 3);
  CHECK(hex(message) == "10010a001003");
  CHECK(hex(ProtobufMessage().put_int(1, 7).append(message)) == "080710010a001003");
}
