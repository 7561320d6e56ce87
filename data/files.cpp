#include "data/files.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <system_error>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "data/utf8.h"
#include "kernels/check.h"

namespace nat::data {
namespace {

namespace fs = std::filesystem;

// A picture file above this is not read into memory.
constexpr std::int64_t kMaxFileBytes = std::int64_t{1} << 30;

// Would a terminal obey this character? C0, DEL and C1 (U+0080 to U+009F); and the marks that turn
// the direction of writing (U+202A to U+202E, U+2066 to U+2069), by which one name shows as
// another.
bool is_control(std::string_view character) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(character[i]); };
  if (character.size() == 1) return byte(0) < 0x20 || byte(0) == 0x7F;
  if (character.size() == 2) return byte(0) == 0xC2 && byte(1) < 0xA0;
  if (character.size() != 3 || byte(0) != 0xE2) return false;
  return (byte(1) == 0x80 && byte(2) >= 0xAA && byte(2) <= 0xAE) ||
         (byte(1) == 0x81 && byte(2) >= 0xA6 && byte(2) <= 0xA9);
}

}  // namespace

bool exists(const std::string& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

bool is_file(const std::string& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored);
}

bool is_folder(const std::string& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

bool is_link(const std::string& path) {
  std::error_code ignored;
  return fs::is_symlink(path, ignored);
}

std::string join(const std::string& folder, const std::string& name) {
  if (folder.empty()) return name;
  return folder.back() == '/' ? folder + name : folder + "/" + name;
}

Listing list_folder(const std::string& path) {
  std::error_code error;
  fs::directory_iterator entry(path, error);
  NAT_CHECK(!error, ErrorKind::data, printable(path), ": cannot list the folder (", error.message(),
            "); check the path and its permissions");
  Listing listing;
  for (; entry != fs::directory_iterator(); entry.increment(error)) {
    std::string name = entry->path().filename().string();
    if (name.front() == '.') continue;
    std::error_code broken_link;
    // The type comes with the directory entry: no stat call for plain files.
    if (entry->is_regular_file(broken_link)) {
      listing.files.push_back(std::move(name));
    } else if (entry->is_directory(broken_link)) {
      listing.folders.push_back(std::move(name));
    }
  }
  NAT_CHECK(!error, ErrorKind::data, printable(path), ": listing the folder stopped (",
            error.message(), "); check the disk");
  std::sort(listing.files.begin(), listing.files.end());
  std::sort(listing.folders.begin(), listing.folders.end());
  return listing;
}

FolderIdentity folder_identity(const std::string& path) {
  struct stat status {};
  NAT_CHECK(::stat(path.c_str(), &status) == 0, ErrorKind::data, printable(path),
            ": cannot open the folder (", std::strerror(errno),
            "); check the path and its permissions");
  return {status.st_dev, status.st_ino};
}

std::string real_folder(const std::string& path) {
  std::error_code error;
  const fs::path real = fs::canonical(path, error);
  NAT_CHECK(!error, ErrorKind::data, printable(path), ": cannot open the folder (", error.message(),
            "); check the path and its permissions");
  return real.string();
}

OpenFile::Descriptor::Descriptor(const std::string& path)
    : value(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}

OpenFile::Descriptor::~Descriptor() {
  if (value >= 0) ::close(value);
}

OpenFile::OpenFile(const std::string& path) : descriptor_(path) {
  const int failure = descriptor_.value < 0 ? errno : 0;
  // That says nothing about the file.
  const bool is_shortage = failure == EMFILE || failure == ENFILE || failure == ENOMEM;
  NAT_CHECK(!is_shortage, ErrorKind::memory, printable(path), ": cannot be opened (",
            std::strerror(failure), "); give fewer --loaders, or raise 'ulimit -n'");
  NAT_CHECK(failure == 0, ErrorKind::data, "cannot be opened (", std::strerror(failure), ")");
  struct stat status {};
  NAT_CHECK(::fstat(descriptor_.value, &status) == 0, ErrorKind::data, "cannot be read (",
            std::strerror(errno), ")");
  NAT_CHECK(S_ISREG(status.st_mode), ErrorKind::data, "is not a regular file");
  size_ = status.st_size;
}

void OpenFile::read(std::int64_t offset, std::uint8_t* out, std::size_t count) const {
  for (std::size_t filled = 0; filled < count;) {
    const ssize_t got = ::pread(descriptor_.value, out + filled, count - filled,
                                offset + static_cast<std::int64_t>(filled));
    if (got < 0 && errno == EINTR) continue;
    NAT_CHECK(got >= 0, ErrorKind::data, "cannot be read (", std::strerror(errno), ")");
    NAT_CHECK(got > 0, ErrorKind::data, "became shorter while it was read");
    filled += static_cast<std::size_t>(got);
  }
}

FileStart read_start(const FilePart& part, std::int64_t limit) {
  const OpenFile file(part.path);
  const std::int64_t most = file.size() - part.offset;
  NAT_CHECK(part.offset <= file.size() && part.size <= most, ErrorKind::data, "lies behind the end",
            " of ", printable(part.path), ", which became shorter");
  FileStart start;
  start.size = part.size < 0 ? most : part.size;
  start.bytes.resize(static_cast<std::size_t>(std::min(limit, start.size)));
  file.read(part.offset, start.bytes.data(), start.bytes.size());
  return start;
}

FileStart read_start(const std::string& path, std::int64_t limit) {
  return read_start(FilePart{path}, limit);
}

Bytes read_all(const FilePart& part) {
  FileStart whole = read_start(part, kMaxFileBytes);
  NAT_CHECK(whole.size <= kMaxFileBytes, ErrorKind::data, "has ", whole.size,
            " bytes, more than the limit of ", kMaxFileBytes);
  return std::move(whole.bytes);
}

Bytes read_all(const std::string& path) { return read_all(FilePart{path}); }

struct GzReader::State {
  gzFile file = nullptr;
};

GzReader::GzReader(int descriptor, std::string name)
    : path_(std::move(name)), state_(std::make_unique<State>()) {
  state_->file = gzdopen(descriptor, "rb");
  if (state_->file == nullptr) ::close(descriptor);
  NAT_CHECK(state_->file != nullptr, ErrorKind::memory, printable(path_),
            ": no memory for a stream; close other programs");
  gzbuffer(state_->file, 1u << 18);
}

GzReader::GzReader(const std::string& path) : path_(path), state_(std::make_unique<State>()) {
  NAT_CHECK(is_file(path), ErrorKind::data, printable(path),
            ": no such file; check the path or download the data set again");
  state_->file = gzopen(path.c_str(), "rb");
  NAT_CHECK(state_->file != nullptr, ErrorKind::data, printable(path), ": cannot be opened (",
            std::strerror(errno), "); check its permissions");
  gzbuffer(state_->file, 1u << 18);
}

GzReader::~GzReader() {
  if (state_->file != nullptr) gzclose_r(state_->file);
}

std::size_t GzReader::read(void* out, std::size_t count) {
  auto* bytes = static_cast<std::uint8_t*>(out);
  std::size_t filled = 0;
  while (filled < count) {
    constexpr std::size_t kStep = std::numeric_limits<int>::max() / 2;
    const auto step = static_cast<unsigned>(std::min(count - filled, kStep));
    const int got = gzread(state_->file, bytes + filled, step);
    int status = Z_OK;
    const char* message = gzerror(state_->file, &status);
    // A stream that ends early reports Z_BUF_ERROR together with a short count.
    NAT_CHECK(got >= 0 && status == Z_OK, ErrorKind::data, printable(path_),
              ": the compressed file is damaged or cut off (",
              status == Z_BUF_ERROR ? "unexpected end of file" : printable(message),
              "); download it again");
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  return filled;
}

NamedFile::NamedFile(const std::string& path) try : path_(path), file_(path) {
} catch (const Error& error) {
  if (error.kind() == ErrorKind::memory) throw;
  throw Error(ErrorKind::data,
              str(printable(path), ": ", error.what(), "; check the path and its permissions"));
}

void NamedFile::read(std::int64_t offset, void* out, std::size_t count) const {
  try {
    file_.read(offset, static_cast<std::uint8_t*>(out), count);
  } catch (const Error& error) {
    throw Error(ErrorKind::data, str(printable(path_), ": ", error.what(),
                                     "; check the disk or unpack the data set again"));
  }
}

std::string printable(std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    std::size_t length = utf8_length(text);
    if (length == 0 || is_control(text.substr(0, length))) {
      length = std::max<std::size_t>(length, 1);
      for (std::size_t i = 0; i < length; ++i) {
        const auto byte = static_cast<unsigned char>(text[i]);
        out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
      }
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return out;
}

std::string in_small_letters(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::uint32_t crc32_of(const std::uint8_t* bytes, std::size_t count) {
  return static_cast<std::uint32_t>(crc32_z(0, bytes, count));
}

}  // namespace nat::data
