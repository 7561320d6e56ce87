// The documents name files, programs and test cases; this test finds the names that no longer
// exist.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;

std::string content_of(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

bool begins_with(std::string_view text, std::string_view beginning) {
  return text.substr(0, beginning.size()) == beginning;
}

// README.md, CONTRIBUTING.md, ..., docs/ and the README.md of every room.
std::vector<fs::path> documents(const fs::path& root) {
  std::vector<fs::path> found;
  for (const fs::directory_entry& entry : fs::directory_iterator(root)) {
    if (entry.path().extension() == ".md") found.push_back(entry.path());
  }
  for (const char* folder :
       {"docs", "kernels", "engine", "models", "data", "nat", "tools", "tests", "bench"}) {
    if (!fs::exists(root / folder)) continue;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(root / folder)) {
      if (entry.path().extension() == ".md") found.push_back(entry.path());
    }
  }
  return found;
}

// The text between backticks, and every line of a fenced block: what a reader may type or open.
std::vector<std::string> code_of(const std::string& text) {
  std::vector<std::string> found;
  std::istringstream lines(text);
  bool fenced = false;
  for (std::string line; std::getline(lines, line);) {
    if (begins_with(line, "```")) {
      fenced = !fenced;
    } else if (fenced) {
      found.push_back(line);
    } else {
      std::size_t open = line.find('`');
      while (open != std::string::npos) {
        const std::size_t close = line.find('`', open + 1);
        if (close == std::string::npos) break;
        found.push_back(line.substr(open + 1, close - open - 1));
        open = line.find('`', close + 1);
      }
    }
  }
  return found;
}

// The targets of [text](target), without those on the web and those inside the same page.
std::vector<std::string> links_of(const std::string& text) {
  std::vector<std::string> found;
  for (std::size_t at = text.find("]("); at != std::string::npos; at = text.find("](", at + 2)) {
    const std::size_t end = text.find(')', at);
    if (end == std::string::npos) break;
    std::string target = text.substr(at + 2, end - at - 2);
    target.resize(std::min(target.size(), target.find('#')));
    if (!target.empty() && target.find(':') == std::string::npos) found.push_back(target);
  }
  return found;
}

std::vector<std::string> words_of(const std::string& code) {
  std::istringstream in(code);
  std::vector<std::string> words;
  for (std::string word; in >> word;) {
    while (!word.empty() && (word.back() == ',' || word.back() == '.' || word.back() == ':' ||
                             word.back() == ';' || word.back() == ')')) {
      word.pop_back();
    }
    words.push_back(word);
  }
  return words;
}

// A word is a path of the tree when its first folder is one of ours. NAME stands for any name.
bool names_tree(const std::string& word) {
  static const std::set<std::string> folders = {".ci",  "bench",  "cmake",   "data",
                                                "docs", "engine", "kernels", "models",
                                                "nat",  "tests",  "tools"};
  const std::size_t slash = word.find('/');
  return slash != std::string::npos && folders.count(word.substr(0, slash)) == 1 &&
         word.find_first_of("<>{}$=") == std::string::npos &&
         word.find("NAME") == std::string::npos;
}

// "kernels/*.h" needs its folder, everything else itself.
bool exists_in_tree(const fs::path& root, const std::string& word) {
  const std::size_t star = word.find('*');
  if (star == std::string::npos) return fs::exists(root / word);
  return fs::exists((root / word.substr(0, star)).parent_path());
}

// The source of a test program. simt_NAME is NAME once more, on the CUDA kernels (tests/simt).
fs::path source_of_test(const fs::path& root, std::string name) {
  constexpr std::string_view kSimt = "simt_";
  if (begins_with(name, kSimt)) name.erase(0, kSimt.size());
  return root / "tests" / (name + ".cpp");
}

// build/bin/NAME is built from the tools, a test or a benchmark.
bool program_exists(const fs::path& root, const std::string& name) {
  return name == "nat" || fs::exists(source_of_test(root, name)) ||
         fs::exists(root / "bench" / (name + ".cpp"));
}

// The patterns of -tc="A*,B*": some test case of the program must hold each of them.
std::vector<std::string> test_cases_of(const std::string& code) {
  const std::string_view option = "-tc=\"";
  const std::size_t begin = code.find(option);
  if (begin == std::string::npos) return {};
  std::string patterns = code.substr(begin + option.size());
  patterns.resize(std::min(patterns.size(), patterns.find('"')));
  patterns.erase(std::remove(patterns.begin(), patterns.end(), '*'), patterns.end());
  std::vector<std::string> found;
  std::istringstream in(patterns);
  for (std::string pattern; std::getline(in, pattern, ',');) found.push_back(pattern);
  return found;
}

// What a piece of code names that does not exist; empty when all is well.
std::string fault_of_code(const fs::path& root, const std::string& code) {
  constexpr std::string_view kPrograms = "build/bin/";
  for (const std::string& word : words_of(code)) {
    if (names_tree(word) && !exists_in_tree(root, word)) return word;
    const std::size_t at = word.find(kPrograms);
    if (at == std::string::npos) continue;
    const std::string program = word.substr(at + kPrograms.size());
    if (!program_exists(root, program)) return word;
    const std::string source = content_of(source_of_test(root, program));
    for (const std::string& pattern : test_cases_of(code)) {
      if (source.find(pattern) == std::string::npos) return pattern;
    }
  }
  return "";
}

}  // namespace

TEST_CASE("paths, programs and test cases named in the documents exist") {
  const fs::path root = NAT_SOURCE_DIR;
  std::size_t checked = 0;
  for (const fs::path& document : documents(root)) {
    for (const std::string& code : code_of(content_of(document))) {
      const std::string fault = fault_of_code(root, code);
      CHECK_MESSAGE(fault.empty(), fs::relative(document, root).string(), " names ", fault);
      ++checked;
    }
  }
  CHECK(checked > 100);
}

TEST_CASE("links in the documents lead somewhere") {
  const fs::path root = NAT_SOURCE_DIR;
  for (const fs::path& document : documents(root)) {
    for (const std::string& link : links_of(content_of(document))) {
      CHECK_MESSAGE(fs::exists(document.parent_path() / link),
                    fs::relative(document, root).string(), " links to ", link);
    }
  }
}

TEST_CASE("names that do not exist are found, in backticks and in fenced blocks") {
  const fs::path root = NAT_SOURCE_DIR;
  const std::string text =
      "See `kernels/no_such_file.h`, then `tests/main.cpp`.\n"
      "```\n"
      "build/bin/no_such_program --help\n"
      "build/bin/tools_docs_test -tc=\"no such "
      "case*\"\n"
      "build/bin/tools_docs_test -tc=\"links in the*\"\n"
      "tools/no_such_script --epochs 2\n"
      "cat runs/demo/results.json\n"
      "```\n";
  std::vector<std::string> faults;
  for (const std::string& code : code_of(text)) {
    const std::string fault = fault_of_code(root, code);
    if (!fault.empty()) faults.push_back(fault);
  }
  const std::vector<std::string> expected = {"kernels/no_such_file.h", "build/bin/no_such_program",
                                             "no such "
                                             "case",
                                             "tools/no_such_script"};
  CHECK(faults == expected);
}

TEST_CASE("a link keeps its file and loses its anchor; addresses on the web are left alone") {
  const std::vector<std::string> links = links_of(
      "[a](00-map.md) [b](../data/README.md#call-chain) [c](https://example.org/x) [d](#here)");
  const std::vector<std::string> expected = {"00-map.md", "../data/README.md"};
  CHECK(links == expected);
}
