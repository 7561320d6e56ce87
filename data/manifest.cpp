#include "data/manifest.h"

#include <cstdio>
#include <fstream>

#include <nlohmann/json.hpp>

#include "data/files.h"
#include "kernels/check.h"

namespace nat::data {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const PictureFile& file) {
  return {{"width", file.width}, {"height", file.height}, {"bytes", file.bytes}, {"crc", file.crc}};
}

Quarantined quarantined_from(const Json& line) {
  const Json& file = line.at("file");
  return {line.at("id").get<std::int32_t>(),
          line.at("reason").get<std::string>(),
          {file.at("width").get<int>(), file.at("height").get<int>(),
           file.at("bytes").get<std::int64_t>(), file.at("crc").get<std::uint32_t>()}};
}

// Names of the classes whose flag is 1.
Json positive_classes(const Dataset& dataset, std::int32_t id) {
  const std::span<const std::int8_t> flags = dataset.flags(id);
  Json names = Json::array();
  for (std::size_t c = 0; c < flags.size(); ++c) {
    if (flags[c] == 1) names.push_back(dataset.catalog().class_names[c]);
  }
  return names;
}

Json to_json(const Dataset& dataset, std::int32_t id) {
  const Catalog& catalog = dataset.catalog();
  const auto i = static_cast<std::size_t>(id);
  Json line{{"id", id}};
  if (catalog.paths.empty()) {
    line["record"] = catalog.records[i];
  } else {
    line["path"] = printable(catalog.paths[i]);
  }
  if (dataset.labelled()) line["label"] = dataset.label(id);
  if (dataset.multi_label()) line["labels"] = positive_classes(dataset, id);
  return line;
}

std::string line_of(const Json& json) { return json.dump() + '\n'; }

}  // namespace

std::string manifest_lines(const Dataset& dataset) {
  const Catalog& catalog = dataset.catalog();
  std::string lines = line_of({{"format", catalog.format},
                               {"source", printable(catalog.source)},
                               {"pictures", catalog.size},
                               {"height", catalog.shape.height},
                               {"width", catalog.shape.width},
                               {"channels", catalog.shape.channels},
                               {"classes", catalog.class_names},
                               {"fingerprint", fingerprint_text(dataset.fingerprint())}});
  for (std::int32_t id = 0; id < catalog.size; ++id) lines += line_of(to_json(dataset, id));
  return lines;
}

std::string picture_lines(const Dataset& dataset, const std::vector<std::int32_t>& ids) {
  std::string lines;
  for (const std::int32_t id : ids) lines += line_of(to_json(dataset, id));
  return lines;
}

std::string bad_picture_lines(const Dataset& dataset) {
  std::string lines;
  for (const BadPicture& picture : dataset.bad_pictures()) {
    Json line{{"id", picture.id},
              {"name", dataset.name(picture.id)},
              {"reason", printable(picture.reason)}};
    if (dataset.is_usable(picture.id)) {
      line["file"] = to_json(dataset.catalog().files[static_cast<std::size_t>(picture.id)]);
    }
    lines += line_of(line);
  }
  return lines;
}

std::vector<Quarantined> read_quarantined(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  NAT_CHECK(in.is_open(), ErrorKind::checkpoint, printable(path),
            ": cannot be opened; the run folder is incomplete, start a new run");
  std::vector<Quarantined> quarantined;
  bool is_sound = true;
  try {
    for (std::string line; std::getline(in, line);) {
      const Json json = Json::parse(line);
      if (!json.contains("file")) continue;  // bad from the beginning
      quarantined.push_back(quarantined_from(json));
      is_sound = is_sound && quarantined.back().id >= 0 && quarantined.back().file.width > 0 &&
                 quarantined.back().file.height > 0;
    }
  } catch (const Json::exception&) {
    is_sound = false;
  }
  NAT_CHECK(is_sound, ErrorKind::checkpoint, printable(path),
            ": is not a list of unreadable pictures; the file is damaged, start a new run");
  return quarantined;
}

std::string fingerprint_text(std::uint64_t fingerprint) {
  char text[17];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(fingerprint));
  return text;
}

ManifestHeader read_manifest_header(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  NAT_CHECK(in.is_open(), ErrorKind::checkpoint, printable(path),
            ": cannot be opened; the run folder is incomplete, start a new run");
  std::string line;
  std::getline(in, line);
  try {
    const Json json = Json::parse(line);
    return {json.at("format").get<std::string>(),
            json.at("source").get<std::string>(),
            json.at("pictures").get<std::int64_t>(),
            json.at("height").get<int>(),
            json.at("width").get<int>(),
            json.at("fingerprint").get<std::string>()};
  } catch (const Json::exception&) {
    throw Error(ErrorKind::checkpoint,
                str(printable(path), ": the first line is not the header of a",
                    " manifest; the file is damaged, start a new run"));
  }
}

void check_same_data(const Dataset& dataset, const std::string& manifest_path) {
  const ManifestHeader recorded = read_manifest_header(manifest_path);
  const std::string now = fingerprint_text(dataset.fingerprint());
  NAT_CHECK(recorded.fingerprint == now, ErrorKind::data, printable(dataset.catalog().source),
            ": the data changed since the run began (", recorded.pictures,
            " pictures, fingerprint ", recorded.fingerprint, "; now ", dataset.size(),
            " pictures, ", now,
            "), so targets would belong to other pictures; give the old data or start a new run");
}

}  // namespace nat::data
