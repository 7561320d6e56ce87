#include "kernels/cuda/libraries/plan_file.h"

#include <cassert>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "kernels/check.h"

namespace nat::gpu {

namespace {

constexpr const char* kFirstLine = "nat library plans 1";
constexpr const char* kSeparator = " = ";

// The numbers of a line; empty when anything else stands there.
std::vector<std::int64_t> parse_numbers(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::int64_t> numbers;
  for (std::int64_t number = 0; in >> number;) numbers.push_back(number);
  return in.eof() ? numbers : std::vector<std::int64_t>();
}

}  // namespace

PlanFile PlanFile::load(const std::string& path) {
  std::ifstream in(path);
  NAT_CHECK(in, ErrorKind::io, "plan file ", path, " cannot be read");
  std::string line;
  NAT_CHECK(std::getline(in, line) && line == kFirstLine, ErrorKind::usage, "plan file ", path,
            " does not begin with '", kFirstLine, "'; delete it and tune again");
  PlanFile file;
  for (int number = 2; std::getline(in, line); ++number) {
    const std::size_t separator = line.find(kSeparator);
    std::vector<std::int64_t> numbers;
    if (separator != std::string::npos && separator > 0) {
      numbers = parse_numbers(line.substr(separator + std::string(kSeparator).size()));
    }
    NAT_CHECK(!numbers.empty(), ErrorKind::usage, "plan file ", path, ", line ", number,
              ": expected 'KEY = NUMBER NUMBER ...', found '", line,
              "'; delete the line and tune again");
    file.plans_[line.substr(0, separator)] = std::move(numbers);
  }
  NAT_CHECK(!in.bad(), ErrorKind::io, "plan file ", path, ": reading failed");
  return file;
}

void PlanFile::save(const std::string& path) const {
  const std::string temporary = path + ".tmp";
  {
    std::ofstream out(temporary, std::ios::trunc);
    out << kFirstLine << '\n';
    for (const auto& [key, numbers] : plans_) {
      out << key << " =";
      for (const std::int64_t number : numbers) out << ' ' << number;
      out << '\n';
    }
    out.close();
    NAT_CHECK(out, ErrorKind::io, "plan file ", temporary, " cannot be written");
  }
  std::error_code error;
  std::filesystem::rename(temporary, path, error);
  NAT_CHECK(!error, ErrorKind::io, "plan file ", path, " cannot be replaced: ", error.message());
}

void PlanFile::set(const std::string& key, std::vector<std::int64_t> numbers) {
  assert(!key.empty() && key.find_first_of("=\n") == std::string::npos && !numbers.empty());
  plans_[key] = std::move(numbers);
}

const std::vector<std::int64_t>* PlanFile::find(const std::string& key) const {
  const auto found = plans_.find(key);
  return found == plans_.end() ? nullptr : &found->second;
}

}  // namespace nat::gpu
