#include "engine/log_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <sstream>
#include <system_error>

#include "engine/durable_file.h"
#include "kernels/check.h"

namespace nat {

void LogFile::open() {
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (descriptor_ < 0) throw_io_error(path_, "open", errno);
}

LogFile::~LogFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::string LogFile::content() const {
  std::error_code ignored;
  if (!std::filesystem::exists(path_, ignored)) return "";
  std::ifstream in(path_, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  NAT_CHECK(in.is_open() && !in.bad(), ErrorKind::io, path_.string(), ": cannot read");
  return text.str();
}

void LogFile::append(std::string_view bytes) {
  if (!write_fully(descriptor_, bytes.data(), bytes.size())) throw_io_error(path_, "write", errno);
}

void LogFile::truncate(std::uint64_t bytes) {
  if (::ftruncate(descriptor_, static_cast<off_t>(bytes)) != 0) {
    throw_io_error(path_, "shorten", errno);
  }
}

void LogFile::sync() {
  if (::fsync(descriptor_) != 0) throw_io_error(path_, "sync", errno);
}

}  // namespace nat
