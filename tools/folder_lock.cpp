#include "tools/folder_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>

#include "engine/durable_file.h"

namespace nat::tools {

FolderLock::FolderLock(const std::filesystem::path& folder, ErrorKind kind,
                       const std::string& taken)
    : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (descriptor_ < 0) throw_io_error(folder, "open folder", errno);
  const bool is_taken = ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  if (is_taken) ::close(descriptor_);
  NAT_CHECK(!is_taken, kind, taken);
}

FolderLock::~FolderLock() { ::close(descriptor_); }

}  // namespace nat::tools
