// DurableFile: a file that appears under its name complete or not at all, whatever dies meanwhile.
//
//   DurableFile file("runs/a/config.toml");     // creates config.toml.tmp, or .1.tmp where it is
//   file.write(text.data(), text.size());
//   file.commit();                              // fsync, rename, fsync of the folder
//
// A DurableFile that is destroyed before commit() removes its temporary file; the file that had the
// name before stays as it was. Every failure of the system is one line of ErrorKind::io.
//
// A link is followed: what it points to is replaced, or made, and the link stays. Devices, pipes
// and the descriptors of this process (/dev/stdout, /dev/fd/3) cannot be replaced: they take the
// bytes as they are written, and keep what came before a failure. Folders, sockets and disks are
// refused.
//
// append_durably: a log whose lines are whole, however many processes write it and whoever dies.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

namespace nat {

class DurableFile {
 public:
  explicit DurableFile(std::filesystem::path target);
  ~DurableFile();
  DurableFile(const DurableFile&) = delete;
  DurableFile& operator=(const DurableFile&) = delete;

  void write(const void* data, std::size_t bytes);
  void commit();

 private:
  std::filesystem::path target_;     // behind all links
  std::filesystem::path temporary_;  // empty: target_ takes the bytes itself, or has them
  int descriptor_ = -1;
};

// The whole of a small file at once.
void write_durably(const std::filesystem::path& target, std::string_view content);

// Throws now what writing `target` would throw later, after the work: no folder, no permission.
// Does not open a pipe, which would wait for its reader.
void require_writable(const std::filesystem::path& target);

// Which file a temporary one of this name is for: a.txt, of a.txt.tmp and of a.txt.1.tmp. Empty for
// every other name.
std::string target_of_temporary(std::string_view name);

// Removes the temporary file of a process that was killed. Stays, without an error: one that is
// still written, what is no file, and everything where the file system has no locks.
void remove_abandoned(const std::filesystem::path& temporary);
// Each one in a folder that is for a file of which `is_own` says that it is the caller's.
void remove_abandoned_in(const std::filesystem::path& folder,
                         const std::function<bool(const std::string& target)>& is_own);

// Adds `line` and a newline to the end of a file, which is made where there is none, and returns
// once they are on disk. What is there stays, but for a last line without newline: its writer was
// killed. Writers wait for one another. When writing fails, nothing of the line stays.
void append_durably(const std::filesystem::path& target, std::string_view line);

// Throws now what append_durably would throw later; leaves no file behind that was not there.
void require_appendable(const std::filesystem::path& target);

inline constexpr std::string_view kTemporarySuffix = ".tmp";

// Writes all bytes to an open descriptor, through short writes and signals; false leaves errno set.
bool write_fully(int descriptor, const void* data, std::size_t bytes);

// Throws ErrorKind::io: "PATH: cannot ACTION: No space left on device; free some disk space".
[[noreturn]] void throw_io_error(const std::filesystem::path& path, std::string_view action,
                                 int error_number);

}  // namespace nat
