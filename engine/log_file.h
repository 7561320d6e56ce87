// LogFile: a file that grows at its end and is sometimes cut back. Nothing is buffered: what was
// appended is there for every reader of the file, and still there when the process is killed.
//
// Every failure of the system is one line of ErrorKind::io.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace nat {

class LogFile {
 public:
  explicit LogFile(std::filesystem::path path);  // opens the file, or creates it
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string content() const;
  void append(std::string_view bytes);
  void truncate(std::uint64_t bytes);
  void sync();  // returns once everything is on disk

 private:
  std::filesystem::path path_;
  int descriptor_;
};

}  // namespace nat
