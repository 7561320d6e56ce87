// Reading files and folders safely: only regular files are opened (a FIFO would block for ever),
// names are sorted by bytes, and names that reach a message or a manifest are made printable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace nat::data {

using Bytes = std::vector<std::uint8_t>;

bool exists(const std::string& path);     // of any kind
bool is_file(const std::string& path);    // a regular file, or a link to one
bool is_folder(const std::string& path);  // a directory, or a link to one
bool is_link(const std::string& path);
std::string join(const std::string& folder, const std::string& name);

// Names directly below a folder, each list sorted by bytes. Hidden names (".x") and whatever is
// neither file nor folder are left out; links are followed.
struct Listing {
  std::vector<std::string> files, folders;
};
Listing list_folder(const std::string& path);

// What tells two folders apart whatever their names: device and inode.
using FolderIdentity = std::pair<std::uint64_t, std::uint64_t>;
FolderIdentity folder_identity(const std::string& path);

// The absolute path of a folder without links and dots. Error{data} when it cannot be opened.
std::string real_folder(const std::string& path);

// A regular file that is open for reading, by several threads if need be. Error{data} with the
// reason alone (the caller knows the name); Error{memory}, which tells nothing about the file,
// where the process has no file descriptors or memory left.
class OpenFile {
 public:
  explicit OpenFile(const std::string& path);

  std::int64_t size() const { return size_; }  // when it was opened
  // Exactly `count` bytes from `offset` on.
  void read(std::int64_t offset, std::uint8_t* out, std::size_t count) const;

 private:
  struct Descriptor {
    explicit Descriptor(const std::string& path);
    ~Descriptor();
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    int value;
  };

  Descriptor descriptor_;
  std::int64_t size_ = 0;
};

// The same, but errors name the file and say what to do.
class NamedFile {
 public:
  explicit NamedFile(const std::string& path);

  std::int64_t size() const { return file_.size(); }
  void read(std::int64_t offset, void* out, std::size_t count) const;

 private:
  std::string path_;
  OpenFile file_;
};

// A whole file, or `size` bytes in it (a member of an archive).
struct FilePart {
  std::string path;
  std::int64_t offset = 0;
  std::int64_t size = -1;  // < 0: all from offset on
};

// The first `limit` bytes of a file or part and its full size. Errors as OpenFile.
struct FileStart {
  Bytes bytes;
  std::int64_t size = 0;
};
FileStart read_start(const FilePart& part, std::int64_t limit);
FileStart read_start(const std::string& path, std::int64_t limit);
Bytes read_all(const FilePart& part);
Bytes read_all(const std::string& path);

// Sequential reader of a plain or gzip-compressed file.
class GzReader {
 public:
  explicit GzReader(const std::string& path);
  // Takes over an open descriptor, of a pipe for instance; messages call it `name`.
  GzReader(int descriptor, std::string name);
  ~GzReader();
  GzReader(const GzReader&) = delete;
  GzReader& operator=(const GzReader&) = delete;

  // Reads up to `count` bytes; fewer only at the end of the data. Error{data} when the compressed
  // stream is damaged or cut off.
  std::size_t read(void* out, std::size_t count);

 private:
  struct State;
  std::string path_;
  std::unique_ptr<State> state_;
};

// The text with control characters, marks of the direction of writing and bytes that are not UTF-8
// written as \xNN.
std::string printable(std::string_view text);

std::string in_small_letters(std::string text);  // those of ASCII

// CRC-32 of a block, for fingerprints.
std::uint32_t crc32_of(const std::uint8_t* bytes, std::size_t count);

}  // namespace nat::data
