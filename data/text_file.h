// Text files that say something about pictures, a record a line: lists of ids, class files,
// annotations.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "data/files.h"

namespace nat::data {

struct Line {
  std::int64_t number = 0;  // from 1
  std::string_view text;    // all of it
  std::vector<std::string_view> words;
};

class TextFile {
 public:
  // Error{data} when it cannot be read.
  explicit TextFile(const std::string& path);

  TextFile(const TextFile&) = delete;  // the lines are views of bytes_
  TextFile& operator=(const TextFile&) = delete;

  // Split at blanks, "\r" among them; lines without a word are left out. Views into the file, which
  // must live.
  const std::vector<Line>& lines() const { return lines_; }
  std::string at(std::int64_t line) const;  // "PATH:17", for messages

 private:
  std::string path_;
  Bytes bytes_;
  std::vector<Line> lines_;
};

// For messages; what is no text may have endless lines.
std::string in_quotes(std::string_view text);

}  // namespace nat::data
