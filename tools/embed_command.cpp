// nat embed: the features of a data set as a safetensors file.
#include <cstdio>
#include <memory>

#include "data/files.h"
#include "data/manifest.h"
#include "engine/checkpoint.h"
#include "engine/durable_file.h"
#include "tools/commands.h"
#include "tools/judge.h"
#include "tools/session.h"

namespace nat::tools {

namespace {

struct Asked {
  std::string run, data, output, split = "train";
  std::vector<std::string> taps = {"embedding"};
  int threads = 0;
  bool json = false;
};

// The file beside the features that says which picture each row is of.
std::string rows_file(const std::string& output) { return output + ".jsonl"; }

// Before the work, not after it.
void require_output(const RunFolder& folder, const std::string& output) {
  NAT_CHECK(!output.empty(), ErrorKind::usage, "--output is empty; give the file to write");
  for (const std::string& file : {output, rows_file(output)}) {
    NAT_CHECK(!folder.has_own(file), ErrorKind::usage, "--output ", data::printable(file),
              ": that place belongs to the run itself; choose another name");
    require_writable(file);
  }
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

Checkpoint feature_file(const data::Dataset& pictures, const FeatureSet& set) {
  Checkpoint file;
  const std::int64_t n = std::ssize(set.ids);
  for (const auto& [tap, features] : set.at) {
    file.put(tap, DType::f32, {features.rows, features.columns}, features.values.data());
  }
  file.put("id", DType::i32, {n}, set.ids.data());
  file.put("label", DType::i32, {n}, set.labels.data());
  put_flags(pictures, set.ids, file);
  return file;
}

int embed(const Asked& asked) {
  const RunFolder folder = RunFolder::open(asked.run);
  require_output(folder, asked.output);
  Options options = folder.options();
  options.threads = asked.threads;
  const auto ctx = make_context(options);
  const auto split = asked.split == "train" ? data::Split::train : data::Split::test;
  if (!asked.data.empty()) options.limit = -1;  // it is one of the run's own pictures
  const auto pictures = open_data(options, split, asked.data);
  std::int64_t step = 0;
  Network network = load_trained(*ctx, folder, options, pictures->shape(), &step);
  const FeatureSet set = extract_features(*ctx, options, network, *pictures, asked.taps);
  Checkpoint file = feature_file(*pictures, set);
  const std::string& data = asked.data.empty() ? options.data : asked.data;
  file.metadata = {{"format", "nat-features-1"},
                   {"run", data::printable(asked.run)},
                   {"data", data::printable(data::absolute_spec(data))},
                   {"split", asked.split},
                   {"step", std::to_string(step)}};
  file.save(asked.output);
  data::write_pictures(*pictures, set.ids, rows_file(asked.output));
  print(asked.output, std::ssize(set.ids), asked.json);
  return 0;
}

}  // namespace

Command embed_command(CLI::App& nat) {
  CLI::App* app =
      nat.add_subcommand("embed", "write the features of pictures to a safetensors file");
  const auto asked = std::make_shared<Asked>();
  app->add_option("run", asked->run, "folder of the run")->required();
  app->add_option("--output", asked->output,
                  "the file to write; beside it FILE.jsonl says which picture each row is of")
      ->required();
  app->add_option("--data", asked->data, "pictures, if not those of the run; all of them");
  add_value(*app, "--split", asked->split, "train or test")
      ->check(CLI::IsMember({"train", "test"}));
  add_value(*app, "--layers", asked->taps, "where to take features")
      ->delimiter(',')
      ->allow_extra_args(false);
  add_value(*app, "--threads", asked->threads, "compute threads; 0 = one a core");
  app->add_flag("--json", asked->json, "print the outcome as JSON");
  return {app, [asked] { return embed(*asked); }};
}

}  // namespace nat::tools
