#include "tools/output_file.h"

#include <algorithm>
#include <filesystem>

#include "data/files.h"
#include "data/open.h"
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

void require_outside(const char* option, const std::string& folder, const std::string& data) {
  if (data.empty()) return;  // who opens it says so
  const data::DatasetSpec spec = data::parse_spec(data);
  if (!data::is_packable(spec.format)) return;
  namespace fs = std::filesystem;
  std::error_code ignored;  // who opens them says what is wrong
  const fs::path pictures = fs::weakly_canonical(spec.path, ignored);
  const fs::path place = fs::weakly_canonical(folder, ignored);
  const auto [end, _] = std::mismatch(pictures.begin(), pictures.end(), place.begin(), place.end());
  NAT_CHECK(end != pictures.end(), ErrorKind::usage, option, " ", data::printable(folder),
            ": lies in the data set itself; choose a folder beside it");
}

void require_space(const std::string& folder, std::int64_t bytes, const std::string& advice) {
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(folder, error);
  NAT_CHECK(error || space.available >= static_cast<std::uintmax_t>(bytes), ErrorKind::io,
            data::printable(folder), ": ", (bytes >> 20) + 1, " MiB are needed and ",
            space.available >> 20, " MiB are free; ", advice);
}

}  // namespace nat::tools
