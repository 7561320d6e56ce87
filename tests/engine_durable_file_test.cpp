// Files that appear whole or not at all, and what other things a name may lead to.
#include "engine/durable_file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/check.h"
#include "tests/error_message.h"
#include "tests/temporary_folder.h"

namespace fs = std::filesystem;
using nat::DurableFile;
using nat::ErrorKind;
using nat::require_writable;
using nat::write_durably;
using nat::test::message_of;
using nat::test::read_file;
using nat::test::TemporaryFolder;
using nat::test::write_file;

namespace {

std::ptrdiff_t entries(const fs::path& folder) {
  return std::distance(fs::directory_iterator(folder), fs::directory_iterator());
}

// Nothing here names a device of the system directly: a test that fails must not replace one.
std::string link_to(const TemporaryFolder& folder, const std::string& target) {
  fs::create_symlink(target, folder.at("link"));
  return folder.at("link");
}

}  // namespace

TEST_CASE("a file has its old content until commit, and keeps it without") {
  const TemporaryFolder folder;
  const fs::path path = folder.write("a.txt", "old");
  {
    DurableFile file(path);
    file.write("new", 3);
    CHECK(read_file(path) == "old");
  }
  CHECK(read_file(path) == "old");
  DurableFile file(path);
  file.write("new", 3);
  file.commit();
  CHECK(read_file(path) == "new");
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("a temporary name says which file it is for, and no other name does") {
  const std::pair<const char*, const char*> names[] = {
      {"a.txt.tmp", "a.txt"}, {"a.txt.1.tmp", "a.txt"}, {"a.txt.12.tmp", "a.txt"},
      {"a.tmp.tmp", "a.tmp"}, {"a12.tmp", "a12"},       {"a.1x.tmp", "a.1x"},
      {"a.txt", ""},          {"a.tmp.txt", ""},        {"tmp", ""},
      {".tmp", ""},           {"12.tmp", "12"},         {"", ""}};
  for (const auto& name : names) {
    CAPTURE(name.first);
    CHECK(nat::target_of_temporary(name.first) == name.second);
  }
}

TEST_CASE("only the temporary files of processes that are gone are removed") {
  const TemporaryFolder folder;
  const fs::path path = folder.at("a.txt"), abandoned = folder.write("a.txt.tmp", "half");
  DurableFile file(path);
  const fs::path written = folder.at("a.txt.1.tmp");
  REQUIRE(fs::exists(written));
  fs::create_directory(folder.at("folder.tmp"));
  fs::create_symlink("a.txt.tmp", folder.at("link.tmp"));
  REQUIRE(mkfifo(folder.at("pipe.tmp").c_str(), 0600) == 0);
  for (const char* name : {"folder.tmp", "link.tmp", "pipe.tmp", "none.tmp"}) {
    nat::remove_abandoned(folder.at(name));
  }
  CHECK(entries(folder.path()) == 5);
  nat::remove_abandoned(written);
  CHECK(fs::exists(written));
  nat::remove_abandoned(abandoned);
  CHECK_FALSE(fs::exists(abandoned));
  file.write("new", 3);
  file.commit();
  CHECK(read_file(path) == "new");
  CHECK(entries(folder.path()) == 4);
}

TEST_CASE("what a link points to is written, whether it exists or not, and the link stays") {
  for (const bool exists : {true, false}) {
    CAPTURE(exists);
    const TemporaryFolder folder;
    const std::string target = folder.at("elsewhere/target.txt");
    write_file(folder.at("elsewhere/target.txt"), "old");
    if (!exists) fs::remove(target);
    fs::create_symlink("elsewhere/target.txt", folder.at("second"));
    const std::string link = link_to(folder, folder.at("second"));
    require_writable(link);
    write_durably(link, "new");
    CHECK(fs::is_symlink(link));
    CHECK(fs::is_symlink(folder.at("second")));
    CHECK(read_file(target) == "new");
    CHECK(entries(folder.path()) == 3);
    CHECK(entries(folder.at("elsewhere")) == 1);
  }
}

TEST_CASE("links in a circle and links into missing folders are one clear error") {
  const TemporaryFolder folder;
  fs::create_symlink("link", folder.at("other"));
  const std::string circle = link_to(folder, "other");
  fs::create_symlink("missing/file", folder.at("dangling"));
  for (const auto& write : {+[](const fs::path& path) { write_durably(path, "x"); },
                            +[](const fs::path& path) { require_writable(path); }}) {
    CHECK(message_of(ErrorKind::io, [&] { write(circle); }).find("symbolic links") !=
          std::string::npos);
    CHECK(message_of(ErrorKind::io, [&] { write(folder.at("dangling")); })
              .find("missing/file: cannot create: No such file or directory; create the folder") !=
          std::string::npos);
  }
  CHECK(entries(folder.path()) == 3);
}

TEST_CASE("a device takes the bytes and stays a device") {
  const TemporaryFolder folder;
  const std::string link = link_to(folder, "/dev/null");
  require_writable(link);
  write_durably(link, "gone");
  CHECK(fs::is_symlink(link));
  CHECK(fs::is_character_file(link));
  fs::remove(link);
  const std::string full = link_to(folder, "/dev/full");
  require_writable(full);
  CHECK(message_of(ErrorKind::io, [&] { write_durably(full, "x"); }).find("No space left") !=
        std::string::npos);
  CHECK(fs::is_character_file(full));
}

TEST_CASE("a pipe hands the bytes to its reader and stays a pipe") {
  const TemporaryFolder folder;
  const std::string pipe = folder.at("pipe");
  REQUIRE(mkfifo(pipe.c_str(), 0600) == 0);
  require_writable(pipe);  // does not wait for a reader
  const int reader = ::open(pipe.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  require_writable(pipe);
  write_durably(pipe, "1\n0\n");
  char text[8] = {};
  CHECK(::read(reader, text, sizeof text) == 4);
  ::close(reader);
  CHECK(std::string_view(text) == "1\n0\n");
  CHECK(fs::is_fifo(pipe));
  CHECK(entries(folder.path()) == 1);
}

TEST_CASE("a descriptor of this process by name is written where it stands") {
  const TemporaryFolder folder;
  const std::string path = folder.at("out.txt");
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  REQUIRE(descriptor >= 0);
  REQUIRE(nat::write_fully(descriptor, "before\n", 7));
  const std::string number = std::to_string(descriptor);
  for (const std::string& name :
       {"/proc/self/fd/" + number, "/dev/fd/" + number, link_to(folder, "/dev/fd/" + number)}) {
    CAPTURE(name);
    require_writable(name);
    write_durably(name, "bytes\n");
  }
  REQUIRE(nat::write_fully(descriptor, "after\n", 6));
  ::close(descriptor);
  CHECK(read_file(path) == "before\nbytes\nbytes\nbytes\nafter\n");
  CHECK(fs::is_symlink(folder.at("link")));
  CHECK(message_of(ErrorKind::io, [&] {
          write_durably("/proc/self/fd/" + number, "x");
        }).find("Bad file descriptor") != std::string::npos);
  CHECK(message_of(ErrorKind::io, [&] {
          require_writable("/proc/self/fd/" + number);
        }).find("Bad file descriptor") != std::string::npos);
  message_of(ErrorKind::io, [&] { require_writable("/proc/self/fd/1.txt"); });  // no descriptor
}

TEST_CASE("an error says what can be done about it") {
  for (const auto& [numbers, advice] : std::vector<std::pair<std::vector<int>, std::string>>{
           {{ENOSPC, EDQUOT, EFBIG}, "; free some disk space or choose another folder"},
           {{EACCES, EPERM, EROFS}, "; choose a folder that can be written to"},
           {{ENOENT, ENOTDIR}, "; create the folder first"},
           {{EISDIR}, "; it is a folder, give a file"},
           {{EIO}, ""}}) {
    for (const int number : numbers) {
      CHECK(message_of(ErrorKind::io, [&] { nat::throw_io_error("f", "write", number); }) ==
            std::string("f: cannot write: ") + std::strerror(number) + advice);
    }
  }
}

TEST_CASE("folders and sockets are refused and stay") {
  const TemporaryFolder folder;
  fs::create_directory(folder.at("folder"));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  folder.at("socket").copy(address.sun_path, sizeof address.sun_path - 1);
  const int socket = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  REQUIRE(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  for (const auto& write : {+[](const fs::path& path) { write_durably(path, "x"); },
                            +[](const fs::path& path) { require_writable(path); }}) {
    CHECK(message_of(ErrorKind::io, [&] { write(folder.at("folder")); })
              .find("folder: cannot write: Is a directory; it is a folder, give a file") !=
          std::string::npos);
    CHECK(message_of(ErrorKind::io, [&] { write(folder.at("socket")); }) ==
          folder.at("socket") + ": is not a regular file; give the name of a file");
  }
  ::close(socket);
  CHECK(fs::is_directory(folder.at("folder")));
  CHECK(fs::is_socket(folder.at("socket")));
  CHECK(entries(folder.path()) == 2);
}
