#include "data/text_file.h"

#include <algorithm>

#include "kernels/check.h"

namespace nat::data {
namespace {

std::vector<Line> split_lines(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\f\v";
  std::vector<Line> lines;
  for (std::int64_t number = 1; !text.empty(); ++number) {
    std::string_view rest = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(rest.size() + 1, text.size()));
    Line line{number, rest, {}};
    for (std::size_t begin = rest.find_first_not_of(kBlanks); begin != std::string_view::npos;
         begin = rest.find_first_not_of(kBlanks)) {
      rest.remove_prefix(begin);
      line.words.push_back(rest.substr(0, rest.find_first_of(kBlanks)));
      rest.remove_prefix(line.words.back().size());
    }
    if (!line.words.empty()) lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace

TextFile::TextFile(const std::string& path) : path_(path) {
  try {
    bytes_ = read_all(path);
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::memory) throw;
    throw Error(ErrorKind::data, str(printable(path), ": ", error.what(),
                                     "; check its permissions or unpack the data set again"));
  }
  const auto* characters = reinterpret_cast<const char*>(bytes_.data());
  lines_ = split_lines({characters, bytes_.size()});
}

std::string TextFile::at(std::int64_t line) const { return str(printable(path_), ":", line); }

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kMost = 60;
  return str("'", printable(text.substr(0, kMost)), text.size() > kMost ? "...'" : "'");
}

}  // namespace nat::data
