#include "engine/checkpoint.h"

#include <doctest/doctest.h>
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "kernels/check.h"
#include "tests/error_message.h"
#include "tests/process_state.h"
#include "tests/temporary_folder.h"

namespace fs = std::filesystem;
using nat::Checkpoint;
using nat::DType;
using nat::ErrorKind;
using nat::test::message_of;
using nat::test::read_file;
using nat::test::TemporaryFolder;
using nat::test::write_file;

namespace {

Checkpoint sample() {
  Checkpoint checkpoint;
  const std::uint8_t flags[5] = {1, 2, 3, 4, 255};
  const float weights[6] = {1.5f, -2.25f, 3e-30f, 4e30f, 0, -0.0f};
  const double sums[2] = {1.0 / 3, -1e300};
  const std::int32_t targets[4] = {3, 1, 0, 2};
  const nat::BFloat16 halves[3] = {nat::to_bfloat16(1.0f), nat::to_bfloat16(2.0f),
                                   nat::to_bfloat16(-3.0f)};
  const float scalar = 7;
  checkpoint.put("flags", DType::u8, {5}, flags);
  checkpoint.put("conv1.weight", DType::f32, {1, 3, 2, 1}, weights);
  checkpoint.put("sums", DType::f64, {2}, sums);
  checkpoint.put("nat.assignment", DType::i32, {4}, targets);
  checkpoint.put("halves", DType::bf16, {3, 1}, halves);
  checkpoint.put("scalar", DType::f32, {}, &scalar);
  checkpoint.put("nothing", DType::f32, {0, 4}, nullptr);
  checkpoint.metadata = {{"step", "120"}, {"config", "{\"lr\": 0.1, \"name\": \"ü\\n\"}"}};
  return checkpoint;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// A safetensors file of this header and payload, with the checksum that load() wants to see.
std::string file_of(nlohmann::json header, const std::string& payload) {
  header["__metadata__"] = nlohmann::json::object();
  const std::string text = header.dump();
  const auto bytes = [](const std::string& s) { return reinterpret_cast<const Bytef*>(s.data()); };
  auto crc = crc32_z(0, bytes(text), text.size());
  if (!payload.empty()) crc = crc32_z(crc, bytes(payload), payload.size());
  char digits[9];
  std::snprintf(digits, sizeof digits, "%08lx", crc);
  header["__metadata__"]["crc32"] = digits;
  std::string result = header.dump();
  const std::uint64_t length = result.size();
  result.insert(0, reinterpret_cast<const char*>(&length), sizeof length);
  return result + payload;
}

std::string raw_file(const std::string& header, const std::string& payload) {
  const std::uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + payload;
}

}  // namespace

TEST_CASE("a saved checkpoint loads with the same tensors, shapes, types and metadata") {
  const TemporaryFolder folder;
  const fs::path path = folder.at("a.safetensors");
  const Checkpoint saved = sample();
  saved.save(path);
  const Checkpoint loaded = Checkpoint::load(path);
  CHECK(loaded.metadata == saved.metadata);
  REQUIRE(loaded.tensors().size() == saved.tensors().size());
  for (const Checkpoint::Tensor& tensor : saved.tensors()) {
    CAPTURE(tensor.name);
    const Checkpoint::Tensor& twin = loaded.get(tensor.name);
    CHECK(twin.dtype == tensor.dtype);
    CHECK(twin.shape == tensor.shape);
    CHECK(twin.bytes == tensor.bytes);
  }
  CHECK(loaded.get("conv1.weight").as<float>()[1] == -2.25f);
  CHECK(loaded.get("scalar").elements() == 1);
  CHECK(loaded.get("nothing").elements() == 0);
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);

  loaded.save(folder.at("b.safetensors"));
  CHECK(read_file(folder.at("b.safetensors")) == read_file(path));
}

TEST_CASE("the file follows the safetensors format") {
  const TemporaryFolder folder;
  const fs::path path = folder.at("a.safetensors");
  sample().save(path);
  const std::string file = read_file(path);
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  CHECK(length % 8 == 0);
  const auto header = nlohmann::json::parse(file.substr(8, length));
  CHECK(header["__metadata__"]["step"] == "120");
  CHECK(header["conv1.weight"]["dtype"] == "F32");
  CHECK(header["conv1.weight"]["shape"] == nlohmann::json({1, 3, 2, 1}));
  std::uint64_t covered = 0;
  for (const auto& item : header.items()) {
    const std::string& name = item.key();
    const nlohmann::json& entry = item.value();
    if (name == "__metadata__") continue;
    CAPTURE(name);
    const std::uint64_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
    covered += end - begin;
    const Checkpoint original = sample();
    const Checkpoint::Tensor& tensor = original.get(name);
    CHECK(begin % nat::size_of(tensor.dtype) == 0);
    REQUIRE(end - begin == tensor.bytes.size());
    CHECK((begin == end ||
           std::memcmp(file.data() + 8 + length + begin, tensor.bytes.data(), end - begin) == 0));
  }
  CHECK(covered == file.size() - 8 - length);
}

TEST_CASE("read copies a tensor out and refuses another shape, type or name") {
  const Checkpoint checkpoint = sample();
  std::int32_t targets[4] = {};
  checkpoint.read("nat.assignment", DType::i32, {4}, targets);
  CHECK(targets[3] == 2);
  CHECK(message_of(ErrorKind::checkpoint, [&] {
          checkpoint.read("nat.assignment", DType::i32, {2, 2}, targets);
        }).starts_with("checkpoint: tensor 'nat.assignment' is 4 i32 but 2x2 i32 is needed"));
  CHECK(contains(message_of(ErrorKind::checkpoint,
                            [&] { checkpoint.read("nat.assignment", DType::f32, {4}, targets); }),
                 "4 f32 is needed"));
  CHECK(contains(message_of(ErrorKind::checkpoint, [&] { checkpoint.get("fc9.weight"); }),
                 "'fc9.weight' is missing"));
  CHECK(contains(message_of(ErrorKind::checkpoint, [&] { checkpoint.metadata_value("epoch"); }),
                 "'epoch' is missing"));
  CHECK(checkpoint.metadata_value("step") == "120");
}

TEST_CASE("put refuses a taken name and an impossible shape") {
  Checkpoint checkpoint = sample();
  const float value = 0;
  const auto put = [&](const char* name, std::vector<std::int64_t> shape) {
    return message_of(ErrorKind::unexpected,
                      [&] { checkpoint.put(name, DType::f32, std::move(shape), &value); });
  };
  CHECK(contains(put("sums", {1}), "'sums' is taken"));
  CHECK(contains(put("__metadata__", {1}), "is taken"));
  CHECK(contains(put("a", {-1}), "cannot have the shape -1"));
  CHECK(contains(put("a", {1, 1, 1, 1, 1}), "cannot have the shape"));
  CHECK(contains(put("a", {std::int64_t{1} << 40, std::int64_t{1} << 40}), "cannot have"));
}

TEST_CASE("a file cut short anywhere is refused") {
  const TemporaryFolder folder;
  const fs::path path = folder.at("a.safetensors");
  sample().save(path);
  const std::string file = read_file(path);
  for (std::size_t size = 0; size < file.size(); ++size) {
    CAPTURE(size);
    write_file(path, file.substr(0, size));
    message_of(ErrorKind::checkpoint, [&] { Checkpoint::load(path); });
  }
  write_file(path, file + '\0');
  CHECK(contains(message_of(ErrorKind::checkpoint, [&] { Checkpoint::load(path); }),
                 "truncated or overwritten"));
}

TEST_CASE("every single flipped bit is noticed, except in the padding") {
  const TemporaryFolder folder;
  const fs::path path = folder.at("a.safetensors");
  sample().save(path);
  const std::string file = read_file(path);
  const Checkpoint original = Checkpoint::load(path);
  for (std::size_t byte = 0; byte < file.size(); ++byte) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = file;
      damaged[byte] = static_cast<char>(damaged[byte] ^ (1 << bit));
      write_file(path, damaged);
      CAPTURE(byte);
      CAPTURE(bit);
      try {
        const Checkpoint loaded = Checkpoint::load(path);
        // Only a padding space may turn into other white space, which means the same.
        CHECK(file[byte] == ' ');
        CHECK(loaded.metadata == original.metadata);
      } catch (const nat::Error& error) {
        CHECK(error.kind() == ErrorKind::checkpoint);
      }
    }
  }
}

TEST_CASE("random corruption never does more than raise a checkpoint error") {
  const TemporaryFolder folder;
  const fs::path path = folder.at("a.safetensors");
  sample().save(path);
  const std::string file = read_file(path);
  std::mt19937 random(1);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  const std::string interesting = std::string("{}[]\",:0123456789-eE.\\u \0\n\xff", 27);
  int accepted = 0;
  for (int trial = 0; trial < 4000; ++trial) {
    std::string damaged = file;
    const std::size_t edits = 1 + below(4);
    for (std::size_t i = 0; i < edits; ++i) {
      const std::size_t at = below(damaged.size());
      switch (below(5)) {
        case 0:
          damaged[at] = static_cast<char>(random());
          break;
        case 1:
          damaged[at] = interesting[below(interesting.size())];
          break;
        case 2:
          damaged.erase(at, 1 + below(20));
          break;
        case 3:
          damaged.insert(at, damaged.substr(below(damaged.size()), 1 + below(30)));
          break;
        default:
          damaged[below(8)] = static_cast<char>(random());
      }
      if (damaged.empty()) damaged = "x";
    }
    write_file(path, damaged);
    CAPTURE(trial);
    try {
      Checkpoint::load(path);
      ++accepted;
    } catch (const nat::Error& error) {
      CHECK(error.kind() == ErrorKind::checkpoint);
    }
  }
  CHECK(accepted < 40);  // edits that hit nothing but padding, or changed nothing
}

TEST_CASE("hostile headers are refused with the reason") {
  using nlohmann::json;
  const TemporaryFolder folder;
  const fs::path path = folder.at("a.safetensors");
  const auto reason = [&](const std::string& file) {
    write_file(path, file);
    return message_of(ErrorKind::checkpoint, [&] { Checkpoint::load(path); });
  };
  const auto entry = [](const char* dtype, json shape, json offsets) {
    return json{
        {"dtype", dtype}, {"shape", std::move(shape)}, {"data_offsets", std::move(offsets)}};
  };
  const std::string eight(8, 'x');

  write_file(path, file_of({{"a", entry("F32", {2}, {0, 8})}}, eight));
  REQUIRE_NOTHROW(Checkpoint::load(path));

  CHECK(contains(reason(""), "only 0 bytes long"));
  CHECK(contains(reason(std::string(8, '\xff')), "announces a header of"));
  CHECK(contains(reason(std::string("\0\0\0\1\0\0\0\0{}", 10)), "announces a header of"));
  // A header of more than 100 MiB, in a file that is long enough for it but takes no disk.
  write_file(path, std::string("\0\0\0\7\0\0\0\0", 8));
  fs::resize_file(path, 130 << 20);
  CHECK(contains(message_of(ErrorKind::checkpoint, [&] { Checkpoint::load(path); }),
                 "announces a header of 117440512 bytes; this is no checkpoint"));
  CHECK(contains(reason(raw_file("", eight)), "not JSON"));
  CHECK(contains(reason(raw_file("[]", eight)), "not JSON"));
  CHECK(contains(reason(raw_file("{\"a\":1", eight)), "not JSON"));
  CHECK(contains(reason(raw_file("{\"\xc3\x28\":1}", eight)), "not JSON"));
  CHECK(contains(reason(raw_file(std::string(10000, '['), "")), "nested too deeply"));
  CHECK(contains(reason(raw_file("{\"a\":{},\"b\":{},\"a\":{}}", "")), "names 'a' twice"));
  CHECK(contains(reason(raw_file("{\"a\":{\"dtype\":\"F32\",\"dtype\":\"F64\"}}", "")),
                 "names 'dtype' twice"));
  CHECK(contains(reason(raw_file("{\"a\\nb\":1}", "")), "not printable"));
  CHECK(contains(reason(raw_file("{\"a\x7f\":1}", "")), "not printable"));
  CHECK(contains(reason(raw_file("{}", "")), "has no checksum"));
  CHECK(contains(reason(raw_file("{\"__metadata__\":{\"crc32\":5}}", "")), "'crc32' is not text"));
  CHECK(contains(reason(raw_file("{\"__metadata__\":[]}", "")), "is not an object"));
  CHECK(contains(reason(file_of({{"a", 5}}, "")), "lacks dtype"));
  CHECK(contains(reason(file_of({{"a", {{"dtype", "F32"}, {"shape", {2}}}}}, eight)),
                 "lacks dtype, shape or data_offsets"));
  CHECK(contains(reason(file_of({{"a", entry("F99", {2}, {0, 8})}}, eight)), "unknown type"));
  CHECK(contains(reason(file_of({{"a", entry("F32", {-2}, {0, 8})}}, eight)), "no usable shape"));
  CHECK(contains(reason(file_of({{"a", entry("F32", {2.5}, {0, 8})}}, eight)), "no usable shape"));
  CHECK(contains(reason(file_of({{"a", entry("F32", {1, 1, 1, 1, 2}, {0, 8})}}, eight)),
                 "no usable shape"));
  CHECK(contains(reason(file_of({{"a", entry("F32", {2}, {0, -8})}}, eight)), "no usable offsets"));
  CHECK(
      contains(reason(file_of({{"a", entry("F32", {2}, {0, 4, 8})}}, eight)), "no usable offsets"));
  CHECK(contains(reason(file_of({{"a", entry("F32", {2}, {8, 0})}}, eight)), "do not fit"));
  CHECK(contains(reason(file_of({{"a", entry("F32", {3}, {0, 8})}}, eight)), "do not fit"));
  const std::int64_t huge = std::int64_t{1} << 62;
  CHECK(contains(reason(file_of({{"a", entry("F32", {huge, 4}, {0, 8})}}, eight)), "do not fit"));
  CHECK(contains(reason(file_of({{"a", entry("F32", {huge / 4}, {0, huge})}}, eight)),
                 "truncated or overwritten"));
  CHECK(contains(reason(file_of({{"a", entry("F32", {1}, {4, 8})}}, eight)), "begins at 4"));
  CHECK(contains(
      reason(file_of({{"a", entry("F32", {2}, {0, 8})}, {"b", entry("F32", {1}, {4, 8})}}, eight)),
      "'b' begins at 4 where 8 was expected"));
  CHECK(contains(reason(file_of({{"a", entry("F32", {1}, {0, 4})}}, eight)),
                 "truncated or overwritten"));
  std::string wrong = file_of({{"a", entry("F32", {2}, {0, 8})}}, eight);
  wrong.back() = 'y';
  CHECK(contains(reason(wrong), "it is damaged"));
}

TEST_CASE("a missing file and a folder are refused") {
  const TemporaryFolder folder;
  for (const std::string& path : {folder.path(), folder.at("nothing.safetensors")}) {
    CHECK(contains(message_of(ErrorKind::checkpoint, [&] { Checkpoint::load(path); }),
                   "no such file"));
  }
}

TEST_CASE("a failed save leaves the old file and no temporary one") {
  const TemporaryFolder folder;
  const fs::path path = folder.at("a.safetensors");
  sample().save(path);
  const std::string before = read_file(path);

  Checkpoint larger = sample();
  const std::vector<float> values(10000);
  larger.put("larger", DType::f32, {10000}, values.data());

  // A limit on the size of files makes writing stop half-way, as a full disk does.
  const std::string message = message_of(ErrorKind::io, [&] {
    const nat::test::ScopedLimit full(RLIMIT_FSIZE, 20000);
    larger.save(path);
  });

  CHECK(contains(message, "a.safetensors: cannot write: "));
  CHECK(contains(message, "free some disk space"));
  CHECK(read_file(path) == before);
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
}

TEST_CASE("saving where nothing can be written is one clear line") {
  const TemporaryFolder folder;
  const auto save = [](const fs::path& path) {
    return message_of(ErrorKind::io, [&] { sample().save(path); });
  };
  CHECK(contains(save(folder.at("missing/a.safetensors")), "create the folder first"));
  fs::create_directories(folder.at("taken/x"));
  CHECK(contains(save(folder.at("taken")), "it is a folder"));
  CHECK(!fs::exists(folder.at("taken.tmp")));

  // root may write everywhere, so the read-only folder is tried as somebody else.
  fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec |
                                     fs::perms::others_read | fs::perms::others_exec);
  std::string message;
  {
    const nat::test::ScopedNobody nobody;
    message = save(folder.at("a.safetensors"));
  }
  fs::permissions(folder.path(), fs::perms::owner_all);
  CHECK(contains(message, "cannot create: Permission denied; choose a folder"));
}

TEST_CASE("text that is not UTF-8 cannot be saved") {
  const TemporaryFolder folder;
  Checkpoint checkpoint;
  checkpoint.metadata["data"] = "/pictures/\xff";
  CHECK(contains(message_of(ErrorKind::usage, [&] { checkpoint.save(folder.at("a")); }),
                 "not UTF-8"));
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("a temporary file of somebody else does not stop a save, and stays") {
  const TemporaryFolder folder;
  const fs::path path = folder.at("a.safetensors");
  write_file(folder.at("a.safetensors.tmp"), "half a checkpoint");
  write_file(folder.at("a.safetensors.1.tmp"), "another");
  sample().save(path);
  CHECK(Checkpoint::load(path).metadata_value("step") == "120");
  CHECK(nat::test::read_file(folder.at("a.safetensors.tmp")) == "half a checkpoint");
  CHECK(nat::test::read_file(folder.at("a.safetensors.1.tmp")) == "another");
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 3);
}

TEST_CASE("the newest checkpoint is the highest step that loads") {
  const TemporaryFolder folder;
  CHECK(nat::newest_valid(folder.at("missing")).path.empty());
  CHECK(nat::newest_valid(folder.path()).path.empty());
  CHECK(nat::checkpoint_path("c", 120) == fs::path("c/step-000000120.safetensors"));

  for (const std::int64_t step : {9, 10, 1234567890}) {
    Checkpoint checkpoint = sample();
    checkpoint.metadata["step"] = std::to_string(step);
    checkpoint.save(nat::checkpoint_path(folder.path(), step));
  }
  write_file(folder.at("step-99999999999.safetensors.tmp"), "x");
  write_file(folder.at("step-x9.safetensors"), "x");
  write_file(folder.at("best-99999999999.safetensors"), "x");
  nat::NewestCheckpoint newest = nat::newest_valid(folder.path());
  CHECK(newest.path == folder.at("step-1234567890.safetensors"));
  CHECK(newest.checkpoint.metadata_value("step") == "1234567890");
  CHECK(newest.skipped.empty());

  fs::resize_file(newest.path, 100);
  newest = nat::newest_valid(folder.path());
  CHECK(newest.path == nat::checkpoint_path(folder.path(), 10));
  CHECK(newest.checkpoint.metadata_value("step") == "10");
  REQUIRE(newest.skipped.size() == 1);
  CHECK(contains(newest.skipped[0], "step-1234567890.safetensors: announces a header"));
}

TEST_CASE("prune keeps the newest checkpoints and sweeps up interrupted saves") {
  const TemporaryFolder folder;
  for (const std::int64_t step : {1, 2, 30, 4}) {
    sample().save(nat::checkpoint_path(folder.path(), step));
  }
  write_file(folder.at("step-000000005.safetensors.tmp"), "x");
  write_file(folder.at("step-000000005.safetensors.12.tmp"), "x");
  write_file(folder.at("notes.tmp"), "x");
  CHECK(nat::prune(folder.path(), 2) == 2);
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder.path())) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  CHECK(names == std::vector<std::string>{"notes.tmp", "step-000000004.safetensors",
                                          "step-000000030.safetensors"});
  CHECK(nat::prune(folder.path(), 2) == 0);
  CHECK(nat::prune(folder.path(), 1, 4) == 0);  // 30 is passed over: it does not count
  CHECK(nat::prune(folder.path(), 0, 4) == 1);
  CHECK(nat::prune(folder.path(), 0) == 1);
}
