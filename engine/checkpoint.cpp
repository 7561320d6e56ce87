#include "engine/checkpoint.h"

#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "engine/durable_file.h"
#include "kernels/check.h"

namespace nat {

namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

using Json = nlohmann::json;  // objects with sorted keys

constexpr std::uint64_t kMaxHeader = 100u << 20;  // the limit of the safetensors package
constexpr std::size_t kMaxRank = 4;
constexpr int kMaxDepth = 3;  // header { tensor { shape [
constexpr const char* kMetadata = "__metadata__";
constexpr const char* kChecksum = "crc32";
constexpr std::string_view kExtension = ".safetensors";

constexpr std::pair<DType, const char*> kDTypeNames[] = {{DType::f32, "F32"},
                                                         {DType::f64, "F64"},
                                                         {DType::bf16, "BF16"},
                                                         {DType::i32, "I32"},
                                                         {DType::u8, "U8"}};

const char* safetensors_name(DType dtype) {
  for (const auto& [type, text] : kDTypeNames) {
    if (type == dtype) return text;
  }
  return "";
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t size : shape) text += (text.empty() ? "" : "x") + std::to_string(size);
  return text.empty() ? "single number" : text;
}

// elements * size_of(dtype), or false when that does not fit into 63 bits.
bool byte_count(DType dtype, const std::vector<std::int64_t>& shape, std::uint64_t& bytes) {
  std::int64_t product = static_cast<std::int64_t>(size_of(dtype));
  for (const std::int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(product, size, &product)) return false;
  }
  bytes = static_cast<std::uint64_t>(product);
  return true;
}

std::uint32_t continue_crc(std::uint32_t crc, const void* data, std::size_t bytes) {
  if (bytes == 0) return crc;  // zlib would start again at a null pointer
  return static_cast<std::uint32_t>(::crc32_z(crc, static_cast<const Bytef*>(data), bytes));
}

std::string hexadecimal(std::uint32_t value) {
  char text[9];
  std::snprintf(text, sizeof text, "%08x", value);
  return text;
}

// ---- writing ------------------------------------------------------------------------------------

Json describe(const std::vector<const Checkpoint::Tensor*>& tensors,
              const std::map<std::string, std::string>& metadata) {
  Json header;
  header[kMetadata] = metadata;
  std::uint64_t begin = 0;
  for (const Checkpoint::Tensor* tensor : tensors) {
    const std::uint64_t end = begin + tensor->bytes.size();
    header[tensor->name] = {{"dtype", safetensors_name(tensor->dtype)},
                            {"shape", tensor->shape},
                            {"data_offsets", {begin, end}}};
    begin = end;
  }
  return header;
}

std::string dump(const Json& header, const std::filesystem::path& path) {
  try {
    return header.dump();
  } catch (const Json::type_error&) {
    throw Error(ErrorKind::usage, str(path.string(),
                                      ": cannot save text that is not UTF-8; use UTF-8 in names "
                                      "and options"));
  }
}

// ---- reading ------------------------------------------------------------------------------------

// One checkpoint file being read; its functions end in a clear line when something is wrong.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : path_(path) {
    std::error_code error;
    check(std::filesystem::is_regular_file(path, error), "no such file");
    size_ = std::filesystem::file_size(path, error);
    check(!error, "cannot find its size: ", error.message());
    file_.open(path, std::ios::binary);
    check(file_.is_open(), "cannot open: ", std::strerror(errno));
  }

  template <class... Parts>
  void check(bool condition, const Parts&... parts) const {
    NAT_CHECK(condition, ErrorKind::checkpoint, "checkpoint ", path_.string(), ": ", parts...);
  }

  std::uint64_t size() const { return size_; }

  void read(void* data, std::uint64_t bytes) {
    file_.read(static_cast<char*>(data), static_cast<std::streamsize>(bytes));
    check(static_cast<std::uint64_t>(file_.gcount()) == bytes, "ends too early; it was truncated");
  }

 private:
  std::filesystem::path path_;
  std::ifstream file_;
  std::uint64_t size_ = 0;
};

bool has_control_character(const std::string& text) {
  return std::any_of(text.begin(), text.end(),
                     [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

Json parse_header(const Reader& reader, const std::string& text) {
  // nlohmann keeps the last of several equal keys; two readings of one file would be two truths.
  std::vector<std::set<std::string>> keys;  // of the open objects, by depth
  const auto watch = [&](int depth, Json::parse_event_t event, const Json& value) {
    reader.check(depth <= kMaxDepth, "the header is nested too deeply; this is no checkpoint");
    const auto level = static_cast<std::size_t>(depth);
    if (event == Json::parse_event_t::object_start) {
      keys.resize(level);
      keys.emplace_back();
    } else if (event == Json::parse_event_t::key) {
      const auto& name = value.get_ref<const std::string&>();
      reader.check(!has_control_character(name), "a name in the header is not printable");
      reader.check(keys[level - 1].insert(name).second, "the header names '", name, "' twice");
    }
    return true;
  };
  Json header = Json::parse(text, watch, /*allow_exceptions=*/false);
  reader.check(header.is_object(), "the header is not JSON; the file is damaged or no checkpoint");
  return header;
}

Json read_header(Reader& reader, std::uint64_t& payload) {
  std::uint64_t length = 0;
  reader.check(reader.size() >= sizeof length, "only ", reader.size(),
               " bytes long; it was truncated");
  reader.read(&length, sizeof length);
  reader.check(length <= kMaxHeader, "announces a header of ", length,
               " bytes; this is no checkpoint");
  reader.check(length <= reader.size() - sizeof length, "announces a header of ", length,
               " bytes but is only ", reader.size(), " bytes long; it was truncated");
  std::string text(length, '\0');
  reader.read(text.data(), length);
  payload = reader.size() - sizeof length - length;
  return parse_header(reader, text);
}

std::map<std::string, std::string> read_metadata(const Reader& reader, const Json& header) {
  std::map<std::string, std::string> metadata;
  const auto entry = header.find(kMetadata);
  if (entry == header.end()) return metadata;
  reader.check(entry->is_object(), kMetadata, " is not an object");
  for (const auto& [key, value] : entry->items()) {
    reader.check(value.is_string(), "metadata '", key, "' is not text");
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

// A tensor that has its place in the file but not its bytes yet.
struct Placed {
  Checkpoint::Tensor tensor;
  std::uint64_t begin = 0, end = 0;
};

bool is_list_of_sizes(const Json& value) {
  return value.is_array() && std::all_of(value.begin(), value.end(), [](const Json& size) {
           return size.is_number_unsigned() && size.get<std::uint64_t>() <= INT64_MAX;
         });
}

Placed read_entry(const Reader& reader, const std::string& name, const Json& entry) {
  reader.check(entry.is_object() && entry.contains("dtype") && entry.contains("shape") &&
                   entry.contains("data_offsets"),
               "tensor '", name, "' lacks dtype, shape or data_offsets");
  const Json &dtype = entry["dtype"], &shape = entry["shape"], &offsets = entry["data_offsets"];
  const auto known = std::find_if(std::begin(kDTypeNames), std::end(kDTypeNames),
                                  [&](const auto& pair) { return dtype == pair.second; });
  reader.check(known != std::end(kDTypeNames), "tensor '", name, "' has the unknown type ",
               dtype.dump(-1, ' ', true, Json::error_handler_t::replace));
  reader.check(is_list_of_sizes(shape) && shape.size() <= kMaxRank, "tensor '", name,
               "' has no usable shape");
  reader.check(is_list_of_sizes(offsets) && offsets.size() == 2, "tensor '", name,
               "' has no usable offsets");

  Placed placed;
  placed.tensor.name = name;
  placed.tensor.dtype = known->first;
  placed.tensor.shape = shape.get<std::vector<std::int64_t>>();
  placed.begin = offsets[0].get<std::uint64_t>();
  placed.end = offsets[1].get<std::uint64_t>();
  std::uint64_t bytes = 0;
  reader.check(byte_count(placed.tensor.dtype, placed.tensor.shape, bytes) &&
                   placed.begin <= placed.end && placed.end - placed.begin == bytes,
               "tensor '", name, "' has offsets ", placed.begin, "..", placed.end,
               " that do not fit its shape ", shape_text(placed.tensor.shape));
  return placed;
}

// All tensors in the order of the file, proven to cover the payload without gap or overlap.
std::vector<Placed> read_layout(const Reader& reader, const Json& header, std::uint64_t payload) {
  std::vector<Placed> layout;
  for (const auto& [name, entry] : header.items()) {
    if (name != kMetadata) layout.push_back(read_entry(reader, name, entry));
  }
  std::stable_sort(layout.begin(), layout.end(), [](const Placed& a, const Placed& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t next = 0;
  for (const Placed& placed : layout) {
    reader.check(placed.begin == next, "tensor '", placed.tensor.name, "' begins at ", placed.begin,
                 " where ", next, " was expected");
    next = placed.end;
  }
  reader.check(next == payload, "holds ", payload, " bytes of tensors where ", next,
               " were expected; it was truncated or overwritten");
  return layout;
}

// ---- folders of checkpoints ---------------------------------------------------------------------

// The step whose checkpoint has this name, or -1.
std::int64_t step_of(const std::string& file, std::string_view prefix) {
  if (!file.starts_with(prefix)) return -1;
  std::int64_t step = -1;
  std::from_chars(file.data() + prefix.size(), file.data() + file.size(), step);
  return step >= 0 && checkpoint_path({}, step, prefix) == file ? step : -1;
}

// Names in a folder; none where there is no folder. One that cannot be read is not an empty one.
std::vector<std::filesystem::path> list(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    files.push_back(entry->path());
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    throw_io_error(folder, "read", error.value());
  }
  return files;
}

}  // namespace

void Checkpoint::put(std::string name, DType dtype, std::vector<std::int64_t> shape,
                     const void* data) {
  std::uint64_t bytes = 0;
  NAT_CHECK(shape.size() <= kMaxRank && byte_count(dtype, shape, bytes), ErrorKind::unexpected,
            "checkpoint: tensor '", name, "' cannot have the shape ", shape_text(shape));
  NAT_CHECK(name != kMetadata && find(name) == nullptr, ErrorKind::unexpected,
            "checkpoint: the name '", name, "' is taken");
  Tensor tensor{std::move(name), dtype, std::move(shape), std::vector<std::byte>(bytes)};
  if (bytes > 0) std::memcpy(tensor.bytes.data(), data, bytes);
  tensors_.push_back(std::move(tensor));
}

const Checkpoint::Tensor* Checkpoint::find(std::string_view name) const {
  const auto found = std::find_if(tensors_.begin(), tensors_.end(),
                                  [&](const Tensor& tensor) { return tensor.name == name; });
  return found == tensors_.end() ? nullptr : &*found;
}

const Checkpoint::Tensor& Checkpoint::get(std::string_view name) const {
  const Tensor* tensor = find(name);
  NAT_CHECK(tensor != nullptr, ErrorKind::checkpoint, "checkpoint: tensor '", name,
            "' is missing; the file belongs to another network or version");
  return *tensor;
}

void Checkpoint::read(std::string_view name, DType dtype, const std::vector<std::int64_t>& shape,
                      void* data) const {
  const Tensor& tensor = get(name);
  NAT_CHECK(tensor.dtype == dtype && tensor.shape == shape, ErrorKind::checkpoint,
            "checkpoint: tensor '", name, "' is ", shape_text(tensor.shape), " ",
            nat::name(tensor.dtype), " but ", shape_text(shape), " ", nat::name(dtype),
            " is needed; the file belongs to another network or configuration");
  if (!tensor.bytes.empty()) std::memcpy(data, tensor.bytes.data(), tensor.bytes.size());
}

const std::string& Checkpoint::metadata_value(const std::string& key) const {
  const auto entry = metadata.find(key);
  NAT_CHECK(entry != metadata.end(), ErrorKind::checkpoint, "checkpoint: '", key,
            "' is missing; the file was not written by nat or by another version");
  return entry->second;
}

std::int64_t Checkpoint::metadata_number(const std::string& key) const {
  const std::string& text = metadata_value(key);
  const char* end = text.data() + text.size();
  std::int64_t value = -1;
  const auto result = std::from_chars(text.data(), end, value);
  NAT_CHECK(result.ec == std::errc() && result.ptr == end && value >= 0, ErrorKind::checkpoint,
            "checkpoint: '", key,
            "' is not a whole number from 0 on; the file was not written by nat, remove it");
  return value;
}

void Checkpoint::save(const std::filesystem::path& path) const {
  assert(!metadata.contains(kChecksum));
  // Wide elements first, so that every tensor is aligned without padding.
  std::vector<const Tensor*> order;
  for (const Tensor& tensor : tensors_) order.push_back(&tensor);
  std::stable_sort(order.begin(), order.end(), [](const Tensor* a, const Tensor* b) {
    return size_of(a->dtype) > size_of(b->dtype);
  });

  Json header = describe(order, metadata);
  const std::string unsigned_header = dump(header, path);
  std::uint32_t crc = continue_crc(0, unsigned_header.data(), unsigned_header.size());
  for (const Tensor* tensor : order) {
    crc = continue_crc(crc, tensor->bytes.data(), tensor->bytes.size());
  }
  header[kMetadata][kChecksum] = hexadecimal(crc);
  std::string text = dump(header, path);
  text.resize((text.size() + 7) / 8 * 8, ' ');

  DurableFile file(path);
  const std::uint64_t length = text.size();
  file.write(&length, sizeof length);
  file.write(text.data(), text.size());
  for (const Tensor* tensor : order) file.write(tensor->bytes.data(), tensor->bytes.size());
  file.commit();
}

Checkpoint Checkpoint::load(const std::filesystem::path& path) {
  Reader reader(path);
  std::uint64_t payload = 0;
  Json header = read_header(reader, payload);
  Checkpoint checkpoint;
  checkpoint.metadata = read_metadata(reader, header);
  const auto checksum = checkpoint.metadata.extract(kChecksum);
  reader.check(!checksum.empty(), "has no checksum; it was not written by nat");
  header[kMetadata].erase(kChecksum);
  const std::string unsigned_header = dump(header, path);
  std::uint32_t crc = continue_crc(0, unsigned_header.data(), unsigned_header.size());

  for (Placed& placed : read_layout(reader, header, payload)) {
    Tensor& tensor = placed.tensor;
    tensor.bytes.resize(placed.end - placed.begin);
    reader.read(tensor.bytes.data(), tensor.bytes.size());
    crc = continue_crc(crc, tensor.bytes.data(), tensor.bytes.size());
    checkpoint.tensors_.push_back(std::move(tensor));
  }
  reader.check(hexadecimal(crc) == checksum.mapped(), "has the checksum ", hexadecimal(crc),
               " instead of ", checksum.mapped(), "; it is damaged");
  return checkpoint;
}

std::filesystem::path checkpoint_path(const std::filesystem::path& folder, std::int64_t step,
                                      std::string_view prefix) {
  std::string digits = std::to_string(step);
  if (digits.size() < 9) digits.insert(0, 9 - digits.size(), '0');
  return folder / str(prefix, digits, kExtension);
}

std::vector<std::int64_t> checkpoint_steps(const std::filesystem::path& folder,
                                           std::string_view prefix) {
  std::vector<std::int64_t> steps;
  for (const std::filesystem::path& file : list(folder)) {
    const std::int64_t step = step_of(file.filename().string(), prefix);
    if (step >= 0) steps.push_back(step);
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

NewestCheckpoint newest_valid(const std::filesystem::path& folder, std::string_view prefix) {
  NewestCheckpoint newest;
  const std::vector<std::int64_t> steps = checkpoint_steps(folder, prefix);
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    const std::filesystem::path file = checkpoint_path(folder, *step, prefix);
    try {
      newest.checkpoint = Checkpoint::load(file);
      newest.path = file;
      return newest;
    } catch (const Error& error) {
      newest.skipped.emplace_back(error.what());
    }
  }
  return newest;
}

int prune(const std::filesystem::path& folder, int keep, std::int64_t newest,
          std::string_view prefix) {
  assert(keep >= 0);
  std::vector<std::int64_t> steps = checkpoint_steps(folder, prefix);
  std::erase_if(steps, [newest](std::int64_t step) { return step > newest; });
  int removed = 0;
  for (std::ptrdiff_t i = 0; i < std::ssize(steps) - keep; ++i) {
    const std::filesystem::path file =
        checkpoint_path(folder, steps[static_cast<std::size_t>(i)], prefix);
    if (::unlink(file.c_str()) != 0) {
      if (errno != ENOENT) throw_io_error(file, "remove", errno);
      continue;  // somebody else has removed it
    }
    ++removed;
  }
  remove_abandoned_in(folder,
                      [&](const std::string& target) { return step_of(target, prefix) >= 0; });
  return removed;
}

}  // namespace nat
