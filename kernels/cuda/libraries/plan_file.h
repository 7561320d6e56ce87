// A text file of pinned plans: which implementation a library is to use for which problem. Timed
// once on a GPU, it makes later runs start faster and give the same bits.
//
//   nat library plans 1
//   KEY = NUMBER NUMBER ...
//
// The key names the library with its version, the compute capability and the problem; the numbers
// mean something to that library alone. Keys that nobody asks for are kept and do no harm.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace nat::gpu {

class PlanFile {
 public:
  PlanFile() = default;
  // Throws Error(io) when the file cannot be read, Error(usage) with path and line when a line is
  // not of the form above.
  static PlanFile load(const std::string& path);
  // Replaces the file as a whole; Error(io) when it cannot be written.
  void save(const std::string& path) const;

  // A key must not hold '=' or a line break.
  void set(const std::string& key, std::vector<std::int64_t> numbers);
  const std::vector<std::int64_t>* find(const std::string& key) const;  // nullptr: not pinned
  std::size_t size() const { return plans_.size(); }

 private:
  std::map<std::string, std::vector<std::int64_t>> plans_;
};

}  // namespace nat::gpu
