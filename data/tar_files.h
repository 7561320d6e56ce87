// Which archives a path of tar: means, and which of them hold a split (tar_shards.h has the rules).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "data/files.h"
#include "data/open.h"

namespace nat::data {

// The archives of a split.
struct TarFiles {
  std::string root;                // the folder they lie in
  std::vector<std::string> names;  // below it, in the order of ids
  bool hold_all_splits = false;    // then folders in the archives may tell them apart
  std::vector<std::string> remarks;

  std::string path(std::size_t i) const { return join(root, names[i]); }
};

// "a{000..146}b": names files that need not exist under this name.
bool is_tar_range(const std::string& path);

// A tar archive, compressed or not, or a folder that holds some and neither folders nor pictures.
bool looks_like_tar_files(const std::string& path);

// Nothing when the archives have names of splits, but none has that of this one. Error{data} when
// there are no archives.
std::optional<TarFiles> find_tar_files(const std::string& path, Split split);

}  // namespace nat::data
