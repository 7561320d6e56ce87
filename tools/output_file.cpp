#include "tools/output_file.h"

#include <filesystem>

#include "data/files.h"
#include "data/source_files.h"
#include "engine/durable_file.h"

namespace nat::tools {

namespace {

bool is_read_from(const std::string& data, const std::string& file) {
  if (data.empty()) return false;
  std::error_code missing;
  if (data::is_file(file) && std::filesystem::equivalent(data, file, missing)) return true;
  try {
    return data::is_source_file(data::parse_spec(data), file);
  } catch (const Error&) {
    return false;  // whoever reads the pictures will say what is wrong with them
  }
}

}  // namespace

void require_output(const RunFolder& folder, const std::string& output,
                    const std::vector<std::string>& data) {
  const std::string shown = data::printable(output);
  NAT_CHECK(!output.empty(), ErrorKind::usage, "--output is empty; give the file to write");
  NAT_CHECK(!folder.has_own(output), ErrorKind::usage, "--output ", shown,
            ": that place belongs to the run itself; choose another name");
  for (const std::string& pictures : data) {
    NAT_CHECK(!is_read_from(pictures, output), ErrorKind::usage, "--output ", shown,
              ": that is a file of the pictures in ", data::printable(pictures),
              "; choose another name");
  }
  require_writable(output);
}

}  // namespace nat::tools
