// LogFile: a file that grows at its end and is sometimes cut back. Nothing is buffered: what was
// appended is there for every reader of the file, and still there when the process is killed.
//
// Every failure of the system is one line of ErrorKind::io.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

namespace nat {

class LogFile {
 public:
  explicit LogFile(std::filesystem::path path) : path_(std::move(path)) {}
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string content() const;  // empty where there is no file
  void open();                  // for all that follows; creates it where there is none
  void append(std::string_view bytes);
  void truncate(std::uint64_t bytes);
  void sync();  // returns once everything is on disk

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

}  // namespace nat
