// nat embed: the features of a data set as a safetensors file, or as an array of NumPy.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "data/files.h"
#include "data/manifest.h"
#include "engine/checkpoint.h"
#include "engine/durable_file.h"
#include "tools/commands.h"
#include "tools/judge.h"
#include "tools/left_out.h"
#include "tools/one_time_options.h"
#include "tools/output_file.h"
#include "tools/session.h"

namespace nat::tools {

namespace {

struct Asked {
  std::string run, data, output, split = "train";
  std::vector<std::string> taps = {"embedding"};
  std::optional<std::int64_t> step;
  int threads = 0;
  OneTimeOptions where;
  bool json = false;
};

// The file beside the features that says which picture each row is of.
std::string rows_file(const std::string& output) { return output + ".jsonl"; }

std::string ending_of(const std::string& output) {
  return data::in_small_letters(std::filesystem::path(output).extension().string());
}

bool is_npy(const std::string& output) { return ending_of(output) == ".npy"; }

// /dev/stdout is a file where it was led to one, so its folder counts.
bool is_stream(const std::string& output) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::file_status status = fs::status(output, ignored);
  if (fs::exists(status) && !fs::is_regular_file(status) && !fs::is_directory(status)) return true;
  const fs::path folder = fs::weakly_canonical(fs::absolute(output).parent_path(), ignored);
  return folder == "/dev" || folder.string().starts_with("/proc/");
}

// Whoever puts a list of his own beside his features must not lose it. Lines of embed are those of
// a manifest; the first one tells.
bool may_replace_rows(const std::string& rows) {
  constexpr std::int64_t kLongestLine = 1 << 20;
  if (!data::is_file(rows)) return true;
  const data::Bytes start = data::read_start(rows, kLongestLine).bytes;
  const auto end = std::find(start.begin(), start.end(), '\n');
  const auto line = nlohmann::json::parse(start.begin(), end, nullptr, false);
  return start.empty() || (line.is_object() && line.contains("id") &&
                           (line.contains("path") || line.contains("record")));
}

void require_outputs(const RunFolder& folder, const Options& options, const Asked& asked) {
  const std::string& output = asked.output;
  NAT_CHECK(!is_npy(output) || asked.taps.size() == 1, ErrorKind::usage, "--output ",
            data::printable(output), ": an .npy file holds one array; name one of the ",
            asked.taps.size(), " --layers, or a file with another ending");
  require_output(folder, output, {asked.data, options.data});
  const std::string ending = ending_of(output);
  NAT_CHECK(ending.empty() || ending == ".safetensors" || ending == ".npy", ErrorKind::usage,
            "--output ", data::printable(output),
            ": features are written as .safetensors or .npy; give a name with one of these "
            "endings, or with none for safetensors");
  NAT_CHECK(!is_stream(output), ErrorKind::usage, "--output ", data::printable(output),
            ": a list of the pictures is written beside the features; give the name of a file");
  const std::string rows = rows_file(output);
  require_output(folder, rows, {asked.data, options.data});
  NAT_CHECK(may_replace_rows(rows), ErrorKind::usage, "--output ", data::printable(output), ": ",
            data::printable(rows),
            ", where the pictures are listed, is a file of something else; choose another name");
}

// Where a picture may have several labels: its flag of every class.
void put_flags(const data::Dataset& pictures, const std::vector<std::int32_t>& ids,
               Checkpoint& file) {
  if (!pictures.multi_label()) return;
  std::vector<std::int32_t> flags;
  for (const std::int32_t id : ids) {
    const auto row = pictures.flags(id);
    flags.insert(flags.end(), row.begin(), row.end());
  }
  file.put("flags", DType::i32, {std::ssize(ids), pictures.classes()}, flags.data());
}

void print(const std::string& output, std::int64_t pictures, bool as_json) {
  const std::string file = data::printable(output);
  if (as_json) {
    const nlohmann::json json = {
        {"output", file}, {"rows", rows_file(file)}, {"pictures", pictures}};
    std::printf("%s\n", json.dump().c_str());
  } else {
    std::printf("%s: %lld pictures; which row is which: %s\n", file.c_str(),
                static_cast<long long>(pictures), rows_file(file).c_str());
  }
}

// NumPy's format, version 1.0: magic, length of the header, the header as a Python literal padded
// to a multiple of 64 bytes, the numbers.
void write_npy(const FeatureMatrix& features, const std::string& path) {
  static_assert(std::endian::native == std::endian::little);
  std::string header = str("{'descr': '<f4', 'fortran_order': False, 'shape': (", features.rows,
                           ", ", features.columns, "), }");
  constexpr std::size_t kStart = 10, kMultiple = 64;
  header.append(kMultiple - 1 - (kStart + header.size()) % kMultiple, ' ').push_back('\n');
  DurableFile file(path);
  std::string start("\x93NUMPY\x01\x00", 8);
  start += {static_cast<char>(header.size() & 0xff), static_cast<char>(header.size() >> 8)};
  start += header;
  file.write(start.data(), start.size());
  file.write(features.values.data(), features.values.size() * sizeof(float));
  file.commit();
}

// The set gives its features away, one place after the other.
Checkpoint feature_file(const data::Dataset& pictures, FeatureSet& set) {
  Checkpoint file;
  const std::int64_t n = std::ssize(set.ids);
  while (!set.at.empty()) {
    const auto place = set.at.extract(set.at.begin());
    const FeatureMatrix& features = place.mapped();
    file.put(place.key(), DType::f32, {features.rows, features.columns}, features.values.data());
  }
  file.put("id", DType::i32, {n}, set.ids.data());
  file.put("label", DType::i32, {n}, set.labels.data());
  put_flags(pictures, set.ids, file);
  return file;
}

void save_safetensors(const Asked& asked, const Options& options, const data::Dataset& pictures,
                      FeatureSet& set, std::int64_t step) {
  Checkpoint file = feature_file(pictures, set);
  const std::string& data = asked.data.empty() ? options.data : asked.data;
  file.metadata = {{"format", "nat-features-1"},
                   {"run", data::printable(asked.run)},
                   {"data", data::printable(data::absolute_spec(data))},
                   {"split", asked.split},
                   {"step", std::to_string(step)}};
  file.save(asked.output);
}

void require_finite(const FeatureSet& set) {
  for (const auto& [tap, features] : set.at) {
    NAT_CHECK(
        std::all_of(features.values.begin(), features.values.end(),
                    [](float x) { return std::isfinite(x); }),
        ErrorKind::not_finite, "the features at ", tap,
        " hold NaN or infinity: the training has diverged; begin a new run with a lower --lr");
  }
}

// A place is copied once before it is written, but into a .npy file.
void require_room_for(const Context& ctx, const Asked& asked, const Network& network,
                      std::int64_t pictures) {
  const auto [all, widest] = feature_numbers(ctx, network, asked.taps);
  require_room(feature_bytes(pictures, all + (is_npy(asked.output) ? 0 : widest)),
               str("the features of ", pictures, " pictures, ", all, " numbers each,"),
               "write the places one by one (--layers), as .npy files, or of fewer pictures");
}

int embed(const Asked& asked) {
  const RunFolder folder = RunFolder::open(asked.run);
  Options options = asked.where.instead_of(folder.options());
  require_once("layers", asked.taps);
  require_outputs(folder, options, asked);
  options.threads = asked.threads;
  const auto ctx = make_context(options);
  const auto split = asked.split == "train" ? data::Split::train : data::Split::test;
  if (!asked.data.empty()) options.limit = -1;  // it is one of the run's own pictures
  const auto pictures = open_data(options, split, asked.data);
  std::fputs(remark_lines(*pictures).c_str(), stderr);
  auto [network, step] = load_trained(*ctx, folder, options, pictures->shape(), asked.step);
  require_room_for(*ctx, asked, network, std::ssize(pictures->usable_ids()));
  FeatureSet set =
      extract_features(*ctx, options, network, *pictures, asked.taps, "features of the pictures");
  std::fputs(unreadable_line(*pictures).c_str(), stderr);
  require_finite(set);
  if (is_npy(asked.output)) {
    write_npy(set.at.begin()->second, asked.output);
  } else {
    save_safetensors(asked, options, *pictures, set, step);
  }
  write_durably(rows_file(asked.output), data::picture_lines(*pictures, set.ids));
  print(asked.output, std::ssize(set.ids), asked.json);
  return 0;
}

}  // namespace

Command embed_command(CLI::App& nat) {
  CLI::App* app =
      nat.add_subcommand("embed", "write the features of pictures to a safetensors or .npy file");
  const auto asked = std::make_shared<Asked>();
  app->add_option("run", asked->run, "folder of the run")->required();
  app->add_option("--output", asked->output,
                  "the file to write, *.safetensors or, with one of the --layers, *.npy; beside it "
                  "FILE.jsonl says which picture each row is of")
      ->required();
  app->add_option("--data", asked->data, "pictures, if not those of the run; all of them");
  add_value(*app, "--split", asked->split, "train or test")
      ->check(CLI::IsMember({"train", "test"}));
  add_value(*app, "--layers", asked->taps, "where to take features")
      ->delimiter(',')
      ->allow_extra_args(false);
  add_step(*app, asked->step);
  add_value(*app, "--threads", asked->threads, "compute threads; 0 = one a core");
  asked->where.add_to(*app, kElsewhere);
  app->add_flag("--json", asked->json, "print the outcome as JSON");
  return {app, [asked] { return embed(*asked); }};
}

}  // namespace nat::tools
