#include "tools/run_folder.h"

#include <system_error>

#include "engine/durable_file.h"

namespace nat::tools {

namespace fs = std::filesystem;

RunFolder RunFolder::create(const Options& options) {
  const fs::path path = options.out;
  NAT_CHECK(!fs::exists(path / "config.toml"), ErrorKind::usage, "--out ", path.string(),
            " already holds a run; continue it with 'nat resume ", path.string(),
            "' or choose another folder");
  std::error_code error;
  fs::create_directories(path / "checkpoints", error);
  NAT_CHECK(!error, ErrorKind::io, "--out ", path.string(), ": ", error.message(),
            "; choose a folder that can be written");
  RunFolder folder(path);
  write_durably(folder.file("config.toml"), to_toml(options));
  return folder;
}

RunFolder RunFolder::open(const fs::path& path) {
  NAT_CHECK(fs::exists(path / "config.toml"), ErrorKind::checkpoint, "run ", path.string(),
            ": there is no config.toml; give the folder that 'nat train --out' wrote");
  return RunFolder(path);
}

Options RunFolder::options() const {
  Options options;
  read_config(file("config.toml"), options);
  options.out = path_.string();
  return options;
}

}  // namespace nat::tools
