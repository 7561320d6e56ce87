// Checks of HTML and SVG text for the report's tests.
#pragma once

#include <cctype>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace report_test {

// Why a text is not well-formed markup, or "": every tag closed in order, attributes quoted, no
// stray '<', '>' or '&'. Tags in `void_elements` need no end. Style sheets are passed over.
inline std::string malformed(std::string_view text, const std::set<std::string>& void_elements) {
  static const std::set<std::string_view> entities = {"amp", "lt", "gt", "quot", "#39"};
  std::vector<std::string> open;
  std::size_t i = 0;
  const auto here = [&] { return " at ..." + std::string(text.substr(i, 40)); };
  while (i < text.size()) {
    const char c = text[i];
    if (c == '>') return "stray >" + here();
    if (c == '&') {
      const std::size_t end = text.find(';', i);
      if (end == text.npos || !entities.contains(text.substr(i + 1, end - i - 1))) {
        return "stray &" + here();
      }
    }
    if (c != '<') {
      ++i;
      continue;
    }
    std::size_t end = i + 1;
    char quote = 0;
    for (; end < text.size() && (quote != 0 || text[end] != '>'); ++end) {
      if (text[end] == '<') return "stray <" + here();
      if (text[end] == '"') quote = quote == 0 ? '"' : '\0';
    }
    if (end >= text.size()) return "unfinished tag" + here();
    std::string_view tag = text.substr(i + 1, end - i - 1);
    i = end + 1;
    if (tag.starts_with("!doctype")) continue;
    if (tag.starts_with("/")) {
      if (open.empty() || open.back() != tag.substr(1)) return "wrong end " + std::string(tag);
      open.pop_back();
      continue;
    }
    const std::string name(tag.substr(0, tag.find_first_of(" /")));
    if (name.empty() || std::isalpha(static_cast<unsigned char>(name[0])) == 0) {
      return "bad tag " + std::string(tag);
    }
    if (tag.back() == '/' || void_elements.contains(name)) continue;
    if (name == "style") {
      i = text.find("</style>", i);
      if (i == text.npos) return "unfinished style";
    }
    open.push_back(name);
  }
  return open.empty() ? "" : "never closed: " + open.back();
}

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != text.npos;
}

inline int count(std::string_view text, std::string_view part) {
  int n = 0;
  for (std::size_t i = text.find(part); i != text.npos; i = text.find(part, i + 1)) ++n;
  return n;
}

}  // namespace report_test
