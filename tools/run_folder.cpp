#include "tools/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "engine/durable_file.h"

namespace nat::tools {

namespace fs = std::filesystem;

// The kernel lets go of it however the process ends, so nothing is left behind.
class RunFolder::Lock {
 public:
  explicit Lock(const fs::path& folder)
      : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    if (descriptor_ < 0) throw_io_error(folder, "open folder", errno);
    // File systems without locks leave it to the user.
    const bool is_taken = ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (is_taken) ::close(descriptor_);
    NAT_CHECK(!is_taken, ErrorKind::checkpoint, "run ", folder.string(),
              ": another process is training it; wait for it, or stop it first");
  }
  ~Lock() { ::close(descriptor_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  int descriptor_;
};

namespace {

bool holds_run(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path / "config.toml", ignored);
}

void require_no_run(const fs::path& path) {
  NAT_CHECK(!holds_run(path), ErrorKind::usage, "--out ", path.string(),
            " already holds a run; continue it with 'nat resume ", path.string(),
            "' or choose another folder");
}

// The newest of somebody else's checkpoints would be taken for that of the new run.
void require_no_checkpoints(const RunFolder& folder) {
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder.checkpoints(), ignored)) {
    NAT_CHECK(entry.path().extension() != ".safetensors", ErrorKind::usage, "--out ",
              folder.path().string(), " has no config.toml but holds checkpoints of a run (",
              entry.path().filename().string(), "); choose another folder");
  }
}

}  // namespace

RunFolder RunFolder::create(const Options& options) {
  RunFolder folder(options.out);
  require_no_run(folder.path_);
  std::error_code error;
  fs::create_directories(folder.checkpoints(), error);
  NAT_CHECK(!error, ErrorKind::io, "--out ", folder.path_.string(), ": ", error.message(),
            "; choose a folder that can be written to");
  folder.own();
  require_no_run(folder.path_);  // once more, now that nobody else can make one
  require_no_checkpoints(folder);
  return folder;
}

RunFolder RunFolder::open(const fs::path& path) {
  NAT_CHECK(holds_run(path), ErrorKind::checkpoint, "run ", path.string(),
            ": there is no config.toml; give the folder that 'nat train --out' wrote");
  return RunFolder(path);
}

RunFolder RunFolder::open_owned(const fs::path& path) {
  RunFolder folder = open(path);
  folder.own();
  return folder;
}

void RunFolder::own() { lock_ = std::make_shared<Lock>(path_); }

Options RunFolder::options() const {
  Options options;
  read_config(file("config.toml"), options);
  options.out = path_.string();
  return options;
}

void RunFolder::write_config(const Options& options) const {
  write_durably(file("config.toml"), to_toml(options));
}

}  // namespace nat::tools
