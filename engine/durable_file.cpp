#include "engine/durable_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "kernels/check.h"

namespace nat {

namespace {

const char* advice(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return "; free some disk space or choose another folder";
    case EACCES:
    case EPERM:
    case EROFS:
      return "; choose a folder that can be written to";
    case ENOENT:
    case ENOTDIR:
      return "; create the folder first";
    case EISDIR:
      return "; it is a folder, give a file";
    default:
      return "";
  }
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

// The descriptor of this process that a path in /proc or /dev/fd names; -1: none.
int own_descriptor(const std::filesystem::path& path) {
  std::error_code missing;
  const auto folder = std::filesystem::canonical(folder_of(path), missing);
  if (missing || folder != std::filesystem::canonical("/proc/self/fd", missing)) return -1;
  const std::string name = path.filename().string();
  const char* end = name.data() + name.size();
  int descriptor = -1;
  return std::from_chars(name.data(), end, descriptor).ptr == end ? descriptor : -1;
}

// What a name stands for. It need not exist.
std::filesystem::path behind_links(std::filesystem::path path) {
  constexpr int kMostLinks = 40;  // as the kernel counts; what is left after them is a circle
  std::error_code ignored;
  for (int i = 0; i < kMostLinks && std::filesystem::is_symlink(path, ignored); ++i) {
    // Behind this link is the name of a file, or none at all; here is the descriptor itself.
    if (own_descriptor(path) >= 0) break;
    path = folder_of(path) / std::filesystem::read_symlink(path, ignored);
  }
  return path;
}

// Whether bytes go into what is there, which is no file and must stay.
bool is_stream(const std::filesystem::path& path) {
  if (own_descriptor(path) >= 0) return true;
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    if (errno != ENOENT) throw_io_error(path, "create", errno);
    return false;
  }
  if (S_ISDIR(status.st_mode)) throw_io_error(path, "write", EISDIR);
  if (S_ISCHR(status.st_mode) || S_ISFIFO(status.st_mode)) return true;
  NAT_CHECK(S_ISREG(status.st_mode), ErrorKind::io, path.string(),
            ": is not a regular file; give the name of a file");
  return false;
}

int open_stream(const std::filesystem::path& path) {
  // A descriptor that is opened once more would begin at the start of its file.
  const int own = own_descriptor(path);
  const int descriptor = own >= 0 ? ::fcntl(own, F_DUPFD_CLOEXEC, 0)
                                  : ::open(path.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC);
  if (descriptor < 0) throw_io_error(path, "open", errno);
  return descriptor;
}

// 0, or errno. Where a file system has no locks, nobody can hold one.
int lock(int descriptor, int operation) {
  while (::flock(descriptor, operation) != 0) {
    if (errno != EINTR) return errno;
  }
  return 0;
}

bool has_name(int descriptor) {
  struct stat status {};
  return ::fstat(descriptor, &status) != 0 || status.st_nlink > 0;
}

// Who may read the file that is replaced may read the new one, and nobody else.
void take_mode(const std::filesystem::path& target, int descriptor) {
  struct stat status {};
  if (::stat(target.c_str(), &status) == 0) ::fchmod(descriptor, status.st_mode & 07777);
}

// Makes a file under a name that nobody has: TARGET.tmp, TARGET.1.tmp, ... It is locked as long as
// the descriptor is open: so remove_abandoned tells it from what a killed process left.
int create_beside(const std::filesystem::path& target, std::filesystem::path& temporary) {
  for (int i = 0;; ++i) {
    temporary = target;
    if (i > 0) temporary += "." + std::to_string(i);
    temporary += kTemporarySuffix;
    const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor < 0 && errno != EEXIST) throw_io_error(target, "create", errno);
    if (descriptor < 0) continue;
    lock(descriptor, LOCK_EX);
    if (has_name(descriptor)) {
      take_mode(target, descriptor);
      return descriptor;
    }
    ::close(descriptor);  // remove_abandoned came before the lock
  }
}

// A rename survives a power cut only once the folder itself is on disk.
void sync_folder(const std::filesystem::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) throw_io_error(folder, "open folder", errno);
  int failure = ::fsync(descriptor) == 0 ? 0 : errno;
  if (failure == EINVAL) failure = 0;  // a file system on which folders cannot be synced
  ::close(descriptor);
  if (failure != 0) throw_io_error(folder, "sync folder", failure);
}

// A file that is appended to, alone as long as this lives. File systems without locks leave it to
// the user.
class Appended {
 public:
  Appended(const std::filesystem::path& path, int more_flags)
      : path_(path), descriptor_(::open(path.c_str(), kFlags | more_flags, 0666)) {
    if (descriptor_ < 0) throw_io_error(path_, "open", errno);
    lock(descriptor_, LOCK_EX);
  }
  ~Appended() { ::close(descriptor_); }
  Appended(const Appended&) = delete;
  Appended& operator=(const Appended&) = delete;

  // How many bytes are whole lines.
  off_t end_of_lines() const {
    std::array<char, 4096> block{};
    for (off_t end = size(); end > 0;) {
      const off_t from = std::max<off_t>(0, end - std::ssize(block));
      const ssize_t got =
          ::pread(descriptor_, block.data(), static_cast<std::size_t>(end - from), from);
      if (got < 0) throw_io_error(path_, "read", errno);
      const std::size_t newline =
          std::string_view(block.data(), static_cast<std::size_t>(got)).rfind('\n');
      if (newline != std::string_view::npos) return from + static_cast<off_t>(newline) + 1;
      end = from;
    }
    return 0;
  }

  void shorten(off_t bytes) {
    if (bytes < size() && ::ftruncate(descriptor_, bytes) != 0) {
      throw_io_error(path_, "shorten", errno);
    }
  }

  // 0, or errno.
  int append(std::string_view text) {
    if (!write_fully(descriptor_, text.data(), text.size())) return errno;
    return ::fsync(descriptor_) == 0 ? 0 : errno;
  }

 private:
  static constexpr int kFlags = O_RDWR | O_APPEND | O_CLOEXEC;

  off_t size() const {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) throw_io_error(path_, "read", errno);
    return status.st_size;
  }

  const std::filesystem::path& path_;
  int descriptor_;
};

}  // namespace

void throw_io_error(const std::filesystem::path& path, std::string_view action, int error_number) {
  throw Error(ErrorKind::io, str(path.string(), ": cannot ", action, ": ",
                                 std::strerror(error_number), advice(error_number)));
}

bool write_fully(int descriptor, const void* data, std::size_t bytes) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = ::write(descriptor, next, bytes);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    next += written;
    bytes -= static_cast<std::size_t>(written);
  }
  return true;
}

DurableFile::DurableFile(std::filesystem::path target) : target_(behind_links(std::move(target))) {
  if (is_stream(target_)) {
    descriptor_ = open_stream(target_);
    return;
  }
  descriptor_ = create_beside(target_, temporary_);
}

DurableFile::~DurableFile() {
  if (!temporary_.empty()) ::unlink(temporary_.c_str());  // while it is locked, so surely ours
  if (descriptor_ >= 0) ::close(descriptor_);
}

void DurableFile::write(const void* data, std::size_t bytes) {
  if (!write_fully(descriptor_, data, bytes)) throw_io_error(target_, "write", errno);
}

void DurableFile::commit() {
  const bool is_file = !temporary_.empty();
  if (is_file) {
    // A failed fsync is never repeated: the kernel reports lost pages only once.
    if (::fsync(descriptor_) != 0) throw_io_error(target_, "sync", errno);
    // Before the lock goes with the descriptor.
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
      throw_io_error(target_, "rename", errno);
    }
    temporary_.clear();
  }
  const int descriptor = std::exchange(descriptor_, -1);
  if (::close(descriptor) != 0) throw_io_error(target_, "close", errno);
  if (is_file) sync_folder(folder_of(target_));
}

void write_durably(const std::filesystem::path& target, std::string_view content) {
  DurableFile file(target);
  file.write(content.data(), content.size());
  file.commit();
}

void require_writable(const std::filesystem::path& target) {
  const std::filesystem::path path = behind_links(target);
  if (!is_stream(path) || own_descriptor(path) >= 0) {
    const DurableFile probe(path);
  } else if (::access(path.c_str(), W_OK) != 0) {
    throw_io_error(path, "write", errno);
  }
}

std::string target_of_temporary(std::string_view name) {
  if (!name.ends_with(kTemporarySuffix)) return "";
  name.remove_suffix(kTemporarySuffix.size());
  const std::size_t digits = name.find_last_not_of("0123456789") + 1;
  const bool is_numbered = digits < name.size() && digits > 0 && name[digits - 1] == '.';
  return std::string(is_numbered ? name.substr(0, digits - 1) : name);
}

void remove_abandoned(const std::filesystem::path& temporary) {
  const int descriptor = ::open(temporary.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) return;
  struct stat locked {};
  struct stat named {};
  const bool is_file = ::fstat(descriptor, &locked) == 0 && S_ISREG(locked.st_mode);
  // Once it is locked, the name may already stand for the file of another writer.
  if (is_file && lock(descriptor, LOCK_EX | LOCK_NB) == 0 &&
      ::lstat(temporary.c_str(), &named) == 0 && named.st_dev == locked.st_dev &&
      named.st_ino == locked.st_ino) {
    ::unlink(temporary.c_str());
  }
  ::close(descriptor);
}

void remove_abandoned_in(const std::filesystem::path& folder,
                         const std::function<bool(const std::string& target)>& is_own) {
  std::vector<std::filesystem::path> found;
  std::error_code ignored;
  using Iterator = std::filesystem::directory_iterator;
  for (Iterator entry(folder, ignored); !ignored && entry != Iterator(); entry.increment(ignored)) {
    if (is_own(target_of_temporary(entry->path().filename().string()))) {
      found.push_back(entry->path());
    }
  }
  for (const std::filesystem::path& file : found) remove_abandoned(file);
}

void append_durably(const std::filesystem::path& target, std::string_view line) {
  {
    Appended file(target, O_CREAT);
    const off_t end = file.end_of_lines();
    file.shorten(end);
    if (const int failure = file.append(std::string(line) + '\n'); failure != 0) {
      file.shorten(end);
      throw_io_error(target, "write", failure);
    }
  }
  sync_folder(folder_of(target));
}

void require_appendable(const std::filesystem::path& target) {
  std::error_code ignored;
  if (std::filesystem::exists(target, ignored)) {
    const Appended probe(target, 0);
  } else {
    require_writable(target);
  }
}

}  // namespace nat
