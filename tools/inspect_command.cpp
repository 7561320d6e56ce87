// nat inspect: what is in a run, a checkpoint or a data set; with --plan, the memory of a training
// step.
#include <algorithm>
#include <cstdio>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>

#include "data/files.h"
#include "data/open.h"
#include "data/parallel.h"
#include "engine/checkpoint.h"
#include "engine/execution.h"
#include "tools/commands.h"
#include "tools/judge.h"
#include "tools/session.h"

namespace nat::tools {

namespace {

// Which sizes of pictures are told: those of their files, where nobody has said how they are
// stored.
enum class Sides { of_files, stored };

nlohmann::json describe(const Checkpoint& checkpoint) {
  nlohmann::json json;
  for (const auto& [key, value] : checkpoint.metadata) json["metadata"][key] = value;
  for (const Checkpoint::Tensor& tensor : checkpoint.tensors()) {
    json["tensors"][tensor.name] = {{"dtype", name(tensor.dtype)}, {"shape", tensor.shape}};
  }
  return json;
}

// Of the picture files, whatever size they would be stored at: "28", or "30 .. 500".
nlohmann::json range_of(const std::vector<data::PictureFile>& files, int data::PictureFile::*side) {
  int least = std::numeric_limits<int>::max(), most = 0;
  for (const data::PictureFile& file : files) {
    if (file.width == 0) continue;  // cannot be read
    least = std::min(least, file.*side);
    most = std::max(most, file.*side);
  }
  if (least >= most) return most;
  return str(least, " .. ", most);
}

nlohmann::json describe(const data::Dataset& pictures, Sides sides) {
  nlohmann::json json = {{"format", pictures.catalog().format},
                         {"source", data::printable(pictures.catalog().source)},
                         {"pictures", pictures.size()},
                         {"width", pictures.shape().width},
                         {"height", pictures.shape().height},
                         {"channels", pictures.shape().channels},
                         {"classes", pictures.catalog().class_names},
                         {"unreadable", pictures.bad_count()},
                         {"remarks", pictures.catalog().remarks}};
  const std::vector<data::PictureFile>& files = pictures.catalog().files;
  if (sides == Sides::of_files && !files.empty()) {
    json["width"] = range_of(files, &data::PictureFile::width);
    json["height"] = range_of(files, &data::PictureFile::height);
  }
  return json;
}

void print(const nlohmann::json& json, bool as_json) {
  if (as_json) {
    std::printf("%s\n", json.dump(2).c_str());
    return;
  }
  for (const auto& [key, value] : json.items()) {
    if (!value.is_object()) {
      std::printf("%-14s %s\n", key.c_str(), value.dump().c_str());
      continue;
    }
    std::printf("%s\n", key.c_str());
    for (const auto& [inner, detail] : value.items()) {
      const std::string text = detail.is_string() ? detail.get<std::string>() : detail.dump();
      std::printf("  %-40s %s\n", inner.c_str(), text.c_str());
    }
  }
}

// Of the stored pictures; colours unless --data says otherwise. A few of them tell, as long as one
// can be read.
int channels_of(Options options) {
  constexpr std::int64_t kFew = 16;
  if (options.data.empty()) return 3;
  options.max_bad_percent = 100;
  return open_data(options, data::Split::train, "", kFew)->shape().channels;
}

int print_plan(const Options& options, int channels, bool as_json) {
  Context host;  // the parameters; nothing else is allocated
  const Network network = build_network(
      host, options, {.height = options.size, .width = options.size, .channels = channels});
  const MemoryPlan plan =
      Execution::plan(planning_context(options), *network.net, options.batch, Mode::train);
  if (as_json) {
    nlohmann::json json = {{"arena_bytes", plan.total()},
                           {"lower_bound_bytes", plan.lower_bound()},
                           {"parameters", network.net->parameters().size()}};
    for (const MemoryPlan::Slot& slot : plan.slots()) {
      json["slots"].push_back({{"name", slot.name},
                               {"bytes", slot.bytes},
                               {"offset", slot.offset},
                               {"first", slot.first},
                               {"last", slot.last}});
    }
    std::printf("%s\n", json.dump(2).c_str());
  } else {
    const bool has_momenta = options.momentum != 0;
    std::printf("%sparameters%s: %d x %.2f MiB\n", plan.table().c_str(),
                has_momenta ? ", gradients and momenta" : " and gradients", has_momenta ? 3 : 2,
                static_cast<double>(network.net->parameters().size()) * 4 / (1 << 20));
  }
  return 0;
}

struct Asked {
  std::string what;
  bool plan = false, bad = false, json = false;
};

// By its content: a file may have any name.
bool looks_like_safetensors(const std::string& path) {
  constexpr std::size_t kStart = 9;  // the length of the header, and its first character
  if (!data::is_file(path)) return false;
  data::FileStart start;
  try {
    start = data::read_start(path, kStart);
  } catch (const Error& error) {
    throw Error(error.kind(), str(data::printable(path), ": ", error.what()));
  }
  if (start.bytes.size() < kStart || start.bytes[kStart - 1] != '{') return false;
  std::uint64_t length = 0;
  for (std::size_t i = kStart - 1; i-- > 0;) length = length << 8 | start.bytes[i];
  return length < static_cast<std::uint64_t>(start.size);
}

// Every picture is looked at: of those that are read from disk opening knows the headers alone.
nlohmann::json bad_pictures(const data::Dataset& pictures, int threads) {
  const std::vector<std::int32_t>& ids = pictures.usable_ids();
  data::parallel_for(std::ssize(ids), threads, [&](std::int64_t i) {
    data::Bytes pixels(static_cast<std::size_t>(pictures.shape().bytes()));
    pictures.read(ids[static_cast<std::size_t>(i)], pixels.data());
  });
  nlohmann::json json = nlohmann::json::object();
  for (const data::BadPicture& picture : pictures.bad_pictures()) {
    json[pictures.name(picture.id)] = data::printable(picture.reason);
  }
  return json;
}

// Their share is no error here: they are what is asked for.
nlohmann::json describe_bad(const std::string& what, Options options) {
  options.max_bad_percent = 100;
  if (data::parse_spec(what).format == data::Format::packed) options.stored_size = 0;
  const auto pictures = open_data(options, data::Split::train, what);
  const nlohmann::json bad = bad_pictures(*pictures, options.threads);
  return {{"pictures", pictures->size()}, {"unreadable", bad.size()}, {"reasons", bad}};
}

nlohmann::json describe(const std::string& what, Options options, Sides sides) {
  const std::filesystem::path path = what;
  if (data::exists(path / "config.toml")) {
    return describe(RunFolder::open(path).checkpoint());
  }
  if (path.extension() == ".safetensors" || looks_like_safetensors(what)) {
    return describe(Checkpoint::load(path));
  }
  const bool is_packed = data::parse_spec(what).format == data::Format::packed;
  if (is_packed) options.stored_size = 0;  // whichever it has
  return describe(*open_data(options, data::Split::train, what), is_packed ? Sides::stored : sides);
}

// Only how pictures are opened is asked of them; a run and a checkpoint tell themselves.
void refuse_idle_options(const CLI::App& app, const Options& options) {
  visit_options(options, [&](const std::string& name, const auto&, const char*, const char*) {
    static const std::vector<std::string> opening = {"preset", "limit", "stored-size", "threads",
                                                     "max-bad-percent"};
    const bool acts = std::find(opening.begin(), opening.end(), name) != opening.end();
    NAT_CHECK(acts || app.count("--" + name) == 0, ErrorKind::usage, "--", name,
              ": has no effect without --plan; leave it out");
  });
}

int inspect(const CLI::App& app, const Asked& asked, const Options& options) {
  validate(options);
  if (asked.plan) {
    NAT_CHECK(!asked.bad, ErrorKind::usage, "--bad: has no effect with --plan; leave it out");
    NAT_CHECK(asked.what.empty(), ErrorKind::usage, "inspect --plan describes options, not ",
              asked.what, "; leave one of the two out");
    return print_plan(options, channels_of(options), asked.json);
  }
  NAT_CHECK(!asked.what.empty(), ErrorKind::usage,
            "inspect: say what: a run, a checkpoint, pictures, or --plan");
  refuse_idle_options(app, options);
  if (asked.bad) {
    print(describe_bad(asked.what, options), asked.json);
    return 0;
  }
  const bool is_told =
      app.count("--stored-size") + app.count("--preset") + app.count("--config") > 0;
  print(describe(asked.what, options, is_told ? Sides::stored : Sides::of_files), asked.json);
  return 0;
}

}  // namespace

Command inspect_command(CLI::App& nat, const Options& defaults) {
  CLI::App* app = nat.add_subcommand(
      "inspect", "describe a run, a checkpoint or a data set; --plan: the memory of a step");
  const auto asked = std::make_shared<Asked>();
  const auto options = std::make_shared<Options>(defaults);
  app->add_option("what", asked->what,
                  "run folder, .safetensors file or [format:]PATH of pictures");
  app->add_flag("--plan", asked->plan,
                "print the memory plan of a training step with these options");
  app->add_flag(
      "--bad", asked->bad,
      "of training pictures: look at each, and list those that cannot be read with the reason");
  app->add_flag("--json", asked->json, "print JSON");
  add_options(*app, *options);
  return {app, [=] { return inspect(*app, *asked, *options); }};
}

}  // namespace nat::tools
