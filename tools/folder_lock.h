// FolderLock: a folder that one process writes to, alone as long as this lives.
#pragma once

#include <filesystem>
#include <string>

#include "kernels/check.h"

namespace nat::tools {

// The kernel lets go of it however the process ends, so nothing is left behind. File systems
// without locks leave it to the user.
class FolderLock {
 public:
  // Error(kind), which says `taken`, when another process has it; Error(io) when the folder cannot
  // be opened.
  FolderLock(const std::filesystem::path& folder, ErrorKind kind, const std::string& taken);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int descriptor_;
};

}  // namespace nat::tools
