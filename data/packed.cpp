#include "data/packed.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>
#include <string_view>

#include <nlohmann/json.hpp>

#include "data/decode.h"
#include "data/files.h"
#include "data/parallel.h"
#include "data/scaled_pictures.h"
#include "kernels/check.h"

namespace nat::data {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "nat-pictures-1";
constexpr const char* kAdvice = "; pack the pictures again (nat pack)";

// ---- lines --------------------------------------------------------------------------------------

// One picture, as its line has it.
struct Entry {
  std::string path;
  std::int32_t label = -1;         // where there are labels
  std::vector<std::int8_t> flags;  // where there are flags
  PictureFile file;                // width 0: bad from the beginning, no pixels
  PictureSize stored;              // of its pixels, zeros without
  std::uint64_t checksum = 0;      // of its pixels
  std::optional<std::string> bad;  // why it could not be read
};

// What JSON cannot hold, bytes that are not UTF-8, goes as hexadecimal digits.
Json path_to_json(const std::string& path) {
  if (printable(path) == path) return path;
  constexpr char kHex[] = "0123456789abcdef";
  std::string digits;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    digits += {kHex[byte >> 4], kHex[byte & 15]};
  }
  return {{"hex", digits}};
}

std::string path_from_json(const Json& json) {
  if (json.is_string()) return json.get<std::string>();
  const auto digits = json.at("hex").get<std::string>();
  std::string path;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    path += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return path;
}

Json to_json(const Entry& entry) {
  const PictureFile& file = entry.file;
  Json line{{"path", path_to_json(entry.path)},
            {"file", {file.width, file.height, file.bytes, file.crc}},
            {"size", {entry.stored.width, entry.stored.height}},
            {"checksum", entry.checksum}};
  if (entry.label >= 0) line["label"] = entry.label;
  if (!entry.flags.empty()) line["flags"] = entry.flags;
  if (entry.bad) line["bad"] = *entry.bad;
  return line;
}

Entry entry_from(const Json& line) {
  const Json& file = line.at("file");
  Entry entry;
  entry.path = path_from_json(line.at("path"));
  entry.file = {file.at(0).get<int>(), file.at(1).get<int>(), file.at(2).get<std::int64_t>(),
                file.at(3).get<std::uint32_t>()};
  const Json& size = line.at("size");
  entry.stored = {size.at(0).get<int>(), size.at(1).get<int>()};
  entry.checksum = line.at("checksum").get<std::uint64_t>();
  if (line.contains("label")) entry.label = line["label"].get<std::int32_t>();
  if (line.contains("flags")) entry.flags = line["flags"].get<std::vector<std::int8_t>>();
  if (line.contains("bad")) entry.bad = line["bad"].get<std::string>();
  return entry;
}

constexpr const char *kNoLabels = "none", *kOneLabel = "one", *kFlags = "several";

// What of the catalog is no picture's own.
struct Header {
  std::string of, source, split;
  std::int64_t pictures = 0, bytes = 0;  // bytes: of the .pixels file
  int short_side = 0;
  std::string labels;  // of a picture: kNoLabels, kOneLabel or kFlags
  std::vector<std::string> classes, remarks;
};

Json to_json(const Header& header) {
  return {{"format", kFormat},
          {"of", header.of},
          {"source", header.source},
          {"split", header.split},
          {"pictures", header.pictures},
          {"bytes", header.bytes},
          {"short_side", header.short_side},
          {"labels", header.labels},
          {"classes", header.classes},
          {"remarks", header.remarks}};
}

Header header_from(const Json& line) {
  return {.of = line.at("of").get<std::string>(),
          .source = line.at("source").get<std::string>(),
          .split = line.at("split").get<std::string>(),
          .pictures = line.at("pictures").get<std::int64_t>(),
          .bytes = line.at("bytes").get<std::int64_t>(),
          .short_side = line.at("short_side").get<int>(),
          .labels = line.at("labels").get<std::string>(),
          .classes = line.at("classes").get<std::vector<std::string>>(),
          .remarks = line.at("remarks").get<std::vector<std::string>>()};
}

// The header line ends with a checksum of the lines: of itself without it, and of all that follow.
class Lines {
 public:
  explicit Lines(const std::string& path) : path_(path), in_(path, std::ios::binary) {
    NAT_CHECK(in_.is_open(), ErrorKind::data, printable(path), ": cannot be opened (",
              std::strerror(errno), "); check its permissions");
  }

  Header header() {
    const Json json = next();
    return checked([&] {
      NAT_CHECK(json.at("format") == kFormat, ErrorKind::data, printable(path_),
                ": is not the catalog of packed pictures but '",
                printable(json.at("format").dump()), "'; give a folder that nat pack made");
      recorded_ = json.at("checksum").get<std::uint64_t>();
      Header header = header_from(json);
      sum_ = {};
      sum_.add(to_json(header).dump());
      return header;
    });
  }

  Entry entry() {
    const Json json = next();
    return checked([&] { return entry_from(json); });
  }

  void check_end() {
    const bool is_end = in_.peek() == std::ifstream::traits_type::eof();
    if (!is_end || sum_.value() != recorded_) fail("the checksum does not agree");
  }

 private:
  Json next() {
    std::string line;
    ++number_;
    if (!std::getline(in_, line)) fail("the file is cut off");
    sum_.add(line);
    return checked([&] { return Json::parse(line); });
  }

  template <class Parse>
  auto checked(const Parse& parse) const -> decltype(parse()) {
    try {
      return parse();
    } catch (const Json::exception&) {
    } catch (const std::logic_error&) {  // of numbers in text
    }
    fail("is not as nat pack writes it");
  }

  [[noreturn]] void fail(const char* what) const {
    throw Error(ErrorKind::data, str(printable(path_), ":", number_, ": ", what, kAdvice));
  }

  std::string path_;
  std::ifstream in_;
  std::int64_t number_ = 0;
  Fingerprint sum_;
  std::uint64_t recorded_ = 0;
};

// ---- places -------------------------------------------------------------------------------------

// Of the pixels of a picture; zeros of one that has none.
PictureSize stored_size(const PictureFile& file, int short_side) {
  return file.width == 0 ? PictureSize() : resized_size({file.width, file.height}, short_side);
}

std::int64_t pixel_bytes(const PictureSize& size) {
  return std::int64_t{3} * size.width * size.height;
}

// Could opening a picture have found this?
bool is_possible(const PictureFile& file) {
  if (file.width == 0) return file.height == 0;
  return file.width > 0 && file.height > 0 &&
         std::int64_t{file.width} * file.height <= kMaxPixels &&
         std::max(file.width, file.height) <=
             std::int64_t{kMaxAspect} * std::min(file.width, file.height);
}

bool is_possible(const Entry& entry, const Header& header) {
  const auto classes = std::ssize(header.classes);
  const auto is_flag = [](std::int8_t flag) { return flag >= -1 && flag <= 1; };
  const bool label_fits =
      header.labels == kOneLabel ? entry.label >= 0 && entry.label < classes : entry.label < 0;
  const bool flags_fit = std::ssize(entry.flags) == (header.labels == kFlags ? classes : 0) &&
                         std::all_of(entry.flags.begin(), entry.flags.end(), is_flag);
  const bool bad_fits = entry.file.width > 0 || entry.bad.has_value();
  return label_fits && flags_fit && bad_fits && is_possible(entry.file) &&
         entry.stored == stored_size(entry.file, header.short_side);
}

// How many pictures from `begin` on may be in memory together. One always may.
std::size_t decoded_at_once(const Dataset& pictures, std::int64_t begin) {
  constexpr std::int64_t kPictures = 64, kBytes = std::int64_t{256} << 20;
  const std::int64_t most = std::min(kPictures, pictures.size() - begin);
  std::int64_t n = 0;
  for (std::int64_t bytes = 0; n < most; ++n) {
    bytes += pictures.extent(static_cast<std::int32_t>(begin + n)).bytes();
    if (n > 0 && bytes > kBytes) break;
  }
  return static_cast<std::size_t>(n);
}

// ---- the data set -------------------------------------------------------------------------------

// Where the pixels of a picture lie.
struct Place {
  std::int64_t offset = 0;
  std::uint64_t checksum = 0;
};

class PackedPictures : public ScaledPictures {
 public:
  PackedPictures(Catalog catalog, std::vector<Place> places, const std::string& pixels,
                 std::vector<BadPicture> bad, const std::vector<Quarantined>& quarantined,
                 double max_bad_percent)
      : ScaledPictures(std::move(catalog), std::move(bad), quarantined, max_bad_percent),
        places_(std::move(places)),
        pixels_(pixels) {}

 private:
  // The whole picture is read, for its checksum.
  void load(std::int32_t id, const Window& window, std::uint8_t* out) const override {
    const PictureShape whole = extent(id);
    if (window.width == whole.width && window.height == whole.height) {
      read_checked(id, out);
      return;
    }
    thread_local Bytes pixels;  // of one picture a thread, again and again
    pixels.resize(static_cast<std::size_t>(whole.bytes()));
    read_checked(id, pixels.data());
    const auto row_bytes = 3 * static_cast<std::size_t>(window.width);
    for (int y = 0; y < window.height; ++y) {
      const std::int64_t first = std::int64_t{window.top + y} * whole.width + window.left;
      std::memcpy(out + static_cast<std::size_t>(y) * row_bytes, pixels.data() + 3 * first,
                  row_bytes);
    }
  }

  void read_checked(std::int32_t id, std::uint8_t* out) const {
    const Place& place = places_[static_cast<std::size_t>(id)];
    const auto bytes = static_cast<std::size_t>(extent(id).bytes());
    pixels_.read(place.offset, out, bytes);
    NAT_CHECK(checksum_of(out, bytes) == place.checksum, ErrorKind::data,
              "its packed pixels changed");
  }

  std::vector<Place> places_;
  NamedFile pixels_;
};

struct Contents {
  Catalog catalog;
  std::vector<Place> places;
  std::vector<std::optional<std::string>> bad;
};

Contents read_contents(const std::string& path, const PackedFiles& files) {
  Lines lines(files.catalog);
  const Header header = lines.header();
  constexpr std::int64_t kMostPictures = std::numeric_limits<std::int32_t>::max();
  NAT_CHECK(header.short_side >= 1 && header.short_side <= kMaxPictureSize &&
                header.pictures >= 1 && header.pictures <= kMostPictures,
            ErrorKind::data, printable(files.catalog), ":1: ", header.pictures,
            " pictures with a short side of ", header.short_side, " are not possible", kAdvice);
  Contents contents;
  Catalog& catalog = contents.catalog;
  catalog.format = header.of;
  catalog.source = path;
  catalog.shape = {header.short_side, header.short_side, 3};
  catalog.class_names = header.classes;
  catalog.remarks = header.remarks;
  std::int64_t offset = 0;
  for (std::int64_t i = 0; i < header.pictures; ++i) {
    Entry entry = lines.entry();
    NAT_CHECK(is_possible(entry, header), ErrorKind::data, printable(files.catalog), ":", i + 2,
              ": is not possible for a picture", kAdvice);
    catalog.paths.push_back(std::move(entry.path));
    if (header.labels == kOneLabel) catalog.labels.push_back(entry.label);
    catalog.flags.insert(catalog.flags.end(), entry.flags.begin(), entry.flags.end());
    catalog.files.push_back(entry.file);
    contents.places.push_back({offset, entry.checksum});
    contents.bad.push_back(std::move(entry.bad));
    offset += pixel_bytes(entry.stored);
  }
  lines.check_end();
  NAT_CHECK(header.bytes == offset, ErrorKind::data, printable(files.catalog), ":1: ", header.bytes,
            " bytes are not the ", offset, " of its pictures", kAdvice);
  const std::int64_t there = NamedFile(files.pixels).size();
  NAT_CHECK(there == offset, ErrorKind::data, printable(files.pixels), ": has ", there,
            " bytes, not the ", offset, " that ", printable(files.catalog), " names", kAdvice);
  return contents;
}

// A label must mean the same in both splits; what was packed may have lacked the last ones, or all.
void require_like_classes(const std::string& path, const std::vector<std::string>& train,
                          const std::vector<std::string>& test) {
  const auto [a, b] = std::mismatch(train.begin(), train.end(), test.begin(), test.end());
  if (a == train.end() || b == test.end()) return;
  throw Error(ErrorKind::data,
              str(printable(path), ": class ", a - train.begin(), " is '", *a,
                  "' of the training pictures and '", *b, "' of the test pictures", kAdvice));
}

std::vector<std::string> packed_classes(const std::string& folder, Split split) {
  return Lines(packed_files(folder, split).catalog).header().classes;
}

}  // namespace

PackedFiles packed_files(const std::string& folder, Split split) {
  return {join(folder, str(name(split), ".jsonl")), join(folder, str(name(split), ".pixels"))};
}

bool packed_has_split(const std::string& path, Split split) {
  const PackedFiles files = packed_files(path, split);
  return is_file(files.catalog) && is_file(files.pixels);
}

bool looks_like_packed(const std::string& path) {
  return packed_has_split(path, Split::train) || packed_has_split(path, Split::test);
}

std::unique_ptr<Dataset> open_packed(const std::string& path, Split split,
                                     const PictureFileOptions& options) {
  const PackedFiles files = packed_files(path, split);
  NAT_CHECK(packed_has_split(path, split), ErrorKind::data, printable(path), ": no packed ",
            name(split), " pictures (looked for ", printable(files.catalog), " and ",
            printable(files.pixels), "); make them with nat pack");
  Contents contents = read_contents(path, files);
  Catalog& catalog = contents.catalog;
  NAT_CHECK(options.picture_size == 0 || options.picture_size == catalog.shape.height,
            ErrorKind::usage, printable(path), ": holds pictures with a short side of ",
            catalog.shape.height, ", not ", options.picture_size, "; give --stored-size ",
            catalog.shape.height, " or pack the pictures with --stored-size ",
            options.picture_size);
  if (split == Split::test && packed_has_split(path, Split::train)) {
    require_like_classes(path, packed_classes(path, Split::train), catalog.class_names);
  }
  const std::vector<std::int64_t> kept = keep_limited(catalog, options.limit);
  catalog.size = std::ssize(catalog.paths);
  recall(options.quarantined, catalog.files);
  catalog.content = content_hash(catalog);

  std::vector<Place> places;
  std::vector<BadPicture> bad;
  std::vector<Quarantined> quarantined = options.quarantined;
  for (const std::int64_t position : kept) {
    const auto at = static_cast<std::size_t>(position);
    const auto id = static_cast<std::int32_t>(places.size());
    const PictureFile& file = catalog.files[places.size()];
    places.push_back(contents.places[at]);
    if (!contents.bad[at]) continue;
    if (file.width == 0) {
      bad.push_back({id, *contents.bad[at]});
    } else {
      quarantined.push_back({id, *contents.bad[at], file});
    }
  }
  return std::make_unique<PackedPictures>(std::move(catalog), std::move(places), files.pixels,
                                          std::move(bad), quarantined, options.max_bad_percent);
}

std::int64_t packed_bytes(const Dataset& pictures) {
  std::int64_t bytes = 0;
  for (const PictureFile& file : pictures.catalog().files) {
    bytes += pixel_bytes(stored_size(file, pictures.shape().height));
  }
  return bytes;
}

std::vector<std::uint64_t> write_packed_pixels(const Dataset& pictures, int threads,
                                               const ByteSink& write,
                                               const std::function<void(std::int64_t)>& at) {
  std::vector<std::uint64_t> checksums(static_cast<std::size_t>(pictures.size()));
  for (std::int64_t begin = 0; begin < pictures.size();) {
    at(begin);
    std::vector<Bytes> decoded(decoded_at_once(pictures, begin));
    parallel_for(std::ssize(decoded), threads, [&](std::int64_t i) {
      const auto id = static_cast<std::int32_t>(begin + i);
      if (!pictures.is_usable(id)) return;
      Bytes& pixels = decoded[static_cast<std::size_t>(i)];
      pixels.resize(static_cast<std::size_t>(pictures.extent(id).bytes()));
      pictures.read_whole(id, pixels.data());
      checksums[static_cast<std::size_t>(id)] = checksum_of(pixels.data(), pixels.size());
    });
    for (const Bytes& pixels : decoded) write(pixels.data(), pixels.size());
    begin += std::ssize(decoded);
  }
  at(pictures.size());
  return checksums;
}

void write_packed_catalog(const Dataset& pictures, Split split,
                          const std::vector<std::uint64_t>& checksums, const ByteSink& write) {
  const Catalog& catalog = pictures.catalog();
  std::vector<std::optional<std::string>> reasons(checksums.size());
  for (const BadPicture& bad : pictures.bad_pictures()) {
    reasons[static_cast<std::size_t>(bad.id)] = printable(bad.reason);
  }
  const auto line_of = [&](std::int32_t id) {
    const auto i = static_cast<std::size_t>(id);
    const auto flags = pictures.flags(id);
    return to_json(Entry{.path = catalog.paths[i],
                         .label = pictures.label(id),
                         .flags = {flags.begin(), flags.end()},
                         .file = catalog.files[i],
                         .stored = stored_size(catalog.files[i], catalog.shape.height),
                         .checksum = checksums[i],
                         .bad = reasons[i]})
        .dump();
  };
  Json header = to_json(Header{.of = catalog.format,
                               .source = printable(catalog.source),
                               .split = name(split),
                               .pictures = catalog.size,
                               .bytes = packed_bytes(pictures),
                               .short_side = catalog.shape.height,
                               .labels = pictures.multi_label() ? kFlags
                                         : pictures.labelled()  ? kOneLabel
                                                                : kNoLabels,
                               .classes = catalog.class_names,
                               .remarks = catalog.remarks});
  Fingerprint sum;
  sum.add(header.dump());
  for (std::int32_t id = 0; id < pictures.size(); ++id) sum.add(line_of(id));
  header["checksum"] = sum.value();
  const auto write_line = [&](std::string line) {
    line += '\n';
    write(line.data(), line.size());
  };
  write_line(header.dump());
  for (std::int32_t id = 0; id < pictures.size(); ++id) write_line(line_of(id));
}

}  // namespace nat::data
