// One exception type for everything a user can cause, and the macro that throws it.
//
//   NAT_CHECK(n > 0, ErrorKind::usage, "--batch: ", n, " is not positive; give at least 1");
//
// The message names what, where, the value and the fix, in one line. The kind decides the exit code
// of the program (docs/exit-codes.md). Broken invariants of our own code use assert() instead.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace nat {

// The numeric values are the exit codes of the command line.
enum class ErrorKind {
  unexpected = 1,
  usage = 2,       // wrong option, value, shape or configuration
  data = 3,        // data set missing, corrupt or inconsistent
  checkpoint = 4,  // checkpoint or run folder unusable
  not_finite = 5,  // NaN or infinity in the loss
  device = 6,      // device missing or failing
  memory = 7,      // out of memory
  io = 8,          // disk full, permission, short write
};

class Error : public std::runtime_error {
 public:
  Error(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const { return kind_; }

 private:
  ErrorKind kind_;
};

// Concatenates the printed forms of its arguments.
template <class... Parts>
std::string str(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

}  // namespace nat

#define NAT_CHECK(condition, kind, ...)                                  \
  do {                                                                   \
    if (!(condition)) throw ::nat::Error(kind, ::nat::str(__VA_ARGS__)); \
  } while (false)
