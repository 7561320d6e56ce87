// What a test changes of its own process, and what is as before at the end of the scope, however it
// ends: limits, the current folder, the user.
#pragma once

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace nat::test {

// A lower limit on a resource. Beyond one on the size of files (RLIMIT_FSIZE) writing fails, as on
// a full disk, and no signal ends the process.
class ScopedLimit {
 public:
  ScopedLimit(decltype(RLIMIT_AS) resource, rlim_t most) : resource_(resource) {
    REQUIRE(getrlimit(resource_, &before_) == 0);
    const rlimit lower{most, before_.rlim_max};
    REQUIRE(setrlimit(resource_, &lower) == 0);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
  }
  ~ScopedLimit() {
    setrlimit(resource_, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  ScopedLimit(const ScopedLimit&) = delete;
  ScopedLimit& operator=(const ScopedLimit&) = delete;

 private:
  decltype(RLIMIT_AS) resource_;
  rlimit before_{};
  void (*handler_)(int) = SIG_DFL;
};

class ScopedFolder {
 public:
  explicit ScopedFolder(const std::filesystem::path& folder)
      : before_(std::filesystem::current_path()) {
    std::filesystem::current_path(folder);
  }
  ~ScopedFolder() {
    std::error_code ignored;
    std::filesystem::current_path(before_, ignored);
  }
  ScopedFolder(const ScopedFolder&) = delete;
  ScopedFolder& operator=(const ScopedFolder&) = delete;

 private:
  std::filesystem::path before_;
};

// root may read and write everything; somebody else may not. Who is not root stays who he is.
class ScopedNobody {
 public:
  ScopedNobody() : was_root_(geteuid() == 0) {
    if (was_root_) REQUIRE(seteuid(65534) == 0);
  }
  ~ScopedNobody() {
    if (was_root_ && seteuid(0) != 0) std::abort();  // what follows would test something else
  }
  ScopedNobody(const ScopedNobody&) = delete;
  ScopedNobody& operator=(const ScopedNobody&) = delete;

 private:
  bool was_root_;
};

}  // namespace nat::test
