// What an error says.
#pragma once

#include <doctest/doctest.h>

#include <string>

#include "kernels/check.h"

namespace nat::test {

// Runs `action`, which must throw Error of this kind; returns its message, which must be one line.
template <class Action>
std::string message_of(ErrorKind kind, Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    CHECK(error.kind() == kind);
    const std::string message = error.what();
    CHECK(message.find('\n') == std::string::npos);
    return message;
  }
  FAIL("no error was thrown");
  return "";
}

}  // namespace nat::test
